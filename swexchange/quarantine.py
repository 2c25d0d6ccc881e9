"""Finds the message over which workers die, and holds it: its neighbours go on. docs/decisions/quarantine.md.

A worker that dies leaves its whole batch to the next one, marked as redelivered. Such messages are
noted together, durably, before they are decided together: if the worker dies over these too, each of them
is suspect. A suspect is decided alone, with a note of its own, and only such a note, once its worker is
gone, charges the message: exactly the one that was in hand. What was never delivered before costs nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Sequence, Set
from datetime import datetime
from typing import Protocol

from swexchange.core.conclude import held
from swexchange.core.model import Decision, Delivery, Event, Happening
from swexchange.core.rulebook import Rulebook
from swexchange.decider import DecideAll
from swexchange.pipeline import Report, Sink, process
from swexchange.worker import Memory

DEATHS = 2  # a process may be killed over an innocent message by chance; over the same one twice, hardly
ANOTHER_DECIDES = 3.0  # seconds in which another worker, if it lives, is done with the same bytes


class Attempts(Protocol):
    """Durable notes of what each worker decides. Every method raises StoreDown when the database fails it.

    A note survives the death of the process, not necessarily that of the machine. Others whose notes are
    found died over these bytes, or decide them at this moment.
    """

    def begin_together(self, digests: Collection[bytes]) -> Set[bytes]:
        """Note that this worker decides all these now, nothing else. Gives those on which another has a note."""

    def begin_alone(self, digest: bytes) -> Set[tuple[str, int]]:
        """Note that this worker decides these bytes alone now, nothing else.

        Gives the notes of others who decide these bytes alone: the worker, and which of its notes it is.
        """

    def end(self) -> None:
        """Withdraw all notes of this worker."""

    def forget(self, digest: bytes) -> None:
        """Remove every note on these bytes: they do no harm."""


class Quarantine:
    """A DecideAll that runs another, on messages over which a worker may have died alone; for one caller at a time."""

    def __init__(
        self, decide_all: DecideAll, attempts: Attempts, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._decide_all, self._attempts, self._sleep = decide_all, attempts, sleep
        self._is_noted = False

    def __call__(self, deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
        """Decide a batch. Raises StoreDown, and what the other raises."""
        self._withdraw()  # where a fault cut off the batch before: nobody died
        again: dict[tuple[str, bytes], Delivery] = {}
        for d in deliveries:
            if d.redelivered:
                again.setdefault((d.submitter, d.body), d)
        if not again:
            return self._decide_all(deliveries, rules, now)
        digests = {key: hashlib.sha256(d.body).digest() for key, d in again.items()}
        suspects = self._suspects(set(digests.values()))
        # The same bytes get one decision in a batch, also where they came once more for the first time.
        alone = {key: self._alone(d, digests[key], rules, now) for key, d in again.items() if digests[key] in suspects}
        rest = set(digests.values()) - suspects
        if not rest:
            self._withdraw()
        elif suspects:  # whose notes took the place of those on the rest
            self._note(rest)
        others = [d for d in deliveries if (d.submitter, d.body) not in alone]
        together = iter(self._decide_all(others, rules, now) if others else ())
        decisions = [alone.get((d.submitter, d.body)) or next(together) for d in deliveries]
        self._withdraw()
        return decisions

    def _suspects(self, digests: Set[bytes]) -> Set[bytes]:
        """Those to decide alone. The others are noted."""
        if len(digests) == 1:
            return digests  # it has no company that would be charged with it
        return self._note(digests)

    def _alone(self, delivery: Delivery, digest: bytes, rules: Rulebook, now: datetime) -> Decision:
        deaths = self._deaths(digest)
        if deaths >= DEATHS:
            # Its notes stay: if these bytes come again, they kill one worker at most.
            return held(delivery, rules, now, f"{deaths} workers died while deciding it")
        (decision,) = self._decide_all((delivery,), rules, now)
        self._attempts.forget(digest)
        self._is_noted = False  # our own note went with the others
        return decision

    def _deaths(self, digest: bytes) -> int:
        others = self._note_alone(digest)
        if not others:
            return 0
        # Who lives is done with its note after a while. Our own is withdrawn meanwhile: others wait as we do.
        self._withdraw()
        self._sleep(ANOTHER_DECIDES)
        return len(others & self._note_alone(digest))

    def _note(self, digests: Set[bytes]) -> Set[bytes]:
        self._is_noted = True  # before: a note may be there although its answer never came
        return self._attempts.begin_together(digests)

    def _note_alone(self, digest: bytes) -> Set[tuple[str, int]]:
        self._is_noted = True
        return self._attempts.begin_alone(digest)

    def _withdraw(self) -> None:
        if self._is_noted:
            self._attempts.end()
            self._is_noted = False


def release(
    message: Decision,
    detail: str,
    rules: Rulebook,
    memory: Memory,
    attempts: Attempts,
    sink: Sink,
    clock: Callable[[], datetime],
) -> Report:
    """Decide a held message again, as an exchange of its own; `detail` says in its trail who wanted it and why.

    Raises StoreDown or BrokerLost. After BrokerLost it is decided all the same, and its copies stay due.
    """
    # First, so that no release is without its event; one that fails afterwards may be repeated.
    with memory.matching(clock()) as book:
        book.note([Happening(message.exchange_id, Event.RELEASED, detail)])
    attempts.forget(message.digest)
    return process((message.again,), rules, memory, sink, clock)
