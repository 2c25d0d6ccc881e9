"""Takes out of the database what lies in archive files. Implements pruner.Log."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, false, func, or_, select, text, update

from swexchange.core.log import Archived, Kind
from swexchange.core.model import Happening, Outcome
from swexchange.core.prune_record import PruneRecord
from swexchange.store import leaves, rows
from swexchange.store.archive_tables import archive
from swexchange.store.archives import Archives
from swexchange.store.engine import is_sqlite
from swexchange.store.evidence_tables import sealed
from swexchange.store.fates import note
from swexchange.store.holds import is_held, lock
from swexchange.store.selecting import is_waiting_for_an_operator
from swexchange.store.tables import OUTSTANDING, THE_LOG, batch, copy, exchange, replay_item

AT_ONCE = 100  # messages in one transaction
_SHARE_ITEMS = text("LOCK TABLE replay_item IN SHARE MODE")


@dataclass(frozen=True, slots=True)
class Prunable:
    """What of an archive file still lies in the database, as far as its age goes."""

    messages: int  # that may go
    bytes: int  # of these
    open: int  # that stay: something is still to be done with them
    held: int  # that stay: they are under a hold


class Pruning(Archives):
    """A database as pruner.Log; for one thread. Close it."""

    def full_archives(self, before: datetime) -> list[Archived]:
        """Archive files with exchanges received before a time, of which messages are in the database; oldest first."""
        old = and_(archive.c.since > 0, archive.c.since < rows.microseconds(before), archive.c.emptied_at.is_(None))
        return list(self._archives(select(archive).where(old).order_by(archive.c.first_leaf)))

    def prunable(self, one: Archived, before: datetime) -> Prunable:
        """What `prune` would do."""
        with self._reading() as connection:
            held = is_held(connection)
            old = and_(_lies_in(connection, one), _has_bytes, exchange.c.received_at < rows.microseconds(before))
            size = func.coalesce(func.sum(func.length(exchange.c.body)), 0)
            free = select(func.count(), size).where(old, ~is_open, ~held)
            messages, total = connection.execute(free).one()
            count = select(func.count()).select_from(exchange).where(old)
            waits = connection.execute(count.where(is_open)).scalar_one()
            return Prunable(messages, total, waits, connection.execute(count.where(~is_open, held)).scalar_one())

    def prune(self, one: Archived, before: datetime, kept: Set[int]) -> Iterator[int]:
        """Empty messages of an archive file, those of `kept` (seq), a few in each transaction: how many in each.

        Not synced: a crash brings some back, and the next run empties them.
        """
        after = -1
        while True:
            with self._writing(synced=False) as connection:
                self._lock(connection)
                old = and_(_lies_in(connection, one), _has_bytes, exchange.c.received_at < rows.microseconds(before))
                query = select(exchange.c.seq).where(old, exchange.c.seq > after, ~is_open, ~is_held(connection))
                found = list(connection.execute(query.order_by(exchange.c.seq).limit(AT_ONCE)).scalars())
                these = [seq for seq in found if seq in kept]
                connection.execute(update(exchange).where(exchange.c.seq.in_(these)).values(body=b""))
            if not found:
                return
            yield len(these)
            after = found[-1]

    def note_pruning(self, record: PruneRecord) -> None:
        """Add to the log what is about to be pruned, or was."""
        with self._writing() as connection:
            note_record(connection, record)

    @staticmethod
    def _lock(connection: Connection) -> None:
        """No hold is placed, and no replay takes an exchange on, while this transaction lasts."""
        lock(connection)
        if not is_sqlite(connection):
            connection.execute(_SHARE_ITEMS)

    def emptied(self, one: Archived, now: datetime) -> None:
        """Remember a file of which no message is in the database any more, so that it is not looked at again."""
        with self._writing() as connection:
            full = select(exchange.c.seq).where(_lies_in(connection, one), _has_bytes).limit(1)
            if connection.execute(full).first() is None:
                this = update(archive).where(archive.c.first_leaf == one.first)
                connection.execute(this.values(emptied_at=rows.microseconds(now)))


def note_record(connection: Connection, record: PruneRecord) -> None:
    """Add it to the log: an event that is sealed as a leaf like any other, and never pruned."""
    note(connection, [Happening(THE_LOG, record.event, record.detail())], rows.microseconds(record.at))


_has_bytes = func.length(exchange.c.body) > 0
is_open = or_(
    exchange.c.outcome == str(Outcome.WAITING),
    is_waiting_for_an_operator,
    exists().where(batch.c.id == exchange.c.batch_id, batch.c.settled_at.is_(None)),
    exists().where(copy.c.seq == exchange.c.seq, copy.c.state.not_in(("sent", "dropped"))),
    exists().where(replay_item.c.seq == exchange.c.seq, OUTSTANDING),
)


def _lies_in(connection: Connection, one: Archived) -> ColumnElement[bool]:
    """Whether an exchange's leaf lies in this file: files hold whole spans."""
    spans = and_(sealed.c.kind == str(Kind.BATCH), sealed.c.leaves > 0)
    inside = and_(spans, sealed.c.first_leaf >= one.first, sealed.c.first_leaf < one.end)
    first, last = connection.execute(select(func.min(sealed.c.first), func.max(sealed.c.last)).where(inside)).one()
    if first is None:
        return false()
    # Spans need not be neighbours: between two of them may lie batches that were sealed late, into another file.
    begun = and_(sealed.c.kind == str(Kind.BATCH), sealed.c.first <= exchange.c.batch_id)
    own = select(sealed.c.first_leaf).where(begun).order_by(sealed.c.first.desc()).limit(1).scalar_subquery()
    return and_(exchange.c.seq.between(*leaves.seqs(first, last)), own >= one.first, own < one.end)
