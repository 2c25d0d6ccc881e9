"""How a batch is decided: each message guarded, many of them in step, on threads of limited life.

The decision itself is `core.decide`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from swexchange.core.conclude import held
from swexchange.core.decide import in_stages
from swexchange.core.model import Decision, Delivery
from swexchange.core.rulebook import Rulebook
from swexchange.errors import Fault

TOGETHER = 100  # messages in step: some 10 MB of documents
BYTES = 16 * 1024 * 1024  # of messages in step, and for one thread: some 3,000 ordinary ones

DecideAll = Callable[[Sequence[Delivery], Rulebook, datetime], list[Decision]]
"""How a batch is decided: deliveries, rules and time in, one decision each, in order."""

Dated = tuple[Delivery, datetime]
"""A delivery, and the time as of which it is decided."""

OnBug = Callable[[Decision, Exception], object]
"""Told of a message that is held because deciding it raised."""


def decide_each(
    deliveries: Sequence[Delivery], rules: Rulebook, now: datetime, on_bug: OnBug = lambda *_: None
) -> list[Decision]:
    """Decide a batch, each message guarded: what one provokes must not stop the others; `on_bug` is told."""
    return list(decide_as_of(((delivery, now) for delivery in deliveries), rules, on_bug))


def decide_as_of(dated: Iterable[Dated], rules: Rulebook, on_bug: OnBug = lambda *_: None) -> Iterator[Decision]:
    """As `decide_each`, each message as of a time of its own; only those that go together are in memory."""
    for part in _parts(dated):
        yield from _in_step(part, rules, on_bug)


def hold_each(deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
    """Hold a batch: nothing of it is used, its bytes are kept."""
    return [held(delivery, rules, now) for delivery in deliveries]


def _parts(dated: Iterable[Dated]) -> Iterator[list[Dated]]:
    part: list[Dated] = []
    size = 0
    for one in dated:
        part.append(one)
        size += len(one[0].body)
        if len(part) == TOGETHER or size > BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _in_step(part: Sequence[Dated], rules: Rulebook, on_bug: OnBug) -> list[Decision]:
    """Every message through one stage before any goes to the next.

    A stage's code (parser, signature, schema) is larger than the processor's caches: taken
    message by message, each stage throws the others' out, which costs a third of all time.
    An unexpected exception is its message's alone; a fault is ours.
    """
    decided: dict[int, Decision] = {}
    underway = [(i, in_stages(delivery, rules, now)) for i, (delivery, now) in enumerate(part)]
    while underway:
        for i, deciding in underway:
            try:
                next(deciding)
            except StopIteration as end:
                decided[i] = end.value[0]
            except Fault:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a message provokes must not stop the others
                delivery, now = part[i]
                decided[i] = held(delivery, rules, now, f"{type(error).__name__} while deciding")
                on_bug(decided[i], error)
        underway = [(i, deciding) for i, deciding in underway if i not in decided]
    return [decided[i] for i in range(len(part))]


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
