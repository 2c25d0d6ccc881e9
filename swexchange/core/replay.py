"""What a replay sends: chosen once, when it is planned, and frozen. Pure.

`resend` sends again what was sent. `decide` sends what today's rules would: to destinations
that a message never went to, and, for what was refused, by accepting it after all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swexchange.core.compare import Judged
from swexchange.core.model import ASKER, Copy, Delivery, Kind


class How(StrEnum):
    """What a replay does with an exchange."""

    RESEND = "resend"  # its stored copies as they are
    DECIDE = "decide"  # decided again under today's rules, as of its time of receipt


class Does(StrEnum):
    """What an item does once it is its turn."""

    SEND = "send"  # sends copies of a recorded exchange
    ACCEPT = "accept"  # accepts, as a new exchange, what was refused


class Left(StrEnum):
    """Why an exchange is left out of a plan."""

    NOTHING = "nothing was sent of it"
    OWED = "the daemon still sends it by itself"
    ELSEWHERE = "none of its copies is chosen"
    REFUSED = "today's rules refuse it"
    TAKEN = "a message that was accepted holds its id"
    SUPERSEDED = "a later message has its id"


@dataclass(frozen=True, slots=True)
class Scope:
    """What of the exchanges found is replayed."""

    how: How
    to: frozenset[str] = frozenset()  # these destinations only; empty = all
    receipts: bool = False  # stored receipts too
    only_new: bool = False  # no copy that its receiver has already


@dataclass(frozen=True, slots=True)
class Target:
    """One copy that a replay sends."""

    kind: Kind
    to: str  # participant; ASKER where an answer that is accepted now has yet to find who asked
    repeat: bool = False  # its receiver has it already, under the same id


@dataclass(frozen=True, slots=True)
class Item:
    """One exchange of a plan."""

    seq: int
    does: Does
    targets: tuple[Target, ...]


def plan(one: Judged, scope: Scope, *, is_taken: bool = False) -> Item | Left:
    """What a replay does with an exchange, or why it does nothing; `is_taken`: an accepted message has its id."""
    if scope.how is How.RESEND:
        return _resent(one, scope)
    if not one.now.accepted:
        return Left.REFUSED
    if one.then.accepted:
        return _sent_anew(one, scope)
    return Left.TAKEN if is_taken else _accepted_after_all(one, scope)


def _resent(one: Judged, scope: Scope) -> Item | Left:
    copies = [copy for copy in one.copies if copy.kind is Kind.MESSAGE or scope.receipts]
    if not copies:
        return Left.NOTHING
    return _item(one, [Target(copy.kind, copy.to, copy.sent) for copy in copies], scope)


def _sent_anew(one: Judged, scope: Scope) -> Item | Left:
    to = [one.asker if name == ASKER else name for name in one.now.to]
    had = {copy.to for copy in one.copies if copy.kind is Kind.MESSAGE and copy.sent}
    return _item(one, [Target(Kind.MESSAGE, name, name in had) for name in to if name], scope)


def _item(one: Judged, targets: Sequence[Target], scope: Scope) -> Item | Left:
    """With what is chosen of the targets; what the daemon still owes is left to it."""
    owed = {(copy.kind, copy.to) for copy in one.copies if copy.owed}
    chosen = [t for t in targets if not scope.to or t.to in scope.to]
    mine = tuple(t for t in chosen if (t.kind, t.to) not in owed and not (scope.only_new and t.repeat))
    if mine:
        return Item(one.seq, Does.SEND, mine)
    return Left.OWED if any((t.kind, t.to) in owed for t in chosen) else Left.ELSEWHERE


def _accepted_after_all(one: Judged, scope: Scope) -> Item | Left:
    """An acceptance is whole: it cannot go to some of its destinations only."""
    if scope.to and not scope.to.issuperset(one.now.to):
        return Left.ELSEWHERE
    messages = (Target(Kind.MESSAGE, name) for name in one.now.to)
    return Item(one.seq, Does.ACCEPT, (*messages, Target(Kind.RECEIPT, one.sender)))


@dataclass(frozen=True, slots=True)
class Parcel:
    """One item whose turn it is, with all that it sends."""

    seq: int
    exchange_id: str
    lane: str  # what it must not overtake (core.lanes); '' = nothing
    copies: tuple[Copy, ...]  # to send at once; empty for a message to accept
    delivery: Delivery | None = None  # the message to accept after all
    received_at: datetime | None = None  # when it came
    queued: tuple[Copy, ...] = ()  # to queue for an upstream, whose forwarder sends them
    pruned: bool = False  # its bytes are not in the database any more: it cannot be sent


PRUNED = "its bytes lie in an archive"  # the fate of an item whose message was pruned since it was planned
BEHIND = "behind a failed one"  # the fate of an item that must not overtake another


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one item; `fate` is empty where all went well."""

    parcel: Parcel
    fate: str = ""
    accepted_as: str = ""  # the new exchange of a message that was accepted after all


def waves(parcels: Sequence[Parcel]) -> Iterator[list[int]]:
    """Positions in groups to be sent one after the other: no two of a group are of one lane.

    What concerns the same business number keeps its order so, even when one of it fails.
    """
    groups: list[list[int]] = []
    waves_of: Counter[str] = Counter()  # how many waves each lane has
    for position, one in enumerate(parcels):
        wave = waves_of[one.lane]
        waves_of[one.lane] += bool(one.lane)
        if wave == len(groups):
            groups.append([])
        groups[wave].append(position)
    yield from groups
