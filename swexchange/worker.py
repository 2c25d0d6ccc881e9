"""One worker: take, decide, commit, publish, acknowledge; again until told to stop.

`step` is one pass and can be tested alone; `run` is the loop around it that survives the
broker's and the database's absence. The worker owns neither: it is given makers of both.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from swexchange.core.model import Delivery
from swexchange.core.rulebook import Rulebook
from swexchange.core.watermark import Watermarks, stopped
from swexchange.crashpoint import crashpoint
from swexchange.decider import DecideAll, decide_each
from swexchange.errors import Fault
from swexchange.forwarder import Outstanding, Sent, send_due
from swexchange.pipeline import Ledger, Report, Sink, process

WAIT = 0.5  # seconds a take waits for its first message: how soon a stop is noticed at rest
GATE = 5.0  # seconds between two looks at backlog and disk
SWEEP = 1.0  # seconds between two passes of the forwarder
LONGEST_PAUSE = 5.0  # seconds between two attempts while a neighbour is down: an attempt is cheap, a ship waits


class Source(Protocol):
    """Where deliveries come from."""

    def take(self, max_messages: int, max_bytes: int, wait: float) -> Sequence[Delivery]:
        """The first message within `wait` seconds and what is there with it. Raises BrokerLost."""

    def ack_through(self, tag: int) -> None:
        """Acknowledge everything taken up to this delivery tag."""

    def close(self) -> None:
        """End the link; what was not acknowledged is delivered again."""


class Outlet(Sink, Protocol):
    """A sink that has to be closed."""

    @property
    def blocked(self) -> bool:
        """Whether an alarm of the broker holds publishers back."""

    def close(self) -> None:
        """End the link."""


class Memory(Ledger, Outstanding, Protocol):
    """The store as the worker uses it."""


class Rules(Protocol):
    """Where the rules in force come from."""

    def current(self) -> Rulebook:
        """The rules now; reloads when the file has changed, keeps the old ones when the new are wrong."""


class Gate:
    """Whether the intake may run. Looks at backlog and disk now and then: `closed` is asked before every batch."""

    def __init__(
        self,
        marks: Watermarks,
        owed: Callable[[int], int],
        free_disk: Callable[[], int | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._marks, self._owed, self._free_disk, self._monotonic = marks, owed, free_disk, monotonic
        self._why, self._look_at = "", 0.0

    def closed(self) -> str:
        """Why it is closed; '' = it is open. Raises StoreDown."""
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + GATE
            owed = self._owed(self._marks.backlog_stop)
            self._why = stopped(self._marks, owed, self._free_disk(), was=bool(self._why))
        return self._why


class Observer(Protocol):
    """Who is told what happened: logs, metrics, the service manager."""

    def batch(self, report: Report) -> None:
        """A batch is done."""

    def swept(self, sent: Sent) -> None:
        """The forwarder did something."""

    def held_back(self, why: str) -> None:
        """The intake stands still, for this reason; '' = it runs again."""

    def blocked(self, is_blocked: bool) -> None:
        """Whether an alarm of the broker blocks publishers; told after every step."""

    def alive(self) -> None:
        """The worker made progress, or is at rest and well."""

    def trouble(self, fault: Fault, pause: float) -> None:
        """A neighbour failed; the worker tries again after a pause in seconds."""

    def recovered(self) -> None:
        """The first step without trouble after trouble."""


class InTurn:
    """Several sources as one: a batch is of one of them, and so is its acknowledgement."""

    def __init__(self, sources: Sequence[Source], sleep: Callable[[float], object]) -> None:
        self._waiting, self._sleep = deque(sources), sleep

    def take(self, max_messages: int, max_bytes: int, wait: float) -> Sequence[Delivery]:
        """What the next source has that has anything; with no source at all nothing ever comes."""
        if not self._waiting:
            self._sleep(wait)
        for _ in range(len(self._waiting)):
            self._waiting.rotate(-1)
            if batch := self._waiting[-1].take(max_messages, max_bytes, wait / len(self._waiting)):
                return batch
        return ()

    def ack_through(self, tag: int) -> None:
        """Acknowledge the batch that was taken last."""
        self._waiting[-1].ack_through(tag)

    def close(self) -> None:
        """Close all."""
        for source in self._waiting:
            source.close()


@dataclass(frozen=True, slots=True)
class Links:
    """The two connections of a worker, made and closed together."""

    source: Source
    outlet: Outlet

    def close(self) -> None:
        """Close both, the source first: nothing new comes while the outlet ends."""
        self.source.close()
        self.outlet.close()


class Worker:
    """Runs the main path on one thread. `stop` may be called from a signal handler.

    `is_spent` is asked after every step; once it says so, `run` ends as if stopped. `held_back` says
    why nothing may be taken now, '' when it may.
    """

    def __init__(
        self,
        connect: Callable[[], Links],
        memory: Memory,
        rules: Rules,
        observer: Observer,
        clock: Callable[[], datetime],
        *,
        max_messages: int,
        max_bytes: int,
        decide_all: DecideAll = decide_each,
        is_spent: Callable[[], bool] = lambda: False,
        held_back: Callable[[], str] = lambda: "",
    ) -> None:
        self._connect, self._memory, self._rules = connect, memory, rules
        self._observer, self._clock = observer, clock
        self._max_messages, self._max_bytes = max_messages, max_bytes
        self._decide_all, self._is_spent, self._held_back = decide_all, is_spent, held_back
        self._stopping = threading.Event()
        self._next_sweep = 0.0

    def stop(self) -> None:
        """Finish the batch in hand, then end."""
        self._stopping.set()

    def run(self) -> None:
        """Work until stopped. Trouble of a neighbour costs links and time, never a message."""
        failures = 0
        while not self._stopping.is_set():
            try:
                for _ in self._steps():
                    if failures:
                        self._observer.recovered()
                    failures = 0
            except Fault as fault:
                failures += 1
                pause = _pause(failures)
                self._observer.trouble(fault, pause)
                self._stopping.wait(pause)

    def _steps(self) -> Iterator[None]:
        """Steps on new links, until stopped, spent or held back."""
        links = self._connect()
        try:
            # First: what an earlier run left for who is behind an upstream now stays before what comes.
            self._sweep(links.outlet, self._rules.current())
            while not self._stopping.is_set():
                if why := self._held_back():
                    yield from self._stand_still(links, why)
                    return
                self.step(links)
                yield
                if self._is_spent():
                    self.stop()
        finally:
            links.close()

    def _stand_still(self, links: Links, why: str) -> Iterator[None]:
        """Take nothing until there is room again; what is owed is sent on.

        The source is closed, not left alone: what was prefetched goes back to the queue, and no
        timeout of the broker finds it unacknowledged.
        """
        self._observer.held_back(why)
        links.source.close()
        while not self._stopping.is_set() and self._held_back():
            self._sweep(links.outlet, self._rules.current())
            self._observer.blocked(links.outlet.blocked)
            self._observer.alive()
            yield
            self._stopping.wait(WAIT)
        self._observer.held_back("")

    def step(self, links: Links) -> None:
        """One pass over whatever is there. Raises BrokerLost or StoreDown; then nothing was acknowledged."""
        deliveries = links.source.take(self._max_messages, self._max_bytes, WAIT)
        rules = self._rules.current()
        if deliveries:
            crashpoint("taken")
            report = process(deliveries, rules, self._memory, links.outlet, self._clock, self._decide_all)
            links.source.ack_through(deliveries[-1].tag)
            crashpoint("acknowledged")
            self._observer.batch(report)
        self._sweep(links.outlet, rules)
        self._observer.blocked(links.outlet.blocked)
        self._observer.alive()

    def _sweep(self, outlet: Outlet, rules: Rulebook) -> None:
        if time.monotonic() < self._next_sweep:
            return
        sent = send_due(self._memory, outlet, self._clock(), rules.remote)
        if sent.matched or sent.fates:
            self._observer.swept(sent)
        # Spread, so that several workers do not look at the same moment.
        self._next_sweep = time.monotonic() + SWEEP * random.uniform(0.75, 1.25)  # noqa: S311


def _pause(failures: int) -> float:
    """Seconds to wait after this many failures in a row: 0.25, doubling to the longest, with jitter."""
    return min(LONGEST_PAUSE, 0.25 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311
