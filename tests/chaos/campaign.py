"""Many faults with many databases, in lanes: most of a run is waiting."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue

from tests.chaos import report
from tests.chaos.checker import Verdict
from tests.chaos.frame import Fault, Row, run
from tests.chaos.scene import lab

Job = tuple[Fault, str]
"""A fault and the database it meets."""


def chosen(faults: Sequence[Fault], short: bool, databases: Sequence[str]) -> list[Job]:
    """Which faults with which databases."""
    wanted = ((fault, fault.short if short else fault.databases) for fault in faults)
    return [(fault, database) for fault, names in wanted for database in names if database in databases]


class Log:
    """Rows in a file, one JSON object a line, so that a long run can be taken up again; without a file, nowhere."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self._path, self._seed = path, seed
        self._lock = threading.Lock()

    def add(self, row: Row) -> None:
        """Keep a row."""
        if self._path is None:
            return
        kept = {"seed": self._seed, "fault": row.fault.name, "database": row.database}
        kept |= {"drained_in": row.drained_in, "seconds": row.seconds, "verdict": asdict(row.verdict)}
        with self._lock, self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(kept) + "\n")

    def rows(self, faults: Sequence[Fault]) -> dict[str, Row]:
        """The latest row of each name with this seed, clean or not."""
        by_name = {fault.name: fault for fault in faults}
        found: dict[str, Row] = {}
        lines = self._path.read_text("utf-8").splitlines() if self._path and self._path.exists() else ()
        for kept in map(json.loads, lines):
            if kept["seed"] == self._seed and kept["fault"] in by_name:
                verdict = Verdict(**kept["verdict"])
                row = Row(by_name[kept["fault"]], kept["database"], verdict, kept["drained_in"], kept["seconds"])
                found[row.name] = row
        return found


def run_all(jobs: Sequence[Job], seed: int, lanes: int, log: Log) -> list[Row]:
    """Run jobs in lanes, each with servers of its own, the clustered ones in one more. Rows in order of the jobs."""
    waiting: dict[bool, SimpleQueue[tuple[int, Job]]] = {False: SimpleQueue(), True: SimpleQueue()}
    for number, job in enumerate(jobs):
        waiting[job[0].clustered].put((number, job))
    kinds = [False] * min(lanes, waiting[False].qsize()) + [True] * (not waiting[True].empty())
    with ThreadPoolExecutor(len(kinds) or 1) as pool:
        running = [pool.submit(_lane, waiting[clustered], seed, clustered, log) for clustered in kinds]
        try:
            found = [numbered for lane in running for numbered in lane.result()]
        except BaseException:  # asked to end: each lane finishes its fault, and ends its servers
            for queue in waiting.values():
                while not queue.empty():
                    queue.get()
            raise
    return [row for _, row in sorted(found, key=lambda numbered: numbered[0])]


def _lane(waiting: SimpleQueue[tuple[int, Job]], seed: int, clustered: bool, log: Log) -> list[tuple[int, Row]]:
    rows: list[tuple[int, Row]] = []
    with lab(clustered=clustered) as servers:
        while True:
            try:
                number, (fault, database) = waiting.get_nowait()
            except Empty:
                return rows
            row = run(fault, database, servers, seed)
            print(report.line(row), file=sys.stderr, flush=True)
            log.add(row)
            rows.append((number, row))
