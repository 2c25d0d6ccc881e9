"""The real ledger on SQLite, with points at which a schedule lets it fail or its process die.

Before a transaction, before its commit, after it: a fault at the last is a commit that was made
and reported as failed, as when the connection breaks between COMMIT and its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import datetime

from swexchange.core.breaker import Standing
from swexchange.core.keys import Key
from swexchange.core.lanes import Weights
from swexchange.core.model import Copy, Decision, Fate
from swexchange.store import Attempts, Backlog, FullLedger
from swexchange.store.ledger import Book
from swexchange.store.owed import MatchBook

Point = Callable[[str], None]


class FaultyLedger:
    """A FullLedger that stops at points."""

    def __init__(self, ledger: FullLedger, point: Point) -> None:
        self._ledger, self._point = ledger, point

    def note_rules(self, digest: str, keys: Collection[Key], now: datetime, manifest: str) -> None:
        self._ledger.note_rules(digest, keys, now, manifest)

    @contextmanager
    def write(self, identities: Collection[str], now: datetime, rules_digest: str) -> Iterator[Book]:
        self._point("store begin")
        with self._ledger.write(identities, now, rules_digest) as book:
            yield book
            self._point("store committing")
        self._point("store commit made")

    @contextmanager
    def matching(self, now: datetime) -> Iterator[MatchBook]:
        self._point("store begin match")
        with self._ledger.matching(now) as book:
            yield book
        self._point("store match made")

    def settle(self, batch: int, failed: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        self._point("store settle")
        self._ledger.settle(batch, failed, now)
        self._point("store settle made")

    def mark(self, fates: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        self._point("store mark")
        self._ledger.mark(fates, now)

    def due(self, now: datetime, limit: int, remote: Set[str]) -> Sequence[Copy]:
        return self._ledger.due(now, limit, remote)

    def owed(self, most: int) -> int:
        return self._ledger.owed(most)

    def waiting(self, now: datetime, limit: int) -> Sequence[Decision]:
        return self._ledger.waiting(now, limit)


class FaultyBacklog:
    """A Backlog that stops at points; what only tells has none."""

    def __init__(self, backlog: Backlog, point: Point) -> None:
        self._backlog, self._point = backlog, point
        self.release, self.tell, self.newest = backlog.release, backlog.tell, backlog.newest
        self.size, self.stored = backlog.size, backlog.stored

    def hold(self, name: str, holder: str, now: datetime, seconds: float) -> Standing | None:
        self._point("store hold")
        return self._backlog.hold(name, holder, now, seconds)

    def take(
        self, recipients: Collection[str], boundary: int, most: int, weights: Weights, max_bytes: int, now: datetime
    ) -> Sequence[Copy]:
        self._point("store take")
        return self._backlog.take(recipients, boundary, most, weights, max_bytes, now)

    def settle(self, fates: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        self._point("store settle upward")
        self._backlog.settle(fates, now)
        self._point("store settle upward made")


class FaultyAttempts:
    """Attempts that stop at points."""

    def __init__(self, attempts: Attempts, point: Point, noted: Callable[[bytes | None], None]) -> None:
        """`noted` is told what the worker decides alone from now on."""
        self._attempts, self._point, self._noted = attempts, point, noted

    def begin_together(self, digests: Collection[bytes]) -> Set[bytes]:
        self._point("store note many")
        found = self._attempts.begin_together(digests)
        self._noted(None)
        self._point("store noted many")
        return found

    def begin_alone(self, digest: bytes) -> Set[tuple[str, int]]:
        self._point("store note")
        found = self._attempts.begin_alone(digest)
        self._noted(digest)
        self._point("store noted")
        return found

    def end(self) -> None:
        self._point("store note end")
        self._attempts.end()
        self._noted(None)

    def forget(self, digest: bytes) -> None:
        self._attempts.forget(digest)
        self._noted(None)
