"""A growing Merkle tree kept in tiles of 256 hashes, as C2SP's tlog-tiles lays them out.

A tile of level 0 holds leaf hashes; one of level l + 1 holds the roots of full tiles of level l.
So a tree of a million leaves is some 4,000 rows of 8 KB, and one more leaf changes a handful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from swexchange.core import merkle

HEIGHT = 8
WIDTH = 1 << HEIGHT
HASH = 32  # bytes

Fetch = Callable[[int, int], bytes]
"""The bytes of a tile by level and number; b'' where there is none. It may be longer than the tree is."""


def split(tile: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [tile[i : i + HASH] for i in range(0, len(tile), HASH)]


class TileTree:
    """A tree of a size, over tiles that somebody else keeps; grows in memory."""

    def __init__(self, size: int, fetch: Fetch) -> None:
        self.size = size
        self._fetch = fetch
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._changed: set[tuple[int, int]] = set()

    def append(self, hashes: Iterable[bytes]) -> None:
        """Add leaves by their hashes."""
        for leaf in hashes:
            self._put(0, self.size, leaf)
            self.size += 1

    def _put(self, level: int, index: int, value: bytes) -> None:
        number, position = divmod(index, WIDTH)
        tile = self._tile(level, number)
        del tile[position:]  # what an abandoned growth may have left
        tile.append(value)
        self._changed.add((level, number))
        if len(tile) == WIDTH:
            self._put(level + 1, number, merkle.fold(tile))

    def changed(self) -> Mapping[tuple[int, int], bytes]:
        """The tiles that growing has changed, by level and number."""
        return {key: b"".join(self._tiles[key]) for key in sorted(self._changed)}

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree. Raises LookupError where the tiles do not hold it."""
        tile_level, height = divmod(level, HEIGHT)
        number, position = divmod(index << height, WIDTH)
        hashes = self._tile(tile_level, number)[position : position + (1 << height)]
        if len(hashes) != 1 << height:
            raise LookupError(f"tile {number} of level {tile_level} is missing or too short")
        return merkle.fold(hashes)

    def _tile(self, level: int, number: int) -> list[bytes]:
        key = level, number
        if key not in self._tiles:
            self._tiles[key] = split(self._fetch(level, number))
        return self._tiles[key]

    def root(self, size: int | None = None) -> bytes:
        """The root of the tree, or of an earlier size of it."""
        return merkle.root(self.size if size is None else size, self.node)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that a leaf is in the tree, or in an earlier size of it."""
        return merkle.inclusion_proof(index, self.size if size is None else size, self.node)

    def cover(self, start: int, end: int) -> list[bytes]:
        """The hashes that stand for leaves [start, end); see `merkle.cover`."""
        return merkle.cover(start, end, self.node)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The proof that the tree begins with an earlier size of it."""
        return merkle.consistency_proof(old, self.size if new is None else new, self.node)


def widths(size: int) -> Sequence[int]:
    """How many hashes each level of the tiles holds in a tree of a size, from level 0 up."""
    found = []
    while size:
        found.append(size)
        size //= WIDTH
    return found
