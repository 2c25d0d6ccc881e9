"""Many faults with many databases, in lanes: most of a run is waiting."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from tests.chaos import report
from tests.chaos.frame import Fault, Row, run
from tests.chaos.scene import lab

Job = tuple[Fault, str]
"""A fault and the database it meets."""


def chosen(faults: Sequence[Fault], short: bool, databases: Sequence[str]) -> list[Job]:
    """Which faults with which databases."""
    wanted = ((fault, fault.short if short else fault.databases) for fault in faults)
    return [(fault, database) for fault, names in wanted for database in names if database in databases]


def run_all(jobs: Sequence[Job], seed: int, lanes: int) -> list[Row]:
    """Run jobs in lanes, each with servers of its own, the clustered ones in one more. Rows in order of the jobs."""
    waiting: dict[bool, SimpleQueue[tuple[int, Job]]] = {False: SimpleQueue(), True: SimpleQueue()}
    for number, job in enumerate(jobs):
        waiting[job[0].clustered].put((number, job))
    kinds = [False] * min(lanes, waiting[False].qsize()) + [True] * (not waiting[True].empty())
    with ThreadPoolExecutor(len(kinds) or 1) as pool:
        running = [pool.submit(_lane, waiting[clustered], seed, clustered) for clustered in kinds]
        try:
            found = [numbered for lane in running for numbered in lane.result()]
        except BaseException:  # asked to end: each lane finishes its fault, and ends its servers
            for queue in waiting.values():
                while not queue.empty():
                    queue.get()
            raise
    return [row for _, row in sorted(found, key=lambda numbered: numbered[0])]


def _lane(waiting: SimpleQueue[tuple[int, Job]], seed: int, clustered: bool) -> list[tuple[int, Row]]:
    rows: list[tuple[int, Row]] = []
    with lab(clustered=clustered) as servers:
        while True:
            try:
                number, (fault, database) = waiting.get_nowait()
            except Empty:
                return rows
            row = run(fault, database, servers, seed)
            print(report.line(row), file=sys.stderr, flush=True)
            rows.append((number, row))
