"""SIGTERM and Ctrl-C: what was begun is tidied up."""

from __future__ import annotations

import math
import signal
import time

AGAIN = 1.0  # seconds in which another signal is the same one: two key presses, a shell that tells all its group


class Interrupt:
    """Handles signals as Python does Ctrl-C, once a second at most: a second one would cut off the tidying up."""

    def __init__(self) -> None:
        self._last = -math.inf

    def __call__(self, _number: int, _frame: object) -> None:
        """Raise KeyboardInterrupt."""
        now = time.monotonic()
        if now - self._last >= AGAIN:
            self._last = now
            raise KeyboardInterrupt


def tidy_up_on_signals() -> None:
    """SIGTERM is as Ctrl-C from now on; Ctrl-C itself stays ignored where a shell runs this in the background."""
    interrupt = Interrupt()
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupt)
