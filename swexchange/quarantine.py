"""Finds the message over which workers die, and holds it: its neighbours go on. docs/decisions/quarantine.md.

A worker that dies leaves its whole batch to the next one, marked as redelivered. Such messages are
decided one by one, each with a durable note before. A note whose worker is gone charges exactly the
message that it had in hand. What was never delivered before costs nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence, Set
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
    """Durable notes of what each worker decides one by one. Every method raises StoreDown when the database fails it.

    A note survives the death of the process, not necessarily that of the machine.
    """

    def begin(self, digest: bytes) -> Set[tuple[str, int]]:
        """Note that this worker decides these bytes now, no longer those before.

        Gives the notes of others on these bytes: the worker, and which of its notes it is. They died over
        them, or decide them at this moment.
        """

    def end(self) -> None:
        """Withdraw this worker's note."""

    def forget(self, digest: bytes) -> None:
        """Remove every note on these bytes: they do no harm."""


class Quarantine:
    """A DecideAll that runs another, redelivered messages one by one; for one caller at a time."""

    def __init__(
        self, decide_all: DecideAll, attempts: Attempts, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._decide_all, self._attempts, self._sleep = decide_all, attempts, sleep
        self._is_noted = False

    def __call__(self, deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
        """Decide a batch. Raises StoreDown, and what the other raises."""
        if self._is_noted:  # a fault cut off the batch before, and nobody died
            self._withdraw()
        if not any(d.redelivered for d in deliveries):
            return self._decide_all(deliveries, rules, now)
        # The same bytes get one decision in a batch, also where they came once more for the first time.
        alone: dict[tuple[str, bytes], Decision] = {}
        for d in deliveries:
            if d.redelivered and (d.submitter, d.body) not in alone:
                alone[d.submitter, d.body] = self._alone(d, rules, now)
        self._withdraw()
        others = [d for d in deliveries if (d.submitter, d.body) not in alone]
        together = iter(self._decide_all(others, rules, now) if others else ())
        return [alone.get((d.submitter, d.body)) or next(together) for d in deliveries]

    def _alone(self, delivery: Delivery, rules: Rulebook, now: datetime) -> Decision:
        digest = hashlib.sha256(delivery.body).digest()
        deaths = self._deaths(digest)
        if deaths >= DEATHS:
            # Its notes stay: if these bytes come again, they kill one worker at most.
            return held(delivery, rules, now, f"{deaths} workers died while deciding it")
        (decision,) = self._decide_all((delivery,), rules, now)
        if deaths:
            self._attempts.forget(digest)
        return decision

    def _deaths(self, digest: bytes) -> int:
        others = self._note(digest)
        if not others:
            return 0
        # Who lives is done with its note after a while. Our own is withdrawn meanwhile: others wait as we do.
        self._withdraw()
        self._sleep(ANOTHER_DECIDES)
        return len(others & self._note(digest))

    def _note(self, digest: bytes) -> Set[tuple[str, int]]:
        self._is_noted = True  # before: a note may be there although its answer never came
        return self._attempts.begin(digest)

    def _withdraw(self) -> None:
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
