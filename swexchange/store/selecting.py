"""A filter of exchanges as conditions of SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, select

from swexchange.core.codes import ACCEPTED, HELD
from swexchange.core.identity import first_id
from swexchange.core.model import BusinessKey, Outcome
from swexchange.core.search import Filter, State
from swexchange.store.states import has_copy
from swexchange.store.tables import NOT_ACCEPTED, business_key, exchange

_later = exchange.alias("later")
_decided_since = and_(
    _later.c.digest == exchange.c.digest, _later.c.submitter == exchange.c.submitter, _later.c.code != HELD
)
is_waiting_for_an_operator = and_(
    NOT_ACCEPTED, exchange.c.code == HELD, ~exists(select(_later.c.seq).where(_decided_since))
)
_is_waiting = and_(NOT_ACCEPTED, exchange.c.outcome == str(Outcome.WAITING))


def conditions(wanted: Filter) -> list[Any]:
    """What holds of the rows of `exchange` that a filter finds, whatever its limit."""
    held: list[Any] = []
    if wanted.exchanges:
        held.append(exchange.c.exchange_id.in_(wanted.exchanges))
    if wanted.message_id:
        held.append(exchange.c.message_id == wanted.message_id)
    if wanted.key:
        held.append(exchange.c.seq.in_(_with_key(wanted.key)))
    given = ((name, getattr(wanted, name)) for name in ("sender", "type", "outcome", "code", "route"))
    held += [compared(wanted, name) == value for name, value in given if value]
    if wanted.outcome in (Outcome.REJECTED, Outcome.WAITING) or wanted.code not in ("", ACCEPTED):
        held.append(NOT_ACCEPTED)
    of_message = {State.HELD: is_waiting_for_an_operator, State.WAITING: _is_waiting}
    if wanted.state in of_message:
        held.append(of_message[wanted.state])
    of_copy = None if wanted.state in of_message else wanted.state
    if wanted.receiver or of_copy:
        held.append(has_copy(of_copy, wanted.receiver))
    number = compared(wanted, "exchange_id")
    if wanted.since:
        held.append(number >= first_id(wanted.since))
    if wanted.until:
        held.append(number < first_id(wanted.until))
    if wanted.after:
        held.append(number < wanted.after)
    return held


def compared(wanted: Filter, name: str) -> ColumnElement[str]:
    """A column to compare or sort by: as an expression, where its own index would find more than the one to use.

    A message id or a business key fits few exchanges, but without statistics no database knows.
    """
    column: ColumnElement[str] = exchange.c[name]
    return column.concat("") if wanted.message_id or wanted.key else column


def _with_key(key: BusinessKey) -> Select[Any]:
    query = select(business_key.c.seq).where(business_key.c.value == key.value)
    return query.where(business_key.c.name == key.name) if key.name else query
