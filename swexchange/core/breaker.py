"""The breaker before an upstream: open after repeated failures, closed again by one canary. Pure.

While it is open nothing is tried and no copy spends an attempt. Times are the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

ENOUGH = 5  # failures in a row that open it
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=60)  # before a canary, doubling


class State(StrEnum):
    """How the breaker stands."""

    CLOSED = "closed"  # everything passes
    OPEN = "open"  # nothing passes
    HALF_OPEN = "half-open"  # the pause is over: one canary passes


@dataclass(frozen=True, slots=True)
class Standing:
    """How an upstream stands, as its forwarder last said."""

    state: State = State.CLOSED
    reason: str = ""  # of the last failure
    since: datetime | None = None  # when the breaker opened
    last_success: datetime | None = None
    sent: int = 0  # copies confirmed ever
    pace: float = 0.0  # copies a second that it took when it was busy; 0 = not known


@dataclass(frozen=True, slots=True)
class Breaker:
    """A value: each outcome gives the next one."""

    failures: int = 0  # in a row
    canaries: int = 0  # failed in a row since it opened
    opened_at: datetime | None = None  # None: closed
    retry_at: datetime | None = None  # when the next canary may go
    reason: str = ""  # of the last failure; '' = none since the last success

    def state(self, now: datetime) -> State:
        """How it stands at a time."""
        if self.retry_at is None:
            return State.CLOSED
        # One that is further off than any pause was set by a clock that was ahead.
        return State.OPEN if timedelta(0) < self.retry_at - now <= LONGEST_PAUSE else State.HALF_OPEN

    def room(self, now: datetime, most: int) -> int:
        """How many copies may be tried now: `most`, one canary, or none."""
        return {State.CLOSED: most, State.HALF_OPEN: 1, State.OPEN: 0}[self.state(now)]

    def succeeded(self) -> Breaker:
        """A copy was confirmed: closed, all failures forgotten."""
        return Breaker()

    def failed(self, now: datetime, reason: str, *, for_good: bool = False) -> Breaker:
        """Nothing got through. `for_good`: trying again at once cannot help, so one failure is enough."""
        failures = self.failures + 1
        if self.opened_at is None and failures < ENOUGH and not for_good:
            return Breaker(failures, reason=reason)
        canaries = self.canaries + 1 if self.opened_at else 0
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(canaries, 10))
        return Breaker(failures, canaries, self.opened_at or now, now + pause, reason)
