"""Trees and proofs: published vectors, another implementation, and whatever else hypothesis thinks of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, InvalidProof, verify_consistency

from swexchange.core import merkle
from swexchange.core.tiles import WIDTH, TileTree, split, widths

# The vectors that Certificate Transparency's implementations share.
ENTRIES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_5 = "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658"
INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
CONSISTENCY = [
    (1, 1, []),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def nothing(_level: int, _number: int) -> bytes:
    return b""


def grown(count: int) -> TileTree:
    tree = TileTree(0, nothing)
    tree.append(merkle.leaf_hash(b"%d" % i) for i in range(count))
    return tree


BIG = grown(3 * WIDTH + 7)
SIZES = st.integers(0, BIG.size)


def published() -> TileTree:
    tree = TileTree(0, nothing)
    tree.append(merkle.leaf_hash(entry) for entry in ENTRIES)
    return tree


def test_roots_are_the_published_ones() -> None:
    assert [published().root(size).hex() for size in range(9)] == ROOTS
    assert merkle.leaf_hash(ENTRIES[5]).hex() == LEAF_5


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index: int, size: int, path: list[str]) -> None:
    proof = published().inclusion(index, size)
    assert [h.hex() for h in proof] == path
    assert merkle.includes(merkle.leaf_hash(ENTRIES[index]), index, size, proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old: int, new: int, path: list[str]) -> None:
    proof = published().consistency(old, new)
    assert [h.hex() for h in proof] == path
    assert merkle.grows(old, new, bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new]), proof)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=70), st.data())
@settings(max_examples=60, deadline=None)
def test_another_implementation_agrees(entries: list[bytes], data: st.DataObject) -> None:
    """pymerkle gives the same roots and the same paths."""
    theirs = InmemoryTree(algorithm="sha256")
    ours = TileTree(0, nothing)
    for entry in entries:
        theirs.append_entry(entry)
        ours.append([merkle.leaf_hash(entry)])
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    assert ours.root(size) == theirs.get_root(size)
    # Theirs begins with what the proof is about.
    assert ours.inclusion(index, size) == list(theirs.prove_inclusion(index + 1, size).path)[1:]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=70), st.data())
@settings(max_examples=60, deadline=None)
def test_another_implementation_agrees_that_a_tree_grew(entries: list[bytes], data: st.DataObject) -> None:
    """pymerkle's proofs have another form, so it is asked to lead its own from our old root to our new one."""
    theirs, ours = InmemoryTree(algorithm="sha256"), TileTree(0, nothing)
    for entry in entries:
        theirs.append_entry(entry)
        ours.append([merkle.leaf_hash(entry)])
    new = data.draw(st.integers(1, len(entries)))
    old = data.draw(st.integers(1, new))
    proof, roots = theirs.prove_consistency(old, new), (ours.root(old), ours.root(new))
    verify_consistency(*roots, proof, old, new)
    assert merkle.grows(old, new, *roots, ours.consistency(old, new))
    for wrong in ((b"\1" * 32, roots[1]), (roots[0], b"\1" * 32)):
        with pytest.raises(InvalidProof):
            verify_consistency(*wrong, proof, old, new)
        assert not merkle.grows(old, new, *wrong, ours.consistency(old, new))


def plain_root(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    if len(entries) == 1:
        return merkle.leaf_hash(entries[0])
    k = 1 << (len(entries) - 1).bit_length() - 1
    return merkle.node_hash(plain_root(entries[:k]), plain_root(entries[k:]))


def plain_subproof(m: int, entries: list[bytes], known: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2, word for word."""
    if m == len(entries):
        return [] if known else [plain_root(entries)]
    k = 1 << (len(entries) - 1).bit_length() - 1
    if m <= k:
        return [*plain_subproof(m, entries[:k], known), plain_root(entries[k:])]
    return [*plain_subproof(m - k, entries[k:], False), plain_root(entries[:k])]


def test_consistency_proofs_are_those_of_the_definition() -> None:
    """All pairs of sizes up to 40."""
    entries = [b"%d" % i for i in range(40)]
    tree = grown(40)
    for new in range(1, 41):
        for old in range(1, new + 1):
            assert tree.consistency(old, new) == plain_subproof(old, entries[:new], True), (old, new)


@given(SIZES, SIZES)
@settings(max_examples=200, deadline=None)
def test_a_tree_grows_from_each_of_its_sizes(a: int, b: int) -> None:
    old, new = sorted((a, b))
    proof = BIG.consistency(old, new)
    assert merkle.grows(old, new, BIG.root(old), BIG.root(new), proof)
    assert not merkle.grows(old, new, b"\1" * 32, BIG.root(new), proof)
    assert old == 0 or not merkle.grows(old, new, BIG.root(old), b"\1" * 32, proof)
    assert not merkle.grows(old, new, BIG.root(old), BIG.root(new), [*proof, b"\0" * 32])
    if proof:
        assert not merkle.grows(old, new, BIG.root(old), BIG.root(new), proof[:-1])
        assert not merkle.grows(old, new, BIG.root(old), BIG.root(new), [proof[0][::-1], *proof[1:]])


@given(st.integers(1, BIG.size), st.data())
@settings(max_examples=200, deadline=None)
def test_a_leaf_is_where_it_is_and_nowhere_else(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf, proof, root = merkle.leaf_hash(b"%d" % index), BIG.inclusion(index, size), BIG.root(size)
    assert merkle.includes(leaf, index, size, proof, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index)) if size > 1 else size
    assert not merkle.includes(leaf, other, size, proof, root)
    assert not merkle.includes(merkle.leaf_hash(b"x"), index, size, proof, root)
    assert not merkle.includes(leaf, index, size, [*proof, root], root)
    assert not proof or not merkle.includes(leaf, index, size, proof[:-1], root)


@given(st.lists(st.integers(1, 300), max_size=6))
@settings(max_examples=30, deadline=None)
def test_growing_in_steps_gives_the_same_tiles(steps: list[int]) -> None:
    """What is stored after each step is enough to go on from, in another process."""
    stored: dict[tuple[int, int], bytes] = {}

    def fetch(level: int, number: int) -> bytes:
        return stored.get((level, number), b"")

    size = 0
    for step in steps:
        tree = TileTree(size, fetch)
        tree.append(merkle.leaf_hash(b"%d" % i) for i in range(size, size + step))
        stored.update(tree.changed())
        size = tree.size
    whole = grown(size)
    assert stored == whole.changed()
    assert TileTree(size, fetch).root() == whole.root()


def test_tiles_are_laid_out_as_c2sp_says() -> None:
    """The example of tlog-tiles: 70,000 entries."""
    assert [divmod(width, WIDTH) for width in widths(70_000)] == [(273, 112), (1, 17), (0, 1)]
    tiles = grown(WIDTH + 3).changed()
    assert {key: len(split(tile)) for key, tile in tiles.items()} == {(0, 0): WIDTH, (0, 1): 3, (1, 0): 1}
    assert tiles[1, 0] == grown(WIDTH).root()


def test_a_missing_tile_is_noticed() -> None:
    with pytest.raises(LookupError, match="tile 0 of level 0"):
        TileTree(5, nothing).root()


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_there_is_no_proof_of_what_is_not_there(index: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        grown(3).inclusion(index)
    with pytest.raises(ValueError, match="beginning"):
        grown(3).consistency(4)


@given(st.integers(1, 300), st.data())
def test_a_run_of_leaves_leads_to_the_root(size: int, data: st.DataObject) -> None:
    """With what stands left and right of it, whatever the size; with anything else it does not."""
    first = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(first, size))
    hashes = [merkle.leaf_hash(bytes((i % 256, i // 256))) for i in range(size)]
    tree = TileTree(0, lambda *_: b"")
    tree.append(hashes)
    left, right = tree.cover(0, first), tree.cover(end, size)

    def root(left: list[bytes], right: list[bytes]) -> bytes:
        run = merkle.Range(first, left)
        for leaf in hashes[first:end]:
            run.append(leaf)
        return run.root(size, right)

    assert root(left, right) == tree.root()
    for changed in ((left[1:], right), (left, right[1:]), ([*left, hashes[0]], right), (left, [*right, hashes[0]])):
        if changed != (left, right):
            with pytest.raises(ValueError, match="hashes"):
                root(*changed)
