"""Decides the past again on all cores: each process has its own rules and its own look into the database."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

import click

from swexchange.cli.cores import on_all_cores
from swexchange.cli.output import number_of
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
        judge_one, stretches = partial(_judge_stretch, settings, wanted, gather), history.stretches(wanted, STRETCH)
        yield from map(judge_one, stretches) if history.count(wanted) <= STRETCH else on_all_cores(judge_one, stretches)


def _judge_stretch(settings: Settings, wanted: Filter, gather: Gather[T], stretch: Stretch) -> T:
    """On a thread of its own: with it goes what libxml2 remembers of the names it met (see decider.FreshThreads)."""
    history, rules = _desk(settings)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: gather(judge(history.read(wanted, stretch), rules))).result()


def counted(history: History, wanted: Filter) -> int:
    """How many exchanges are decided again; says on stderr how many cannot be."""
    if gone := history.without_bytes(wanted):
        what = "their bytes were pruned; `swexchange archive search` finds them"
        click.echo(f"left out: {number_of(gone, 'exchange')}; {what}", err=True)
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
