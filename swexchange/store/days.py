"""Which checkpoint covers a day of the audit log, and whether all that was sealed of the day is still there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from swexchange.core.identity import first_id
from swexchange.core.log import Kind, Signed
from swexchange.store import leaves
from swexchange.store.evidence import Evidence
from swexchange.store.evidence_tables import checkpoint, sealed
from swexchange.store.ledger import POSITIONS
from swexchange.store.tables import batch, exchange

_batch = exchange.c.seq // POSITIONS
_is_batch = sealed.c.kind == str(Kind.BATCH)
_NO_END = 2**62


class Days(Evidence):
    """The Merkle log by days; for one thread. Close it."""

    def covering(self, begins: datetime, ends: datetime) -> Signed | None:
        """The first checkpoint over all that was received before a day ended; None while that is not sealed.

        One that a witness has signed goes first. Batch numbers need not follow the clock, so all from the
        day's lowest to its highest are wanted.
        """
        day = exchange.c.exchange_id >= first_id(begins), exchange.c.exchange_id < first_id(ends)
        with self._reading() as connection:
            first, last = connection.execute(select(func.min(_batch), func.max(_batch)).where(*day)).one()
            if last is None:
                last = first = connection.execute(_before(ends)).scalar()
            size = 0 if last is None else _sealed_through(connection, first, last)  # 0: the log begins after this day
        if size is None:
            return None
        best = (checkpoint.c.witnesses > 0).desc(), checkpoint.c.size
        return self._signed(select(checkpoint).where(checkpoint.c.size >= size).order_by(*best).limit(1))

    def missing(self, begins: datetime, ends: datetime) -> int:
        """How many sealed messages, between what came before a day and what came after, are no longer there.

        Told by runs that lie wholly between the two. Counted by an index; one by one only where that differs,
        as after a jump of the clock.
        """
        with self._reading() as connection:
            low = connection.execute(_before(begins)).scalar()
            high = connection.execute(_after(ends)).scalar()
            low, high = -1 if low is None else low, _NO_END if high is None else high
            between = and_(_is_batch, sealed.c.first > low, sealed.c.last < high)
            spans = connection.execute(select(sealed).where(between)).all()
            if not spans:
                return 0
            wanted = sum(span.leaves for span in spans)
            first, last = leaves.seqs(min(span.first for span in spans), max(span.last for span in spans))
            day = exchange.c.exchange_id >= first_id(begins), exchange.c.exchange_id < first_id(ends)
            if _count(connection, exchange.c.seq.between(first, last), *day) == wanted:
                return 0
            seqs = (leaves.seqs(span.first, span.last) for span in spans)
            there = sum(_count(connection, exchange.c.seq.between(*found)) for found in seqs)
        return int(wanted) - there


def _before(at: datetime) -> Select[Any]:
    """The batch of the last message that came before a time."""
    query = select(_batch).where(exchange.c.exchange_id < first_id(at))
    return query.order_by(exchange.c.exchange_id.desc()).limit(1)


def _after(at: datetime) -> Select[Any]:
    """The batch of the first message that came at a time or later."""
    return select(_batch).where(exchange.c.exchange_id >= first_id(at)).order_by(exchange.c.exchange_id).limit(1)


def _sealed_through(connection: Connection, first: int, last: int) -> int | None:
    """The size of the log that has all of these batches; None while one is not sealed."""
    inside = and_(_is_batch, sealed.c.last >= first, sealed.c.first <= last)
    spans = connection.execute(select(sealed).where(inside)).all()
    covered = sum(min(s.last, last) - max(s.first, first) + 1 for s in spans)
    wanted = select(func.count()).select_from(batch).where(batch.c.id.between(first, last))
    if connection.execute(wanted).scalar_one() > covered:
        return None
    ends: list[int] = [span.first_leaf + span.leaves for span in spans]
    return max(ends)


def _count(connection: Connection, *conditions: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(exchange).where(*conditions)).scalar_one())
