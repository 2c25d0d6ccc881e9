"""How a batch is decided: each message guarded, many of them in step, on threads of limited life.

The decision itself is `core.decide`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from swexchange.core.conclude import held
from swexchange.core.decide import in_stages
from swexchange.core.model import Decision, Delivery
from swexchange.core.rulebook import Rulebook
from swexchange.errors import Fault

TOGETHER = 100  # messages in step: some 10 MB of documents
BYTES = 16 * 1024 * 1024  # of messages for one thread: some 3,000 ordinary ones

DecideAll = Callable[[Sequence[Delivery], Rulebook, datetime], list[Decision]]
"""How a batch is decided: deliveries, rules and time in, one decision each, in order."""


OnBug = Callable[[Decision, Exception], object]
"""Told of a message that is held because deciding it raised."""


def decide_each(
    deliveries: Sequence[Delivery], rules: Rulebook, now: datetime, on_bug: OnBug = lambda *_: None
) -> list[Decision]:
    """Decide a batch, each message guarded: what one provokes must not stop the others; `on_bug` is told."""
    parts = (deliveries[i : i + TOGETHER] for i in range(0, len(deliveries), TOGETHER))
    return [decision for part in parts for decision in _in_step(part, rules, now, on_bug)]


def hold_each(deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
    """Hold a batch: nothing of it is used, its bytes are kept."""
    return [held(delivery, rules, now) for delivery in deliveries]


def _in_step(deliveries: Sequence[Delivery], rules: Rulebook, now: datetime, on_bug: OnBug) -> list[Decision]:
    """Every message through one stage before any goes to the next.

    A stage's code (parser, signature, schema) is larger than the processor's caches: taken
    message by message, each stage throws the others' out, which costs a third of all time.
    An unexpected exception is its message's alone; a fault is ours.
    """
    decided: dict[int, Decision] = {}
    underway = [(i, in_stages(delivery, rules, now)) for i, delivery in enumerate(deliveries)]
    while underway:
        for i, deciding in underway:
            try:
                next(deciding)
            except StopIteration as end:
                decided[i] = end.value[0]
            except Fault:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a message provokes must not stop the others
                decided[i] = held(deliveries[i], rules, now, f"{type(error).__name__} while deciding")
                on_bug(decided[i], error)
        underway = [(i, deciding) for i, deciding in underway if i not in decided]
    return [decided[i] for i in range(len(deliveries))]


class FreshThreads:
    """A DecideAll that runs another on threads that are replaced now and then; for one caller at a time.

    libxml2 keeps every element and attribute name that a thread has ever met. Hostile names would
    fill its dictionary, and with it the memory; with the thread they are gone.
    """

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
