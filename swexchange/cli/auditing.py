"""Compares the Merkle log with its rows on all cores: each process has its own look into the database."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache, partial
from itertools import chain, islice

from swexchange.cli.cores import on_all_cores
from swexchange.evidence.auditor import Compare, Compared, Task
from swexchange.store import Evidence

FEW = 4  # tasks for which no process is started


def comparing(url: str) -> Compare:
    """How `audit` has its tasks done, of the log in the database at this URL."""
    return partial(_compare_all, url)


def _compare_all(url: str, tasks: Iterable[Task]) -> Iterator[Compared]:
    left = iter(tasks)
    first = list(islice(left, FEW + 1))
    if len(first) <= FEW:
        with closing(Evidence(url)) as log:
            yield from (task.compare(log) for task in first)
    else:
        yield from on_all_cores(partial(_compare, url), chain(first, left))


def _compare(url: str, task: Task) -> Compared:
    return task.compare(_log(url))


@cache
def _log(url: str) -> Evidence:
    """What a process reads, as long as it lives."""
    log = Evidence(url)
    atexit.register(log.close)
    return log
