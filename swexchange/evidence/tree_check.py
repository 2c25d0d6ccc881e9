"""Whether the stored tree fits together: tiles with the tiles above them, roots with checkpoints, these with keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from swexchange.core import merkle
from swexchange.core.checkpoint import BadNote, Checkpoint, Note, Verifier, trusted
from swexchange.core.tiles import WIDTH, TileTree, split, widths

Tile = Callable[[int, int], bytes]
"""The hashes of a tile, by level and number; b'' where there is none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that does not fit."""

    place: str  # which row, tile, span or checkpoint
    what: str


def tiles(tile: Tile, size: int) -> Iterator[Problem]:
    """Tiles of a log of this size that lack hashes, or do not give the hash above them."""
    for level, width in enumerate(widths(size)):
        for number in range(-(-width // WIDTH)):
            hashes = split(tile(level, number))
            needed = min(WIDTH, width - number * WIDTH)
            if len(hashes) < needed:
                yield Problem(f"tile {level}/{number}", f"has {len(hashes)} hashes, {needed} are needed")
            elif needed == WIDTH:
                above = split(tile(level + 1, number // WIDTH))[number % WIDTH : number % WIDTH + 1]
                if above != [merkle.fold(hashes[:WIDTH])]:
                    yield Problem(f"tile {level}/{number}", "does not give the hash that stands for it above")


def checkpoint(
    tile: Tile, keys: Sequence[Verifier], note: str, name: str, size: int, stored: int | None = None
) -> Iterator[Problem]:
    """What is wrong with a checkpoint of that name, of a log of this size; `stored`: where it lies, by its size."""
    try:
        signed = Checkpoint.read(Note.read(note).text)
        trusted(note, keys)
    except BadNote as error:
        yield Problem(name, str(error))
        return
    if signed.size > size:
        yield Problem(name, f"says {signed.size} entries, the log has {size}: it was cut, or an older one was restored")
    elif stored not in (None, signed.size):
        yield Problem(name, f"is one of {signed.size} entries, stored in the wrong place")
    elif _root(tile, signed.size) != signed.root:
        yield Problem(name, f"the first {signed.size} entries are not those that it signed: the log was rewritten")


def _root(tile: Tile, size: int) -> bytes:
    try:
        return TileTree(size, tile).root()
    except LookupError:
        return b""
