"""An export of some exchanges alone: the log's hashes whole, of each exchange a bundle. docs/reference/evidence.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from swexchange.core.tiles import TileTree
from swexchange.evidence.bundle import Log, bundle_of, hashes

FORMAT = "swexchange-selection/v1"


def select(
    log: Log,
    exchanges: Sequence[str],
    wanted: Mapping[str, Any],
    keys: Callable[[], str],
    advance: Callable[[int], object] = lambda _: None,
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files: a bundle of each exchange that is sealed, hashes and checkpoint, then what was asked for.

    All stand under one checkpoint: the newest that covers all of them, one that a witness has signed where there
    is any. None where nothing of it is sealed. Raises ConfigFault where a row is not what was sealed.
    """
    sealed = list(_sealed(log, exchanges))
    signed = log.checkpoint_over(max((leaf for _, leaf in sealed), default=0) + 1)
    if not sealed or signed is None:
        return
    tree = TileTree(signed.size, log.tile)
    for number, _ in sealed:
        exhibit = log.exhibit(number)
        if exhibit is not None:
            yield PurePosixPath("exchanges", f"{number}.zip"), bundle_of(exhibit, tree, signed, keys, lambda _: None)
        advance(1)
    yield from hashes(log, signed)
    told = {"format": FORMAT, "exchanges": len(sealed), "wanted": wanted}
    yield PurePosixPath("selection.json"), json.dumps(told, ensure_ascii=False, indent=1).encode()


def _sealed(log: Log, exchanges: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Those that are sealed, each with its last leaf; few are in memory at a time."""
    for number in exchanges:
        exhibit = log.exhibit(number)
        if exhibit is not None and exhibit.entries:
            yield number, max(leaf for leaf, _ in exhibit.entries)
