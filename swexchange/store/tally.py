"""What came in on a day and what became of it, for reconciliation: quick with a million a day. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, or_, select

from swexchange.core.codes import HELD
from swexchange.core.reconcile import Account, Line, Side, bounds
from swexchange.store import rows
from swexchange.store.accounts import Accounts, senders_within
from swexchange.store.days import Days
from swexchange.store.slices import (
    copies_with_exchange,
    copies_within,
    copy_stands,
    is_message,
    located,
    slices,
    span_of,
    within,
)
from swexchange.store.tables import copy, exchange


class Tally(Days):
    """A database as reconcile.Log, and the accounts of participants; for one thread. Close it."""

    def accounts(
        self, day: date, participant: str = "", advance: Callable[[int], object] = lambda _: None
    ) -> list[Account]:
        """The day of a participant, or of each who sent something or was to get something, with what is open.

        `advance` is told of each of the 24 hours.
        """
        found = Accounts(day, participant)
        with self._reading() as connection:
            senders = [participant] if participant else senders_within(connection, span_of(*bounds(day)))
        for hour in slices(day):
            with self._reading() as connection:
                if span := located(connection, hour):
                    found.count(connection, senders, span)
            advance(1)
        return found.all()

    def lines(self, day: date, participant: str, side: Side) -> list[Line]:
        """A participant's messages of a day, oldest first: those it sent, or those for it that are delivered."""
        query = _sent_lines(participant) if side is Side.SENDER else _delivered_lines(participant)
        found: list[Line] = []
        for hour in slices(day):
            with self._reading() as connection:
                if not (span := located(connection, hour)):
                    continue
                these = copies_within(span) if side is Side.RECEIVER else within(span)
                part = query.where(these).order_by(exchange.c.exchange_id)
                found += (Line(r[0], bytes(r[1]), r[2], r[3]) for r in connection.execute(part))
        return found

    def elsewhere(self, participant: str, name: str) -> Sequence[tuple[str, datetime]]:
        """Exchanges of any day that a participant sent under a message id, or with a digest in hex: id and time."""
        this = exchange.c.message_id == name
        if len(name) == 64:
            this = or_(this, exchange.c.digest == _digest(name))
        query = select(exchange.c.exchange_id, exchange.c.received_at).where(this, _is_of(participant))
        with self._reading() as connection:
            found = connection.execute(query.order_by(exchange.c.exchange_id).limit(10)).all()
        return [(number, rows.moment(at)) for number, at in found]


def _is_of(participant: str) -> ColumnElement[bool]:
    """What a participant signed, or what came through its exchange and nobody could be made out who signed it."""
    return or_(
        exchange.c.sender == participant,
        and_(exchange.c.sender == "", exchange.c.submitter == participant),
    )


def _sent_lines(participant: str) -> Select[Any]:
    outcome = case((exchange.c.code == HELD, "held"), else_=exchange.c.outcome)
    columns = exchange.c.exchange_id, exchange.c.digest, exchange.c.message_id, outcome
    return select(*columns).where(_is_of(participant))


def _delivered_lines(participant: str) -> Select[Any]:
    columns = exchange.c.exchange_id, exchange.c.digest, exchange.c.message_id, copy_stands
    this = is_message, copy.c.recipient == participant, copy_stands == "delivered"
    return select(*columns).select_from(copies_with_exchange).where(*this)


def _digest(name: str) -> bytes:
    try:
        return bytes.fromhex(name)
    except ValueError:
        return b""
