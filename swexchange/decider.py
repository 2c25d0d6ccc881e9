"""Runs decisions on a thread that is replaced now and then.

libxml2 keeps every element and attribute name that a thread has ever met. Hostile names would
fill its dictionary, and with it the memory; with the thread they are gone. Decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from swexchange.core.model import Decision, Delivery
from swexchange.core.rulebook import Rulebook
from swexchange.pipeline import DecideAll

BYTES = 16 * 1024 * 1024  # of messages for one thread: some 3,000 ordinary ones


class FreshThreads:
    """A DecideAll that runs another on threads of limited life; for one caller at a time."""

    def __init__(self, decide_all: DecideAll) -> None:
        self._decide_all = decide_all
        self._thread = ThreadPoolExecutor(1, "decide")
        self._bytes = 0

    def __call__(self, deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
        """Decide a batch; a thread that failed or has met enough is replaced before the next."""
        self._bytes += sum(len(delivery.body) for delivery in deliveries)
        if self._bytes > BYTES:
            self._replace()
        try:
            return self._thread.submit(self._decide_all, deliveries, rules, now).result()
        except BaseException:
            self._replace()
            raise

    def _replace(self) -> None:
        self._thread.shutdown()
        self._thread, self._bytes = ThreadPoolExecutor(1, "decide"), 0
