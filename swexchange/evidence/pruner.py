"""Takes old messages out of the database: only what lies in an archive file that was read back and proved just now.

In small transactions with pauses, so that the traffic does not feel it. It may die anywhere: what was
emptied stands in the archive, the rest is emptied by the next run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Protocol

from swexchange.core.checkpoint import Verifier
from swexchange.core.log import Archived
from swexchange.core.tiles import TileTree
from swexchange.crashpoint import crashpoint
from swexchange.evidence.archive_file import ArchiveFile, Damaged
from swexchange.evidence.pace import Pace


class Log(Protocol):
    """The audit log as the pruner needs it. Every method raises StoreDown when the database fails it."""

    def full_archives(self, before: datetime) -> Sequence[Archived]:
        """Archive files with exchanges received before a time, of which messages are in the database; oldest first."""

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""

    def prune(self, one: Archived, before: datetime, kept: Set[int]) -> Iterator[int]:
        """Empty messages of an archive file, those of `kept` (seq), a few in each transaction: how many in each."""

    def emptied(self, one: Archived, now: datetime) -> None:
        """Remember a file of which no message is in the database any more."""


class Rows(Log, Protocol):
    """The audit log as the pruner of whole exchanges needs it."""

    def archives_with_rows(self, before: datetime) -> Sequence[Archived]:
        """Archive files with exchanges received before a time, of which rows are in the database; oldest first."""

    def prune_rows(self, one: Archived, before: datetime, now: datetime) -> Iterator[int]:
        """Take out exchanges of a file and events about them: how many rows in each transaction."""


class Pruner:
    """Prunes a database of what lies in the archive files of a folder."""

    def __init__(
        self,
        log: Rows,
        folder: Path,
        keys: Sequence[Verifier],
        clock: Callable[[], datetime],
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        self._log, self._folder, self._keys = log, folder, keys
        self._clock, self._rest = clock, rest

    def prune(self, before: datetime) -> Iterator[int]:
        """Empty the messages received before a time; how many in each small step.

        Raises Damaged at the first archive file that does not prove what it should; of it nothing is emptied.
        """
        for one in self._log.full_archives(before):
            kept = self._proved(one)
            crashpoint("prune-proved")
            yield from self._slowly(self._log.prune(one, before, kept))
            self._log.emptied(one, self._clock())

    def prune_rows(self, before: datetime) -> Iterator[int]:
        """Take out exchanges received before a time, whose messages are gone; how many rows in each small step.

        Raises Damaged as `prune` does.
        """
        for one in self._log.archives_with_rows(before):
            self._proved(one)
            yield from self._slowly(self._log.prune_rows(one, before, self._clock()))

    def _slowly(self, steps: Iterator[int]) -> Iterator[int]:
        pause = Pace(self._rest)
        for count in steps:
            crashpoint("pruned")
            yield count
            pause()

    def _proved(self, one: Archived) -> set[int]:
        """The exchanges (seq) whose messages lie in a file, all of which was read back. Raises Damaged."""
        with closing(ArchiveFile(self._folder / one.name)) as file:
            checkpoint = file.require(one, self._keys)
            if TileTree(checkpoint.size, self._log.tile).root() != checkpoint.root:
                raise Damaged(file.path, "the archive file is of another log")
            stored = (stored for stored in file.records(("messages",)) if stored.parts.get("messages"))
            return {json.loads(stored.entry)["seq"] for stored in stored}
