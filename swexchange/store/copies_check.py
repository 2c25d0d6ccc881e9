"""Holds what changes behind an entry, an answer's parent and the copies of an exchange, against what explains it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, exists, func, literal, or_, select

from swexchange.core.model import Event, Kind, Outcome
from swexchange.store.archive_tables import taken
from swexchange.store.tables import ADDED, COPY_STATES, copy, event, exchange


def badly_matched(connection: Connection) -> Sequence[str]:
    """Answers that came before their parent, whose rows now say other than their MATCHED event and their parent."""
    return list(connection.execute(_unexplained).scalars())


def badly_added(connection: Connection) -> Sequence[str]:
    """Exchanges with a copy that was neither decided nor sent by a replay."""
    return list(connection.execute(_unreplayed).scalars())


def badly_standing(connection: Connection) -> Sequence[str]:
    """Exchanges with a copy of which no state is told that there is: nobody sends it."""
    return list(connection.execute(_stateless).scalars())


_parent = exchange.alias("parent")
_explained = exists().where(
    event.c.exchange_id == exchange.c.exchange_id,
    event.c.event == str(Event.MATCHED),
    event.c.detail == exchange.c.parent_exchange_id,
    _parent.c.exchange_id == exchange.c.parent_exchange_id,
    _parent.c.message_id == exchange.c.parent_message_id,
    _parent.c.sender == exchange.c.parent_sender,
)
_elsewhere = exists().where(
    copy.c.seq == exchange.c.seq,
    copy.c.kind == str(Kind.MESSAGE),
    copy.c.recipient != exchange.c.parent_sender,
    copy.c.n < ADDED,
)
_explained_by_gone = exists().where(
    event.c.exchange_id == exchange.c.exchange_id,
    event.c.event == str(Event.MATCHED),
    event.c.detail == exchange.c.parent_exchange_id,
    taken.c.exchange_id == exchange.c.parent_exchange_id,
    taken.c.identity == literal("A:") + exchange.c.parent_sender + literal("/") + exchange.c.parent_message_id,
)
_matched_to = exists().where(
    copy.c.seq == exchange.c.seq,
    copy.c.kind == str(Kind.MESSAGE),
    copy.c.recipient == exchange.c.parent_sender,
)
_matches = (
    select(func.count())
    .where(event.c.exchange_id == exchange.c.exchange_id, event.c.event == str(Event.MATCHED))
    .scalar_subquery()
)
_waits = and_(exchange.c.outcome == str(Outcome.WAITING), _matches == 0)
_has_come = and_(
    *(exchange.c.outcome == str(Outcome.ACCEPTED), _matches == 1, or_(_explained, _explained_by_gone)),
    *(_matched_to, ~_elsewhere),
)
_unexplained = select(exchange.c.exchange_id).where(exchange.c.tries.is_not(None), ~or_(_waits, _has_come))
_replayed = exists().where(
    event.c.exchange_id == exchange.c.exchange_id,
    event.c.event == str(Event.REPLAYED),
    event.c.detail.endswith(literal(" message ") + copy.c.recipient),
)
_is_matched = and_(exchange.c.tries.is_not(None), func.coalesce(exchange.c.parent_sender, "") == copy.c.recipient)
_unreplayed = (
    select(exchange.c.exchange_id)
    .join_from(copy, exchange, exchange.c.seq == copy.c.seq)
    .where(copy.c.n >= ADDED, ~_replayed, ~_is_matched)
)
_stateless = (
    select(exchange.c.exchange_id)
    .join_from(copy, exchange, exchange.c.seq == copy.c.seq)
    .where(copy.c.state.not_in(COPY_STATES))
    .distinct()
)
