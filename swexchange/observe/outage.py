"""An outage of a neighbour, which is tried every few seconds: told now and then, not at every try."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

AGAIN = 300.0  # seconds between two times that the same is told
MOST = 10  # times that anything is told within AGAIN, where outages come and go, or have ever new reasons


class Outage(threading.local):
    """The outage in which a thread is, if any. Each thread has its own: what one reaches may be away for another."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._began: float | None = None
        self._told: dict[str, float] = {}
        self._times: list[float] = []  # when anything was told, in outages before this one too
        self.failures = 0  # since it began

    def failed(self, what: str) -> bool:
        """Note a failure; whether to tell of it: at once, when the reason is another, then every `AGAIN` seconds."""
        now = self._monotonic()
        if self._began is None:
            self._began = now
        self.failures += 1
        self._times = [at for at in self._times if now - at < AGAIN]
        if now - self._told.get(what, -math.inf) < AGAIN or len(self._times) >= MOST:
            return False
        self._times.append(now)
        # Of each reason apart: two that take turns would else be told at every try.
        self._told = {known: at for known, at in self._told.items() if now - at < AGAIN} | {what: now}
        return True

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 without one."""
        return 0.0 if self._began is None else self._monotonic() - self._began

    def end(self) -> bool:
        """It is over: the next failure begins another. Whether any of it was told."""
        was_told = bool(self._told)
        self._began, self._told, self.failures = None, {}, 0
        return was_told
