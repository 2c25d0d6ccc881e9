"""Finds exchanges by how their copies stand, each state by what it has an index for.

What is still to be done stands in small indexes, and is found there. What is done has none: sent and
dropped copies are looked up exchange by exchange, among those that the rest of a search finds.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, or_, select

from swexchange.core.model import Kind
from swexchange.core.search import State
from swexchange.store.ledger import POSITIONS
from swexchange.store.tables import DUE, QUEUED, batch, copy, exchange

_copy, _batch = copy.alias("standing"), batch.alias("settling")  # a search may join these tables itself


def has_copy(state: State | None, receiver: str) -> ColumnElement[bool]:
    """Whether an exchange has a copy in this state (None: any), a message for this receiver ('': any copy for any)."""
    of_receiver = (_copy.c.recipient == receiver, _copy.c.kind == str(Kind.MESSAGE)) if receiver else ()
    if state in (State.DUE, State.QUEUED):
        open_ones = DUE if state is State.DUE else QUEUED
        return exchange.c.seq.in_(select(_copy.c.seq).where(open_ones, *of_receiver))
    if state is State.UNSETTLED:
        last = _batch.c.id * POSITIONS + POSITIONS - 1
        of_batch = and_(_copy.c.seq.between(_batch.c.id * POSITIONS, last), _copy.c.state.is_(None))
        unsettled = select(_copy.c.seq).join_from(_batch, _copy, of_batch).where(_batch.c.settled_at.is_(None))
        return exchange.c.seq.in_(unsettled.where(*of_receiver))
    return exists(select(_copy.c.seq).where(_copy.c.seq == exchange.c.seq, *of_receiver, *_is_over(state)))


def _is_over(state: State | None) -> tuple[ColumnElement[bool], ...]:
    if state is None:
        return ()
    if state is State.DROPPED:
        return (_copy.c.state == "dropped",)
    is_settled = exists().where(_batch.c.id == _copy.c.seq // POSITIONS, _batch.c.settled_at.is_not(None))
    return (or_(_copy.c.state == "sent", and_(_copy.c.state.is_(None), is_settled)),)
