"""Two decisions about the same bytes, compared by what they do: who gets a copy, or why nobody does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swexchange.core import codes
from swexchange.core.model import ASKER, Decision, Kind, Outcome, Parent


class Change(StrEnum):
    """What another decision would change."""

    SAME = "same"
    MOVED = "moved"  # accepted by both, other participants get it
    UNROUTABLE = "unroutable"  # was accepted; nothing would take it
    REFUSED = "refused"  # was accepted
    ACCEPTED = "accepted"  # was refused
    REASON = "reason"  # refused by both, with another code


@dataclass(frozen=True, slots=True)
class Effect:
    """What a decision does beside its receipt."""

    accepted: bool
    code: str  # '0000', or why it was refused
    to: tuple[str, ...] = ()  # participants, sorted; ASKER = whoever asked, known yet or not

    def __str__(self) -> str:
        return ", ".join(self.to) if self.accepted else f"refused {self.code}"


@dataclass(frozen=True, slots=True)
class PastCopy:
    """One copy as recorded."""

    kind: Kind
    to: str
    sent: bool  # a broker has confirmed it
    dropped: bool = False  # an operator gave it up: nobody sends it by himself

    @property
    def owed(self) -> bool:
        """Whether the daemon still sends it, or an upstream's forwarder."""
        return not (self.sent or self.dropped)


@dataclass(frozen=True, slots=True)
class Past:
    """One exchange as recorded."""

    seq: int  # order of recording
    decision: Decision  # without copies
    parent: Parent | None
    copies: tuple[PastCopy, ...]


def effect_of(decision: Decision) -> Effect:
    """The effect of a fresh decision."""
    to = [copy.to for copy in decision.copies if copy.kind is Kind.MESSAGE]
    return _effect(decision, to, decision.outcome is Outcome.WAITING)


def recorded_effect(past: Past) -> Effect:
    """The effect that a recorded decision had, in the words of a fresh one: an answer went to ASKER."""
    to = [copy.to for copy in past.copies if copy.kind is Kind.MESSAGE]
    if past.parent and past.parent.sender in to:
        to.remove(past.parent.sender)  # once: the route may name the same participant too
    return _effect(past.decision, to, past.parent is not None or past.decision.outcome is Outcome.WAITING)


def _effect(decision: Decision, to: Sequence[str], answers: bool) -> Effect:
    if decision.outcome is Outcome.REJECTED:
        return Effect(False, decision.code)
    return Effect(True, decision.code, tuple(sorted({*to, ASKER} if answers else set(to))))


def change(then: Effect, now: Effect) -> Change:
    """What differs, once `now` takes the place of `then`."""
    if then.accepted and now.accepted:
        return Change.SAME if then.to == now.to else Change.MOVED
    if then.accepted:
        return Change.UNROUTABLE if now.code in (codes.NO_ROUTE, codes.NO_RECEIVER) else Change.REFUSED
    if now.accepted:
        # A conflict is not the rules' doing: another message holds the id, whatever they say.
        return Change.SAME if then.code == codes.CONFLICT else Change.ACCEPTED
    return Change.SAME if then.code == now.code else Change.REASON


@dataclass(frozen=True, slots=True)
class Judged:
    """One exchange as it was decided, and as other rules decide it."""

    seq: int
    exchange_id: str
    received_at: datetime
    sender: str  # '' = not authenticated
    message_id: str
    type: str
    then: Effect
    now: Effect
    change: Change
    asker: str  # the participant whom it answered; '' = none is known
    copies: tuple[PastCopy, ...]


def judged(past: Past, fresh: Decision) -> Judged:
    """A recorded exchange beside a fresh decision about its bytes."""
    recorded, then, now = past.decision, recorded_effect(past), effect_of(fresh)
    return Judged(
        seq=past.seq,
        exchange_id=recorded.exchange_id,
        received_at=recorded.received_at,
        sender=fresh.sender or recorded.sender,
        message_id=fresh.message_id or recorded.message_id,
        type=fresh.type or recorded.type,
        then=then,
        now=now,
        change=change(then, now),
        asker=past.parent.sender if past.parent else "",
        copies=past.copies,
    )
