"""What came in on a day and what became of it, counted in SQL, slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, Select, and_, bindparam, case, func, or_, select, union_all

from swexchange.core.codes import HELD
from swexchange.core.model import Event, Kind, Outcome
from swexchange.core.reconcile import Account, Became, Item, Side, Standing
from swexchange.store import rows
from swexchange.store.slices import (
    Span,
    copies_with_batch,
    copies_with_exchange,
    copies_within,
    copy_stands,
    is_dropped,
    is_message,
    is_no_state,
    is_owed,
    is_receipt,
    of_batch,
    within,
)
from swexchange.store.tables import COPY_STATES, NOT_ACCEPTED, batch, copy, event, exchange


class Accounts:
    """Accounts of a day that grow slice by slice: of all participants, or of one."""

    def __init__(self, day: date, participant: str) -> None:
        self._day, self._only = day, participant
        self._accounts = {participant: Account(day, participant)} if participant else {}

    def all(self) -> list[Account]:
        """The accounts by participant, the items of each by exchange."""
        for account in self._accounts.values():
            account.items.sort(key=lambda item: (item.exchange_id, item.side, item.what))
        return [account for _, account in sorted(self._accounts.items())]

    def count(self, connection: Connection, senders: Iterable[str], span: Span) -> None:
        """Add a slice of the day."""
        unsigned = () if self._only else connection.execute(_unknown_submitters(span)).scalars()
        for sender in sorted({*senders, *unsigned} - {""}):
            _count_sent(connection, self._of(sender), span)
        # Of all, and those of one picked here: a database would rather read every copy there is for a recipient.
        for recipient, count in connection.execute(_addressed(span)):
            if self._is_meant(recipient):
                self._of(recipient).addressed += count
        for recipient, stands, count in connection.execute(_standing(span)):
            if self._is_meant(recipient):
                self._of(recipient).copies[stands] += count
        for party, item in (*_undecided(connection, span), *_not_delivered(connection, span)):
            if self._is_meant(party):
                self._of(party).items.append(item)

    def _of(self, participant: str) -> Account:
        return self._accounts.setdefault(participant, Account(self._day, participant))

    def _is_meant(self, party: str) -> bool:
        return party == self._only if self._only else party != ""


def senders_within(connection: Connection, span: Span) -> list[str]:
    """Who signed something within a span: from one sender to the next in the index, past all that each sent."""
    found: list[str] = []
    behind = select(func.min(exchange.c.sender)).where(exchange.c.sender > bindparam("last"))
    while last := connection.execute(behind, {"last": found[-1] if found else ""}).scalar():
        found.append(last)
    sent = select(exchange.c.seq).where(exchange.c.sender == bindparam("sender"), within(span)).limit(1)
    return [sender for sender in found if connection.execute(sent, {"sender": sender}).first()]


def _mine(participant: str, span: Span) -> CTE:
    """The `seq` of what a participant sent; two ranges of one index."""
    signed = select(exchange.c.seq).where(exchange.c.sender == participant, within(span))
    unsigned = select(exchange.c.seq).where(exchange.c.sender == "", within(span), exchange.c.submitter == participant)
    return union_all(signed, unsigned).cte("mine")


def _refused(span: Span) -> CTE:
    """What was not accepted, by its own index; joined row by row it would have every message read."""
    names = "seq", "exchange_id", "sender", "submitter", "message_id", "outcome", "code"
    columns = (exchange.c[name] for name in names)
    outcomes = exchange.c.outcome.in_((str(Outcome.REJECTED), str(Outcome.WAITING)))
    return select(*columns).where(NOT_ACCEPTED, outcomes, within(span)).cte("refused").prefix_with("MATERIALIZED")


def _counted(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((and_(*conditions), 1), else_=0)), 0)


def _worst(of_kind: ColumnElement[bool]) -> ColumnElement[str]:
    """How the copies of a kind stand together, in a group of one exchange."""
    return case(
        (_counted(of_kind) == 0, "none"),
        (_counted(of_kind, is_no_state) > 0, "unknown"),
        (_counted(of_kind, is_owed) > 0, "owed"),
        (_counted(of_kind, is_dropped) > 0, "dropped"),
        else_="delivered",
    )


def _sent(participant: str, span: Span) -> CTE:
    """What became of each message that a participant sent."""
    mine = _mine(participant, span)
    own = and_(copy.c.seq == mine.c.seq, copy.c.seq.between(span.low, span.high))
    joined = mine.outerjoin(copy, own).outerjoin(batch, of_batch)
    columns = mine.c.seq, _worst(is_message).label("copies"), _worst(is_receipt).label("receipt")
    return select(*columns).select_from(joined).group_by(mine.c.seq).cte("sent")


def _count_sent(connection: Connection, account: Account, span: Span) -> None:
    mine, sent, refused = _mine(account.participant, span), _sent(account.participant, span), _refused(span)
    account.received += connection.execute(select(func.count()).select_from(mine)).scalar_one()
    what = case((refused.c.code == HELD, "held"), (refused.c.outcome.is_(None), "accepted"), else_=refused.c.outcome)
    query = select(what.label("what"), sent.c.copies, sent.c.receipt, func.count())
    query = query.select_from(sent.outerjoin(refused, refused.c.seq == sent.c.seq))
    without = 0
    for outcome, copies, receipt, count in connection.execute(query.group_by("what", sent.c.copies, sent.c.receipt)):
        account.became[Became(outcome, copies, receipt)] += count
        without += count * (outcome == "accepted" and copies == "none")
    if without:
        account.items += _without_copy(connection, sent, refused)


def _without_copy(connection: Connection, sent: CTE, refused: CTE) -> Iterator[Item]:
    joined = sent.outerjoin(refused, refused.c.seq == sent.c.seq).join(exchange, exchange.c.seq == sent.c.seq)
    query = select(exchange.c.exchange_id, exchange.c.message_id).select_from(joined)
    for number, message_id in connection.execute(query.where(refused.c.seq.is_(None), sent.c.copies == "none")):
        yield Item(Side.SENDER, Standing.WRONG, number, message_id, "was accepted, and no copy of it stands here")


def _unknown_submitters(span: Span) -> Select[Any]:
    return select(exchange.c.submitter).where(exchange.c.sender == "", within(span)).distinct()


def _addressed(span: Span) -> Select[Any]:
    query = select(copy.c.recipient, func.count()).where(is_message, copies_within(span))
    return query.group_by(copy.c.recipient)


def _standing(span: Span) -> Select[Any]:
    query = select(copy.c.recipient, copy_stands.label("stands"), func.count()).select_from(copies_with_batch)
    return query.where(is_message, copies_within(span)).group_by(copy.c.recipient, "stands")


def _undecided(connection: Connection, span: Span) -> Iterator[tuple[str, Item]]:
    """Answers without a parent, and held messages, each with whose it is."""
    refused = _refused(span)
    this = or_(refused.c.outcome == str(Outcome.WAITING), refused.c.code == HELD)
    columns = _party(refused.c), refused.c.exchange_id, refused.c.message_id, refused.c.code, _is_decided(refused)
    for party, number, message_id, code, is_decided in connection.execute(select(*columns).where(this)):
        standing, what = Standing.OPEN, "waits for the message that it answers"
        if code == HELD and is_decided:
            standing, what = Standing.CLOSED, "was held; its bytes were decided later, as another exchange"
        elif code == HELD:
            what = "is held for an operator"
        yield party, Item(Side.SENDER, standing, number, message_id, what)


def _party(row: Any) -> ColumnElement[str]:
    return case((row.sender == "", row.submitter), else_=row.sender)


def _is_decided(held: CTE) -> ColumnElement[bool]:
    """Whether the bytes of a held message were decided since."""
    own, later = exchange.alias("own"), exchange.alias("later")
    same = and_(later.c.digest == own.c.digest, later.c.submitter == own.c.submitter, later.c.code != HELD)
    return select(later.c.seq).join_from(own, later, same).where(own.c.seq == held.c.seq).exists()


def _not_delivered(connection: Connection, span: Span) -> Iterator[tuple[str, Item]]:
    """Copies that are owed, were given up or say nothing, for who sent the message and for who was to get it."""
    columns = (exchange.c.exchange_id, exchange.c.message_id, copy.c.kind, copy.c.recipient, copy.c.state, copy.c.tries)
    query = (
        select(_party(exchange.c), *columns)
        .select_from(copies_with_exchange)
        .where(copies_within(span), or_(is_owed, is_dropped, is_no_state))
    )
    for party, number, message_id, kind, recipient, state, tries in connection.execute(query):
        standing, what = Standing.OPEN, f"is {rows.copy_state(state, None)}, {tries or 0} tries"
        if state == "dropped":
            standing, what = _given_up(connection, number, recipient)
        elif state not in (None, *COPY_STATES):
            standing, what = Standing.WRONG, "is in no state that there is: somebody changed its row, nobody sends it"
        said = f"{kind} for {recipient} {what}"
        yield party, Item(Side.SENDER, standing, number, message_id, said)
        if kind == Kind.MESSAGE:
            yield recipient, Item(Side.RECEIVER, standing, number, message_id, said)


def _given_up(connection: Connection, exchange_id: str, recipient: str) -> tuple[Standing, str]:
    query = select(event.c.detail).where(event.c.exchange_id == exchange_id, event.c.event == str(Event.DROPPED))
    for detail in connection.execute(query).scalars():
        if detail.startswith(f"{recipient}: "):
            return Standing.CLOSED, f"was given up: {detail.removeprefix(f'{recipient}: ')}"
    return Standing.WRONG, "was given up, and no event says by whom"
