"""Merkle trees as RFC 6962 defines them: hashes, roots, proofs of inclusion and of consistency.

A tree is given by a function from (level, index) to the hash of a complete subtree: the one over
the leaves [index * 2**level, (index + 1) * 2**level). Where the hashes are kept is not its concern.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

Node = Callable[[int, int], bytes]
"""The hash of the complete subtree of 2**level leaves that is the index-th of its level."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root(size: int, node: Node) -> bytes:
    """The root over the first `size` leaves."""
    return _range(0, size, node) if size else EMPTY_ROOT


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of a complete subtree from 1, 2, 4, 8, ... hashes of one level."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (2 or more)."""
    return 1 << (count - 1).bit_length() - 1


def _range(start: int, end: int, node: Node) -> bytes:
    """The hash over leaves [start, end); `start` is where a subtree that large begins."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, start >> level)
    middle = start + _split(count)
    return node_hash(_range(start, middle, node), _range(middle, end, node))


def cover(start: int, end: int, node: Node) -> list[bytes]:
    """The hashes of the fewest complete subtrees that leaves [start, end) consist of, from the left."""
    return [node(level, index) for level, index in subtrees(start, end)]


def subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Level and index of each of these subtrees: the largest that begins here and does not reach too far."""
    while start < end:
        level = (end - start).bit_length() - 1
        level = min(level, (start & -start).bit_length() - 1) if start else level
        yield level, start >> level
        start += 1 << level


class Range:
    """A part of a tree that grows leaf by leaf, on what stands left of it, until its root can be told."""

    def __init__(self, first: int, left: Sequence[bytes]) -> None:
        """Begin behind `first` leaves, given by their `cover`. Raises ValueError where these are not so many hashes."""
        if len(left) != first.bit_count():
            raise ValueError(f"{first} leaves have {first.bit_count()} hashes to their left, not {len(left)}")
        self.size, self._peaks = first, list(left)

    def append(self, value: bytes, level: int = 0) -> None:
        """Add a leaf, or a complete subtree of 2**level leaves; equal neighbours become one."""
        self._peaks.append(value)
        self.size += 1 << level
        carry = self.size >> level
        while not carry & 1:
            right = self._peaks.pop()
            self._peaks.append(node_hash(self._peaks.pop(), right))
            carry >>= 1

    def root(self, size: int, right: Sequence[bytes]) -> bytes:
        """The root of the tree of `size` leaves, whose other leaves are given by their `cover`. Raises ValueError."""
        levels = [level for level, _ in subtrees(self.size, size)]
        if self.size > size or len(levels) != len(right):
            raise ValueError(f"between {self.size} and {size} leaves are not {len(right)} hashes")
        for value, level in zip(right, levels, strict=True):
            self.append(value, level)
        found = self._peaks[-1] if self._peaks else EMPTY_ROOT
        for peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """RFC 6962, 2.1.1: that leaf `index` is in the tree of `size` leaves. Raises ValueError outside it."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range(middle, end, node))
            end = middle
        else:
            path.append(_range(start, middle, node))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """RFC 6962, 2.1.2: that the tree of `new` leaves begins with the tree of `old`. Raises ValueError for old > new."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} cannot be the beginning of one of {new}")
    if old in (0, new):
        return []
    start, end, path = 0, new, []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range(middle, end, node))
            end = middle
        else:
            path.append(_range(start, middle, node))
            start = middle
    if start:  # the old root itself is known to who asks; a subtree of it is not
        path.append(_range(start, end, node))
    return path[::-1]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> bool:
    """RFC 9162, 2.1.3.2: whether the proof shows that a leaf hash stands at `index` of the tree with this root."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root_hash


def grows(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162, 2.1.4.2: whether the proof shows that the new tree begins with the old one."""
    if not 0 <= old <= new:
        return False
    if old in (0, new):
        return not proof and (old_root == new_root if old == new else old_root == EMPTY_ROOT)
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
