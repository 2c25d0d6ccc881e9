"""Work beside the traffic, with pauses, so that the traffic does not feel it."""

from __future__ import annotations

import time
from collections.abc import Callable

REST = 4.0  # a pause is this many times the work before it
BURST = 0.005  # seconds of work between two pauses: what a message may have to wait for
LONGEST = 10.0  # seconds of a pause: who waited long for a lock, or was stopped by a shell, did not work all the time


class Pace:
    """Pauses between bursts of work: `rest` is told for how many seconds. To be called often.

    With the processor's time for a clock, as a process of its own may have it, waiting for a core is no work: else
    the busier the machine, the longer the pauses.
    """

    def __init__(self, rest: Callable[[float], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._rest, self._clock = rest, clock
        self._since = clock()

    def __call__(self) -> None:
        """Pause, if enough was done since the last pause."""
        worked = self._clock() - self._since
        if worked >= BURST:
            self._rest(min(worked * REST, LONGEST))
            self._since = self._clock()


def no_pause() -> None:
    """In place of a Pace, for whoever is in a hurry."""
