"""Decides the past again on all cores: each process has its own rules and its own look into the database."""

from __future__ import annotations

import atexit
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from multiprocessing import get_context
from typing import TypeVar

import click

from swexchange.cli.wiring import load_rules
from swexchange.core.compare import Judged
from swexchange.core.rulebook import Rulebook
from swexchange.replay.whatif import judge
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from swexchange.store import Filter, History, open_history
from swexchange.store.history import Stretch

STRETCH = 1000  # exchanges that a process takes at once

T = TypeVar("T")
Gather = Callable[[Iterable[Judged]], T]
"""What a process makes of the exchanges of a stretch before it hands them over."""


def judge_all(settings: Settings, wanted: Filter, gather: Gather[T]) -> Iterator[T]:
    """Decide again, under the rules of these settings, what a filter finds: one T a stretch, oldest first.

    `gather` is called in another process, unless there is little to do: it must be found there by its name.
    """
    with open_history(settings.database_url) as history:
        if history.count(wanted) <= STRETCH:
            yield from (_judge_stretch(settings, wanted, all_, gather) for all_ in history.stretches(wanted, STRETCH))
            return
        cores = len(os.sched_getaffinity(0))
        context = get_context("spawn")
        with ProcessPoolExecutor(cores, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            waiting: deque[Future[T]] = deque()
            try:
                for stretch in history.stretches(wanted, STRETCH):
                    waiting.append(pool.submit(_judge_stretch, settings, wanted, stretch, gather))
                    if len(waiting) > 2 * cores:  # bounds what is in memory, and keeps every core busy
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)


def _judge_stretch(settings: Settings, wanted: Filter, stretch: Stretch, gather: Gather[T]) -> T:
    """On a thread of its own: with it goes what libxml2 remembers of the names it met (see decider.FreshThreads)."""
    history, rules = _desk(settings)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: gather(judge(history.read(wanted, stretch), rules))).result()


def counted(history: History, wanted: Filter) -> int:
    """How many exchanges are decided again; says on stderr how many cannot be."""
    if gone := history.without_bytes(wanted):
        what = "their bytes were pruned; `swexchange archive search` finds them"
        click.echo(f"{gone:,} exchanges are left out: {what}", err=True)
    return history.count(wanted)


def rules_of(settings: Settings) -> Rulebook:
    """The rules that this process decides by. Raises RulesInvalid."""
    return _desk(settings)[1]


@cache
def _desk(settings: Settings) -> tuple[History, Rulebook]:
    """What a process works with, as long as it lives."""
    # Why a document is refused is not asked here, and costs most.
    explainer = Explainer(largest=0, proven=settings.cache_folder)
    atexit.register(explainer.close)
    history = History(settings.database_url)
    atexit.register(history.close)
    return history, load_rules(settings, explainer, with_keys=False)
