"""Takes whole exchanges out of the database once their messages are gone; what an accepted one took stays taken.

Span by span of the Merkle log, a few exchanges in each transaction. Hashes stay: what is gone is
still counted, ordered and proved by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, select, update

from swexchange.core.log import Archived, Kind, Span
from swexchange.core.model import Outcome
from swexchange.store import leaves, rows
from swexchange.store.archive_tables import archive, gone, taken
from swexchange.store.evidence_tables import sealed
from swexchange.store.holds import is_held
from swexchange.store.pruning import AT_ONCE, Pruning, is_open
from swexchange.store.tables import THE_LOG, business_key, copy, event, exchange


class RowPruning(Pruning):
    """A database as pruner.Rows; for one thread. Close it."""

    def archives_with_rows(self, before: datetime) -> list[Archived]:
        """Archive files with exchanges received before a time, of which rows are in the database; oldest first."""
        old = and_(archive.c.until < rows.microseconds(before), archive.c.rows_gone_at.is_(None))
        return list(self._archives(select(archive).where(old).order_by(archive.c.first_leaf)))

    def old_rows(self, one: Archived, before: datetime) -> int:
        """How many exchanges of a file `prune_rows` would take out, once their messages are gone."""
        count = 0
        with self._reading() as connection:
            for span in _spans(connection, one, Kind.BATCH):
                query = select(func.count()).select_from(exchange).where(*_old(connection, span, before))
                count += connection.execute(query).scalar_one()
        return count

    def old_events(self, one: Archived, before: datetime) -> int:
        """How many events of a file `prune_rows` would take out whose exchanges are gone already."""
        count = 0
        with self._reading() as connection:
            for span in _spans(connection, one, Kind.EVENT):
                query = select(func.count()).select_from(event).where(*_old_events(span, before))
                count += connection.execute(query).scalar_one()
        return count

    def prune_rows(self, one: Archived, before: datetime, now: datetime) -> Iterator[int]:
        """Take out exchanges of a file, then events of exchanges that are gone: how many rows in each transaction.

        Not synced: a crash brings some back, and the next run takes them out.
        """
        with self._reading() as connection:
            spans = [*_spans(connection, one, Kind.BATCH), *_spans(connection, one, Kind.EVENT)]
        left = False
        for span in spans:
            take = _take_exchanges if span.kind is Kind.BATCH else _take_events
            while True:
                with self._writing(synced=False) as connection:
                    self._lock(connection)
                    count = take(connection, span, before)
                    if count:
                        _note_gone(connection, span, now)
                if not count:
                    break
                yield count
            with self._reading() as connection:
                left = left or _has_rows(connection, span)
        if not left:
            with self._writing() as connection:
                this = update(archive).where(archive.c.first_leaf == one.first)
                connection.execute(this.values(rows_gone_at=rows.microseconds(now)))


def _spans(connection: Connection, one: Archived, kind: Kind) -> list[Span]:
    inside = and_(sealed.c.first_leaf >= one.first, sealed.c.first_leaf < one.end, sealed.c.leaves > 0)
    found = connection.execute(select(sealed).where(sealed.c.kind == str(kind), inside)).mappings().all()
    return [Span(**{**row, "kind": kind}) for row in found]


def _old(connection: Connection, span: Span, before: datetime) -> Sequence[ColumnElement[bool]]:
    """Whether an exchange is old, and nothing keeps it."""
    old = exchange.c.received_at < rows.microseconds(before)
    return exchange.c.seq.between(*leaves.seqs(span.first, span.last)), old, ~is_open, ~is_held(connection)


_is_empty = func.length(exchange.c.body) == 0


def _take_exchanges(connection: Connection, span: Span, before: datetime) -> int:
    query = select(exchange.c.seq, exchange.c.exchange_id, exchange.c.detail).where(
        _is_empty, *_old(connection, span, before)
    )
    found = connection.execute(query.order_by(exchange.c.seq).limit(AT_ONCE)).all()
    if not found:
        return 0
    these = exchange.c.seq.in_([row.seq for row in found])
    own = select(exchange.c.identity, exchange.c.exchange_id, exchange.c.digest)
    accepted = own.where(these, exchange.c.outcome == str(Outcome.ACCEPTED))
    connection.execute(insert(taken).from_select(["identity", "exchange_id", "digest"], accepted))
    for row in found:
        # By its primary key: there is no index by exchange.
        for name, value in rows.detail_of(row.exchange_id, row.detail).get("keys", ()):
            this = and_(business_key.c.value == value, business_key.c.name == name, business_key.c.seq == row.seq)
            connection.execute(delete(business_key).where(this))
    connection.execute(delete(copy).where(copy.c.seq.in_([row.seq for row in found])))
    connection.execute(delete(exchange).where(these))
    return len(found)


def _old_events(span: Span, before: datetime) -> Sequence[ColumnElement[bool]]:
    """Events of exchanges that are gone; never the newest, whose number would be given out again.

    Nor those of the log itself: they say what is gone.
    """
    newest = select(func.max(event.c.id)).scalar_subquery()
    return (
        event.c.id.between(span.first, span.last),
        event.c.id < newest,
        event.c.at < rows.microseconds(before),
        event.c.exchange_id != THE_LOG,
        ~exists().where(exchange.c.exchange_id == event.c.exchange_id),
    )


def _take_events(connection: Connection, span: Span, before: datetime) -> int:
    query = select(event.c.id).where(*_old_events(span, before))
    found = list(connection.execute(query.limit(AT_ONCE)).scalars())
    connection.execute(delete(event).where(event.c.id.in_(found)))
    return len(found)


def _note_gone(connection: Connection, span: Span, now: datetime) -> None:
    this = select(gone.c.first_leaf).where(gone.c.first_leaf == span.first_leaf)
    if connection.execute(this).first() is None:
        connection.execute(insert(gone), {"first_leaf": span.first_leaf, "since": rows.microseconds(now)})


def _has_rows(connection: Connection, span: Span) -> bool:
    if span.kind is Kind.EVENT:
        inside = and_(event.c.id.between(span.first, span.last), event.c.exchange_id != THE_LOG)
        query: Any = select(event.c.id).where(inside)
    else:
        query = select(exchange.c.seq).where(exchange.c.seq.between(*leaves.seqs(span.first, span.last)))
    return connection.execute(query.limit(1)).first() is not None
