"""Work beside the traffic, with pauses, so that the traffic does not feel it."""

from __future__ import annotations

import time
from collections.abc import Callable

REST = 4.0  # a pause is this many times the work before it
BURST = 0.005  # seconds of work between two pauses: what a message may have to wait for


class Pace:
    """Pauses between bursts of work: `rest` is told for how many seconds. To be called often.

    `burst` is the least work, in seconds of `clock`, that is followed by a pause. With the processor's time for
    a clock, as a process of its own may have it, waiting for a core is no work: else the busier the machine,
    the longer the pauses.
    """

    def __init__(
        self, rest: Callable[[float], object], burst: float = BURST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest, self._burst, self._clock = rest, burst, clock
        self._since = clock()

    def __call__(self) -> None:
        """Pause, if enough was done since the last pause."""
        worked = self._clock() - self._since
        if worked >= self._burst:
            self._rest(worked * REST)
            self._since = self._clock()


def no_pause() -> None:
    """In place of a Pace, for whoever is in a hurry."""
