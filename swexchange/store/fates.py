"""What became of copies: their rows, and the events that say what went wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    insert,
    or_,
    select,
    update,
)

from swexchange.core.model import Copy, Event, Fate, Happening
from swexchange.crashpoint import crashpoint
from swexchange.store import rows
from swexchange.store.tables import copy, event, exchange

FIRST_PAUSE, LONGEST_PAUSE = 10_000_000, 600_000_000  # microseconds between two attempts for a copy
FARTHEST_LEASE = 3600 * 1_000_000  # microseconds: one that ends later was taken by a clock that was wrong

EVENT_OF_FATE = {Fate.RETURNED: Event.RETURNED, Fate.REFUSED: Event.REFUSED, Fate.UNKNOWN: Event.UNCONFIRMED}


def note(connection: Connection, happenings: Iterable[Happening], now: int) -> None:
    """Add events at a time in microseconds."""
    values = [{"exchange_id": h.exchange_id, "at": now, "event": str(h.event), "detail": h.detail} for h in happenings]
    if values:
        connection.execute(_add_event, values)


def this_copy(wanted: Copy) -> ColumnElement[bool]:
    """The row of a copy."""
    return _copy_named(wanted.exchange_id, str(wanted.kind), wanted.to)


def _copy_named(of: Any, what: Any, to: Any) -> ColumnElement[bool]:
    seq = select(exchange.c.seq).where(exchange.c.exchange_id == of).scalar_subquery()
    return and_(copy.c.seq == seq, copy.c.kind == what, copy.c.recipient == to)


named_copy = _copy_named(bindparam("of"), bindparam("what"), bindparam("to"))
"""The row of a copy that is named when the statement is run: by its exchange's id, its kind and its recipient."""


def copy_in(row: rows.Row) -> ColumnElement[bool]:
    """The row of a copy that was read, with `seq` and `n`."""
    return and_(copy.c.seq == row["seq"], copy.c.n == row["n"])


def mark_all(connection: Connection, fates: Sequence[tuple[Copy, Fate]], at: int) -> None:
    """Set the state of each copy by its fate, and note what went wrong."""
    for sent, fate in fates:
        if fate is Fate.CONFIRMED:
            this = {"of": sent.exchange_id, "what": str(sent.kind), "to": sent.to}
            connection.execute(_confirmed, {**this, "at": at})
        else:
            put_off(connection, this_copy(sent), at, "due")
        crashpoint("copy-marked")
    note_failed(connection, fates, at)


def has_come(time: ColumnElement[int], at: int | ColumnElement[int], longest: int) -> ColumnElement[bool]:
    """Its time has come; or it is further off than any pause: the clock was wrong when it was set, and is right now.

    Where there is none somebody took it away: what would wait for ever has waited long enough.
    """
    return or_(time <= at, time > at + longest, time.is_(None))


def is_due(at: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the time of a copy that `put_off` set, or who recorded it, has come."""
    return has_come(copy.c.due_at, at, LONGEST_PAUSE)


def put_off(connection: Connection, this: ColumnElement[bool], at: int, state: str) -> None:
    """A copy failed: it is tried again after a pause that doubles."""
    found = connection.execute(select(copy.c.tries).where(this)).scalar_one_or_none()
    tries = max(0, found) if isinstance(found, int) else 0  # SQLite holds anything that somebody writes there
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 10))
    connection.execute(update(copy).where(this).values(state=state, due_at=at + pause, tries=min(tries + 1, 1000)))


def note_failed(connection: Connection, fates: Sequence[tuple[Copy, Fate]], at: int) -> None:
    """Add an event for each copy that was not confirmed."""
    failed = [Happening(c.exchange_id, EVENT_OF_FATE[f], c.to) for c, f in fates if f is not Fate.CONFIRMED]
    # A long outage does not fill the trail: what already stands last is not noted again.
    note(connection, [h for h in failed if _last_event(connection, h) != h.event], at)


def _last_event(connection: Connection, happening: Happening) -> str | None:
    return connection.execute(_last, {"of": happening.exchange_id, "what": happening.detail}).scalar()


# Made once: SQLAlchemy takes longer to make a statement than to run it.
_add_event = insert(event)
_at: BindParameter[int] = bindparam("at", type_=BigInteger)
_confirmed = update(copy).where(named_copy).values(state="sent", sent_at=_at, due_at=None, replay=None)
_about = and_(event.c.exchange_id == bindparam("of"), event.c.detail == bindparam("what"))
_last = select(event.c.event).where(_about).order_by(event.c.id.desc()).limit(1)
