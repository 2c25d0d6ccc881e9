"""Forwards to one upstream what waits for it: in order, one forwarder at a time, behind a breaker.

`step` is one pass and can be tested alone; `run` is the loop around it. Local traffic never
comes here: copies for an upstream are recorded as queued, and only this sends them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from swexchange.core.breaker import Breaker, Standing, State
from swexchange.core.forecast import Forecast, Sample, forecast
from swexchange.core.lanes import Weights
from swexchange.core.model import Copy, Fate
from swexchange.core.rulebook import Rulebook, Upstream
from swexchange.core.silence import SilentQueues
from swexchange.crashpoint import crashpoint
from swexchange.errors import BrokerLost, Fault, Unconfirmed
from swexchange.pipeline import Sink

AT_ONCE = 100  # copies in one pass, each of another lane
MORE = 10  # copies by which a pass that was shortened grows again
LEASE = 15.0  # seconds after which another forwarder takes over from one that died
RENEW = timedelta(seconds=5)  # between two renewals of the lease, each with a look at the backlog
SAMPLE = timedelta(seconds=60)  # between two looks by which growth is told
REST = 0.25  # seconds when there is nothing to do
STANDBY = 5.0  # seconds between two tries to get the lease
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds while the database is down
REFUSED_FOR_GOOD = frozenset({403, 404, 406, 530})  # AMQP codes of what trying again at once cannot help
TOO_LARGE = 406  # what closes the channel because of one message's own properties

Fates = Sequence[tuple[Copy, Fate]]


class Outlet(Sink, Protocol):
    """A link to the upstream."""

    def check(self) -> None:
        """Raise BrokerLost when the link has ended."""

    @property
    def blocked(self) -> bool:
        """Whether an alarm of the broker holds publishers back."""

    def close(self) -> None:
        """End the link."""


class Backlog(Protocol):
    """What waits for upstreams. Every method raises StoreDown when the database fails it."""

    def hold(self, name: str, holder: str, now: datetime, seconds: float) -> Standing | None:
        """Take or keep the lease of an upstream; how it stands, None where another holds it."""

    def release(self, name: str, holder: str) -> None:
        """Give the lease back."""

    def tell(self, name: str, standing: Standing, sample: Sample) -> None:
        """Write down how an upstream stands, and an earlier look at its backlog."""

    def newest(self) -> int:
        """A mark between what is recorded and what will be."""

    def size(self, recipients: Collection[str]) -> tuple[int, datetime | None]:
        """How many copies wait for these recipients, and when the oldest was received."""

    def stored(self) -> int:
        """Bytes that the database holds."""

    def take(
        self, recipients: Collection[str], boundary: int, most: int, weights: Weights, max_bytes: int, now: datetime
    ) -> Sequence[Copy]:
        """The oldest copy of each lane whose turn has come; what was recorded before the boundary is backlog."""

    def settle(self, fates: Fates, now: datetime) -> None:
        """Note the fates of copies that were taken: one that failed waits, and its lane with it."""


class Observer(Protocol):
    """Who is told what happened."""

    def forwarded(self, fates: Fates) -> None:
        """Copies were sent, with these fates."""

    def upstream(self, name: str, standing: Standing, now: Sample, oldest: datetime | None, told: Forecast) -> None:
        """A look at how an upstream stands: what waits, since when the oldest, and what becomes of it."""

    def breaker(self, name: str, standing: Standing) -> None:
        """The breaker opened or closed."""

    def trouble(self, fault: Fault, pause: float) -> None:
        """A neighbour failed; tried again after a pause in seconds."""

    def recovered(self) -> None:
        """The first pass without trouble after trouble."""


class Forwarder:
    """Runs on one thread of its own. `stop` may be called from any other."""

    def __init__(
        self,
        name: str,
        connect: Callable[[Upstream], Outlet],
        backlog: Backlog,
        rules: Callable[[], Rulebook],
        observer: Observer,
        clock: Callable[[], datetime],
        *,
        holder: str,
        max_bytes: int,
        disk_room: Callable[[], int | None],
    ) -> None:
        self._name, self._connect, self._backlog, self._rules = name, connect, backlog, rules
        self._observer, self._clock, self._holder = observer, clock, holder
        self._max_bytes, self._disk_room = max_bytes, disk_room
        self._stopping = threading.Event()
        self._outlet: Outlet | None = None
        self._breaker = Breaker()
        self._standing: Standing | None = None  # None: another forwards
        self._renew_at: datetime | None = None
        self._boundary = 0
        self._most = AT_ONCE  # copies in the next pass: as many as it confirms in time
        self._silent, self._turn = SilentQueues(), 0  # of recipients; whose turn it is, where some are tried alone
        self._samples: list[Sample] = []  # the last two looks that are a minute apart

    def stop(self) -> None:
        """Finish the pass in hand, then end."""
        self._stopping.set()

    def run(self) -> None:
        """Forward until stopped, then give the lease back."""
        failures = 0
        while not self._stopping.is_set():
            try:
                pause = self.step()
                if failures:
                    self._observer.recovered()
                failures = 0
            except Fault as fault:  # the database; what the upstream does is the breaker's
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10))
                failures += 1
                self._observer.trouble(fault, pause)
            self._stopping.wait(pause)
        self._end_link()
        with suppress(Fault):  # then the lease ends by itself
            self._backlog.release(self._name, self._holder)

    def step(self) -> float:
        """One pass; seconds after which the next makes sense. Raises StoreDown."""
        now, rules = self._clock(), self._rules()
        upstream = rules.upstreams.get(self._name)
        if upstream is None:  # taken out of the rules: what is queued goes back to our own broker
            self._end_link()
            return STANDBY
        recipients = {p.id for p in rules.participants.values() if p.upstream == self._name}
        if not self._hold(now, recipients):
            return STANDBY
        room = self._breaker.room(now, self._most)
        if not room:
            return REST
        started = time.monotonic()
        for wanted in self._in_turn(recipients, now):
            most = 1 if any(name in self._silent for name in wanted) else room
            copies = self._backlog.take(wanted, self._boundary, most, upstream.weights, self._max_bytes, now)
            if copies:
                break
        else:
            return REST
        fates, fault = self._publish(upstream, copies)
        crashpoint("forwarded")
        self._backlog.settle(fates, now)
        self._observer.forwarded(fates)
        confirmed = sum(fate is Fate.CONFIRMED for _, fate in fates)
        self._adapt(confirmed, fates)
        self._listen(copies, fates, fault, now)
        self._judge(confirmed, fates, fault)
        if confirmed == AT_ONCE:  # it was busy all the time: that is its pace
            self._learn_pace(confirmed / (time.monotonic() - started))
        return 0.0 if confirmed else REST

    # -- the lease

    def _hold(self, now: datetime, recipients: Collection[str]) -> bool:
        # Not by a clock that has been set back since: then the lease is as wrong as its time.
        if self._renew_at and timedelta(0) < self._renew_at - now <= RENEW:
            return True
        found = self._backlog.hold(self._name, self._holder, now, LEASE)
        if found is None:
            self._end_link()
            self._standing, self._renew_at = None, None
            return False
        if self._standing is None:
            self._take_over(found, now)
        self._renew_at = now + RENEW
        self._look(now, recipients)
        return True

    def _take_over(self, standing: Standing, now: datetime) -> None:
        """Go on where another forwarder left off: behind an open breaker with a canary."""
        self._standing, self._samples = standing, []
        self._boundary = self._backlog.newest()
        self._breaker = Breaker()
        if standing.state is not State.CLOSED:
            self._breaker = Breaker(opened_at=standing.since or now, retry_at=now, reason=standing.reason)

    def _look(self, now: datetime, recipients: Collection[str]) -> None:
        """Tell how things stand, against a look one to two minutes ago."""
        assert self._standing is not None
        self._standing = replace(self._standing, state=self._breaker.state(now))
        size, oldest = self._backlog.size(recipients)
        sample = Sample(now, size, self._standing.sent, self._backlog.stored())
        if not self._samples or not timedelta(0) <= now - self._samples[-1].at < SAMPLE:
            self._samples = [*self._samples[-1:], sample]
        self._backlog.tell(self._name, self._standing, self._samples[0])
        told = forecast(self._samples[0], sample, self._standing.pace, self._disk_room())
        self._observer.upstream(self._name, self._standing, sample, oldest, told)

    def _learn_pace(self, pace: float) -> None:
        assert self._standing is not None
        known = self._standing.pace
        self._standing = replace(self._standing, pace=0.8 * known + 0.2 * pace if known else pace)

    # -- the upstream

    def _in_turn(self, recipients: Collection[str], now: datetime) -> Sequence[Collection[str]]:
        """Whose copies this pass takes, or else whose: not of those that rest, unless all do."""
        names = sorted(recipients)
        calls = self._silent.calls(names, now.timestamp()) or [names]
        self._turn += 1
        first = self._turn % len(calls)
        return calls[first:] + calls[:first]

    def _listen(self, copies: Sequence[Copy], fates: Fates, fault: BrokerLost | None, began: datetime) -> None:
        """Learn which recipients' queues say nothing, where it is neither the link nor an alarm."""
        if (self._outlet and self._outlet.blocked) or not (fates or isinstance(fault, Unconfirmed)):
            return
        tried = {copy.to for copy in copies}
        answered = {copy.to for copy, fate in fates if fate is not Fate.UNKNOWN}
        now = self._clock()
        self._silent.learn(tried, answered, (now - began).total_seconds(), now.timestamp())

    def _publish(self, upstream: Upstream, copies: Sequence[Copy]) -> tuple[Fates, BrokerLost | None]:
        """Send; the fates, and the fault that ended the link. Nothing is known of a copy without a fate."""
        try:
            if self._outlet is None:
                self._outlet = self._connect(upstream)
            fates = list(zip(copies, self._outlet.publish(copies), strict=True))
        except BrokerLost as fault:
            self._end_link()
            # The only copy of a batch, so it is the one: it is set back like any that is refused.
            alone = len(copies) == 1 and fault.code == TOO_LARGE
            return ([(copies[0], Fate.REFUSED)] if alone else []), fault
        try:
            self._outlet.check()
        except BrokerLost as fault:
            self._end_link()
            return fates, fault
        return fates, None

    def _adapt(self, confirmed: int, fates: Fates) -> None:
        """Send no more at once than it confirms in time: the rest would go there again and again."""
        if confirmed and any(fate is Fate.UNKNOWN for _, fate in fates):
            self._most = confirmed
        elif confirmed:
            self._most = min(AT_ONCE, self._most + MORE)

    def _judge(self, confirmed: int, fates: Fates, fault: BrokerLost | None) -> None:
        assert self._standing is not None
        now, was_closed = self._clock(), self._breaker.opened_at is None
        for_good = fault is not None and fault.code in REFUSED_FOR_GOOD
        if confirmed:
            self._standing = replace(self._standing, last_success=now, sent=self._standing.sent + confirmed)
        if confirmed and not for_good:
            self._breaker = self._breaker.succeeded()
        else:
            self._breaker = self._breaker.failed(now, self._reason(fates, fault), for_good=for_good)
        state, since = self._breaker.state(now), self._breaker.opened_at
        self._standing = replace(self._standing, state=state, reason=self._breaker.reason, since=since)
        if was_closed == (since is None):
            return
        if since is None:  # it is back: what waited is the backlog, what comes from now on is live
            self._boundary = self._backlog.newest()
            self._silent.forget()
        self._renew_at = None  # tell at once
        self._observer.breaker(self._name, self._standing)

    def _reason(self, fates: Fates, fault: BrokerLost | None) -> str:
        if fault is not None:
            return str(fault)
        if self._outlet is not None and self._outlet.blocked:
            return "an alarm of its RabbitMQ blocks publishers: memory or disk"
        said = {
            Fate.RETURNED: "its exchange leads to no queue (returned)",
            Fate.REFUSED: "its queue is full or broken (nacked)",
            Fate.UNKNOWN: "it did not confirm in time",
        }
        return said[fates[0][1]]

    def _end_link(self) -> None:
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None
