"""Which archive files may go, of which nothing is in the database any more, and the log's record that one does."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import datetime

from sqlalchemy import and_, select

from swexchange.core.log import Archived
from swexchange.core.prune_record import PruneRecord
from swexchange.core.search import Filter
from swexchange.store import holds, rows
from swexchange.store.archive_tables import archive
from swexchange.store.archives import removed_files
from swexchange.store.pruning import note_record
from swexchange.store.row_pruning import RowPruning


class FilePruning(RowPruning):
    """A database as pruner.Files; for one thread. Close it."""

    def archives_without_rows(self, before: datetime) -> list[Archived]:
        """Archive files whose exchanges came before a time, of which nothing is in the database; oldest first.

        Removed ones too.
        """
        old = and_(archive.c.until < rows.microseconds(before), archive.c.rows_gone_at.is_not(None))
        return list(self._archives(select(archive).where(old).order_by(archive.c.first_leaf)))

    def holds(self) -> Mapping[int, Filter]:
        """The holds in force, by number."""
        with self._reading() as connection:
            return holds.in_force(connection)

    def note_removal(self, record: PruneRecord, considered: Set[int]) -> bool:
        """Record in the log that an archive file goes; once this returns it is to be deleted.

        False where it was recorded before, or where a hold is in force that was not considered.
        """
        with self._writing() as connection:
            holds.lock(connection)  # it also keeps two of these apart
            removed = removed_files(connection)
            if record.file in removed or not considered >= holds.in_force(connection).keys():
                return False
            ends = {one.last + 1: one.first for one in removed.values()}
            since = record.first
            while since in ends:
                since = ends[since]
            note_record(connection, replace(record, since=since))
        return True
