"""Work beside the traffic, with pauses, so that the traffic does not feel it."""

from __future__ import annotations

import time
from collections.abc import Callable

REST = 4.0  # a pause is this many times the work before it


class Pace:
    """Pauses between bursts of work: `rest` is told for how many seconds. To be called often.

    `burst` is the least work, in seconds, that is followed by a pause.
    """

    def __init__(
        self, rest: Callable[[float], object], burst: float = 0.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest, self._burst, self._monotonic = rest, burst, monotonic
        self._since = monotonic()

    def __call__(self) -> None:
        """Pause, if enough was done since the last pause."""
        worked = self._monotonic() - self._since
        if worked >= self._burst:
            self._rest(worked * REST)
            self._since = self._monotonic()
