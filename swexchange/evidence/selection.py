"""An export of some exchanges alone: the log's hashes whole, of each exchange a bundle. docs/reference/evidence.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

from swexchange.core.tiles import TileTree
from swexchange.evidence import bundle
from swexchange.evidence.bundle import bundle_of, hashes

FORMAT = "swexchange-selection/v1"


class Log(bundle.Log, Protocol):
    """The Merkle log as a selection needs it. Every method raises StoreDown when the database fails it."""

    def sealed_until(self, exchange_id: str) -> int:
        """So many leaves cover all of an exchange that is sealed; 0 = it is not, or there is none."""


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
    # Of all of them first: every bundle holds the checkpoint, and most of an exchange is read for its bundle alone.
    sealed = {number: size for number in exchanges if (size := log.sealed_until(number))}
    signed = log.checkpoint_over(max(sealed.values(), default=0))
    if not sealed or signed is None:
        return
    tree = TileTree(signed.size, log.tile)
    for number in sealed:
        exhibit = log.exhibit(number)
        if exhibit is not None:
            yield PurePosixPath("exchanges", f"{number}.zip"), bundle_of(exhibit, tree, signed, keys, lambda _: None)
        advance(1)
    yield from hashes(log, signed)
    told = {"format": FORMAT, "exchanges": len(sealed), "wanted": wanted}
    yield PurePosixPath("selection.json"), json.dumps(told, ensure_ascii=False, indent=1).encode()
