"""Takes old messages out of the database: only what lies in an archive file that was read back and proved just now.

And, last of all, the archive files themselves: what is left then are the hashes of the log.

In small transactions with pauses, so that the traffic does not feel it. It may die anywhere: what was
emptied stands in the archive, the rest is emptied by the next run. Who prunes what is an entry of the
log before it begins: a run that dies is on record too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from swexchange.core.checkpoint import Verifier
from swexchange.core.log import Archived
from swexchange.core.model import Event
from swexchange.core.prune_record import PruneRecord
from swexchange.core.search import Filter
from swexchange.core.tiles import TileTree
from swexchange.crashpoint import crashpoint
from swexchange.durable import remove_file
from swexchange.errors import ConfigFault
from swexchange.evidence.archive_file import ArchiveFile, Damaged, Stored
from swexchange.evidence.archive_search import EPOCH, is_held
from swexchange.evidence.folder_lock import locked


class Prunable(Protocol):
    """What of an archive file still lies in the database, as far as its age goes."""

    @property
    def messages(self) -> int:
        """How many may go."""


class Log(Protocol):
    """The audit log as the pruner needs it. Every method raises StoreDown when the database fails it."""

    def full_archives(self, before: datetime) -> Sequence[Archived]:
        """Archive files with exchanges received before a time, of which messages are in the database; oldest first."""

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""

    def note_pruning(self, record: PruneRecord) -> None:
        """Add to the log what is about to be pruned, or was."""

    def prunable(self, one: Archived, before: datetime) -> Prunable:
        """What `prune` would do."""

    def prune(self, one: Archived, before: datetime, kept: Set[int]) -> Iterator[int]:
        """Empty messages of an archive file, those of `kept` (seq), a few in each transaction: how many in each."""

    def emptied(self, one: Archived, now: datetime) -> None:
        """Remember a file of which no message is in the database any more."""


class Rows(Log, Protocol):
    """The audit log as the pruner of whole exchanges needs it."""

    def archives_with_rows(self, before: datetime) -> Sequence[Archived]:
        """Archive files with exchanges received before a time, of which rows are in the database; oldest first."""

    def old_rows(self, one: Archived, before: datetime) -> int:
        """How many exchanges of a file `prune_rows` would take out, once their messages are gone."""

    def old_events(self, one: Archived, before: datetime) -> int:
        """How many events of a file `prune_rows` would take out whose exchanges are gone already."""

    def prune_rows(self, one: Archived, before: datetime, now: datetime) -> Iterator[int]:
        """Take out exchanges of a file and events about them: how many rows in each transaction."""


class Files(Rows, Protocol):
    """The audit log as the pruner of archive files needs it."""

    def removed(self) -> Mapping[str, PruneRecord]:
        """The archive files that went by retention, by name; only such as the log says of the very file."""

    def archives_without_rows(self, before: datetime) -> Sequence[Archived]:
        """Archive files whose exchanges came before a time, of which nothing is in the database; oldest first.

        Removed ones too.
        """

    def holds(self) -> Mapping[int, Filter]:
        """The holds in force, by number."""

    def note_removal(self, record: PruneRecord, considered: Set[int]) -> bool:
        """Record in the log that an archive file goes; once this returns it is to be deleted.

        False where it was recorded before, or where a hold is in force that was not considered.
        """


class Pruner:
    """Prunes a database of what lies in the archive files of a folder, and the folder of the oldest.

    `pause` is called behind each step and each leaf that is read back: a Pace, or no_pause.
    """

    def __init__(
        self,
        log: Files,
        folder: Path,
        keys: Sequence[Verifier],
        by: str,
        clock: Callable[[], datetime],
        pause: Callable[[], object],
    ) -> None:
        self._log, self._folder, self._keys, self._by = log, folder, keys, by
        self._clock, self._pause = clock, pause

    def prune(self, age: timedelta) -> Iterator[int]:
        """Empty the messages received longer ago; how many in each small step.

        Raises Damaged at the first archive file that does not prove what it should; of it nothing is emptied.
        """
        before = self._clock() - age
        for one in self._log.full_archives(before):
            kept = self._proved(one)
            crashpoint("prune-proved")
            most = self._log.prunable(one, before).messages
            yield from self._recorded(one, _said("body", age), most, self._log.prune(one, before, kept))
            self._log.emptied(one, self._clock())

    def prune_rows(self, age: timedelta) -> Iterator[int]:
        """Take out exchanges received longer ago, whose messages are gone; how many rows in each small step.

        Raises Damaged as `prune` does.
        """
        before = self._clock() - age
        for one in self._log.archives_with_rows(before):
            self._proved(one)
            most = self._log.old_rows(one, before) + self._log.old_events(one, before)
            steps = self._log.prune_rows(one, before, self._clock())
            yield from self._recorded(one, _said("metadata", age), most, steps)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else prunes by this folder meanwhile. Raises Busy, ConfigFault."""
        with locked(self._folder / "prune.lock", "another one prunes by this folder"):
            yield

    def remove_files(self, age: timedelta) -> Iterator[Archived]:
        """Remove the archive files that `removable` finds, each as it is told.

        First the log says so, then the file goes: one that a crash left in between is removed by the next run. Which
        needs all that a removal needs: a record alone deletes nothing.
        """
        removed = self._log.removed()
        for one, considered in self.removable(age):
            record = PruneRecord.of(one, self._clock(), Event.REMOVED, _said("evidence", age), self._by, one.leaves)
            if one.name in removed or self._log.note_removal(record, considered):
                crashpoint("removal-noted")
                self._remove(one)
                yield one

    def removable(self, age: timedelta) -> Iterator[tuple[Archived, Set[int]]]:
        """The archive files of which every entry is older and none is under a hold, with the holds looked at.

        Only files that were proved just now, and of which nothing is in the database. Raises Damaged at the first
        that does not prove what it should, or is not there.
        """
        before, removed = self._clock() - age, self._log.removed()
        for one in self._log.archives_without_rows(before):
            if one.name in removed and not (self._folder / one.name).exists():
                continue
            self._proved(one)
            holds = self._log.holds()
            if not any(_at(stored) >= before or is_held(stored, holds.values()) for stored in self._details(one)):
                yield one, holds.keys()

    def _details(self, one: Archived) -> Iterator[Stored]:
        with closing(ArchiveFile(self._folder / one.name)) as file:
            yield from file.records(("details",))

    def _remove(self, one: Archived) -> None:
        path = self._folder / one.name
        try:
            remove_file(path)
        except OSError as error:
            raise ConfigFault(f"the archive file cannot be removed: {error.strerror}", where=str(path)) from None

    def _recorded(self, one: Archived, retention: str, most: int, steps: Iterator[int]) -> Iterator[int]:
        """The steps, between what the log keeps of them: how many may go now, and how many went."""

        def note(event: Event, count: int) -> None:
            self._log.note_pruning(PruneRecord.of(one, self._clock(), event, retention, self._by, count))

        if most:
            note(Event.PRUNING, most)
            crashpoint("prune-noted")
        done = 0
        for count in self._slowly(steps):
            done += count
            yield count
        if done:
            note(Event.PRUNED, done)

    def _slowly(self, steps: Iterator[int]) -> Iterator[int]:
        for count in steps:
            crashpoint("pruned")
            yield count
            self._pause()

    def _proved(self, one: Archived) -> set[int]:
        """The exchanges (seq) whose messages lie in a file, all of which was read back. Raises Damaged."""
        with closing(ArchiveFile(self._folder / one.name)) as file:
            checkpoint = file.require(one, self._keys, self._pause)
            if TileTree(checkpoint.size, self._log.tile).root() != checkpoint.root:
                raise Damaged(file.path, "the archive file is of another log")
            stored = (stored for stored in file.records(("messages",)) if stored.parts.get("messages"))
            return {json.loads(stored.entry)["seq"] for stored in stored}


def _at(stored: Stored) -> datetime:
    """When a leaf came: an exchange was received, an event happened."""
    said = json.loads(stored.entry)
    return EPOCH + timedelta(microseconds=said["received_at" if stored.is_exchange else "at"])


def _said(name: str, age: timedelta) -> str:
    """A class of retention with its age, as the log keeps it."""
    return f"{name} {age.days} days"
