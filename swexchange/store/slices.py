"""A slice of a day: which exchanges came in it, their copies, and how these stand.

In SQLite accepted messages are found by indexes and by rows of `copy`; their own rows, as large as
the messages, are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from swexchange.core.identity import first_id
from swexchange.core.model import Kind
from swexchange.core.reconcile import bounds
from swexchange.store.ledger import POSITIONS
from swexchange.store.tables import COPY_STATES, batch, copy, exchange

SLICE = timedelta(hours=1)  # of a day in one query: no reader stays in SQLite's way for long


@dataclass(frozen=True, slots=True)
class Span:
    """Exchanges of a stretch of time."""

    first: str  # exchange ids from this on
    end: str  # and before this
    low: int = 0  # exchange.seq from this on, so that nobody looks for their copies among all
    high: int = 2**62  # to this


def span_of(begins: datetime, ends: datetime) -> Span:
    """What came between two times."""
    return Span(first_id(begins), first_id(ends))


def located(connection: Connection, span: Span) -> Span | None:
    """The span with the bounds of its rows; None where nothing came."""
    bounds_of_rows = select(func.min(exchange.c.seq), func.max(exchange.c.seq)).where(within(span))
    low, high = connection.execute(bounds_of_rows).one()
    return None if low is None else replace(span, low=low, high=high)


def slices(day: date) -> Iterator[Span]:
    """A day, in slices."""
    begins, ends = bounds(day)
    while begins < ends:
        yield span_of(begins, begins + SLICE)
        begins += SLICE


def within(span: Span) -> ColumnElement[bool]:
    """The span's exchanges."""
    return and_(exchange.c.exchange_id >= span.first, exchange.c.exchange_id < span.end)


def copies_within(span: Span) -> ColumnElement[bool]:
    """Copies of the span's exchanges, told by an index alone: a join would have every message read."""
    these = (copy.c.seq + 0).in_(select(exchange.c.seq).where(within(span)))  # an expression: no key to begin with
    return and_(copy.c.seq.between(span.low, span.high), these)


is_message, is_receipt = copy.c.kind == str(Kind.MESSAGE), copy.c.kind == str(Kind.RECEIPT)
is_owed = or_(copy.c.state.in_(("due", "queued")), and_(copy.c.state.is_(None), batch.c.settled_at.is_(None)))
is_dropped = copy.c.state == "dropped"
is_no_state = copy.c.state.not_in(COPY_STATES)  # somebody changed it: nobody sends what stands so, nor knows if it was
copy_stands = case((is_owed, "owed"), (is_dropped, "dropped"), (is_no_state, "unknown"), else_="delivered")
of_batch = batch.c.id == copy.c.seq // POSITIONS
copies_with_batch = copy.outerjoin(batch, of_batch)
copies_with_exchange = copies_with_batch.join(exchange, exchange.c.seq == copy.c.seq)
