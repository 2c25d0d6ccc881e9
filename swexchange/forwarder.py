"""Sends what is still owed: copies that no broker confirmed, and answers whose parent has come.

One pass is `send_due`; the worker calls it between batches. It decides nothing anew.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from swexchange.core.conclude import answering
from swexchange.core.model import Copy, Decision, Fate, Parent
from swexchange.core.settle import choose_parent
from swexchange.crashpoint import crashpoint
from swexchange.pipeline import Book, Sink

AT_ONCE = 200  # copies or answers in one pass


class MatchBook(Book, Protocol):
    """A write transaction in which waiting answers find their parents."""

    def match(self, answer: Decision, parent: Parent, copy: Copy) -> None:
        """A waiting answer is accepted now: its parent, its copy (due at once), an event MATCHED."""


class Outstanding(Protocol):
    """What the ledger still owes. Every method raises StoreDown when the database fails it."""

    def due(self, now: datetime, limit: int, remote: Set[str]) -> Sequence[Copy]:
        """Claim copies to send again: of batches unsettled for a minute, and parked ones whose time has come.

        Claimed copies are not due again for a minute, so two workers do not send the same ones.
        Copies for `remote` participants, who are behind an upstream, are queued for it instead.
        """

    def mark(self, fates: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        """Note their fates: a confirmed one is done, another is due again later (10 s, doubling to 10 min)."""

    def owed(self, most: int) -> int:
        """How many copies are due or queued, counted to `most` of each."""

    def waiting(self, now: datetime, limit: int) -> Sequence[Decision]:
        """Claim answers that wait for a parent and are due for a try (1 s, doubling to 1 min); body included."""

    def matching(self, now: datetime) -> AbstractContextManager[MatchBook]:
        """Open a write transaction for `match`."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What one pass did: answers that found their parent, copies sent again with their fates."""

    matched: Sequence[Decision]
    fates: Sequence[tuple[Copy, Fate]]


def send_due(owed: Outstanding, sink: Sink, now: datetime, remote: Set[str] = frozenset()) -> Sent:
    """One pass: match waiting answers, then send what is due. Raises StoreDown or BrokerLost."""
    matched = _match(owed, now)
    # The copies of matched answers are among the due ones: they were recorded as due at once.
    copies = owed.due(now, AT_ONCE, remote)
    if not copies:
        return Sent(matched, ())
    crashpoint("due")
    fates = list(zip(copies, sink.publish(copies), strict=True))
    crashpoint("resent")
    owed.mark(fates, now)
    return Sent(matched, fates)


def _match(owed: Outstanding, now: datetime) -> list[Decision]:
    waiting = owed.waiting(now, AT_ONCE)
    if not waiting:
        return []
    matched = []
    with owed.matching(now) as book:
        for answer in waiting:
            if parent := choose_parent(answer, book.candidates(answer)):
                accepted = answering(answer, parent)
                book.match(answer, parent, accepted.copies[0])
                matched.append(accepted)
                crashpoint("answer-matched")
    if matched:
        crashpoint("matched")
    return matched
