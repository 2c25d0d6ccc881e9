"""bin/chaos: run the fault catalogue, print the table, say whether the promise was kept."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from tests.chaos import report
from tests.chaos.faults import all_faults
from tests.chaos.frame import Fault, Row, run
from tests.chaos.scene import POSTGRESQL, SQLITE, lab

Job = tuple[Fault, str]


def main() -> int:
    """Run what was asked for; 0 when every row is clean, 1 when one is not, 2 for a wrong name."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end with us
    options = _options()
    faults = all_faults()
    if options.list:
        print(report.listing(faults))
        return 0
    unknown = set(options.faults) - {fault.name for fault in faults}
    if unknown:
        print(f"bin/chaos: no fault is named {', '.join(sorted(unknown))}; see bin/chaos --list", file=sys.stderr)
        return 2
    jobs = [job for job in chosen(faults, options.short, options.database) if _is_wanted(job, options.faults)]
    if os.geteuid():
        left_out = sorted({fault.name for fault, _ in jobs if fault.needs_root})
        jobs = [job for job in jobs if not job[0].needs_root]
        print(f"bin/chaos: without root these are left out: {', '.join(left_out) or 'none'}", file=sys.stderr)
    rows = run_all(jobs, options.seed, options.lanes)
    text = report.table(rows, options.seed)
    print(text)
    if options.into:
        report.into(options.into, text)
    return 0 if rows and all(row.verdict.is_clean for row in rows) else 1


def chosen(faults: Sequence[Fault], short: bool, databases: Sequence[str]) -> list[Job]:
    """Which faults with which databases."""
    wanted = ((fault, fault.short if short else fault.databases) for fault in faults)
    return [(fault, database) for fault, names in wanted for database in names if database in databases]


def run_all(jobs: Sequence[Job], seed: int, lanes: int) -> list[Row]:
    """Run jobs in lanes, each with servers of its own: most of a run is waiting. Rows in order of the jobs."""
    waiting: dict[bool, SimpleQueue[tuple[int, Job]]] = {False: SimpleQueue(), True: SimpleQueue()}
    for number, job in enumerate(jobs):
        waiting[job[0].clustered].put((number, job))
    kinds = [False] * min(lanes, waiting[False].qsize()) + [True] * (not waiting[True].empty())
    with ThreadPoolExecutor(len(kinds) or 1) as pool:
        running = [pool.submit(_lane, waiting[clustered], seed, clustered) for clustered in kinds]
        found = [numbered for lane in running for numbered in lane.result()]
    return [row for _, row in sorted(found, key=lambda numbered: numbered[0])]


def _lane(waiting: SimpleQueue[tuple[int, Job]], seed: int, clustered: bool) -> list[tuple[int, Row]]:
    rows = []
    with lab(clustered=clustered) as servers:
        while True:
            try:
                number, (fault, database) = waiting.get_nowait()
            except Empty:
                return rows
            row = run(fault, database, servers, seed)
            print(report.line(row), file=sys.stderr, flush=True)
            rows.append((number, row))


def _is_wanted(job: Job, names: Sequence[str]) -> bool:
    return not names or job[0].name in names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/chaos", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="names of faults (default: all)")
    parser.add_argument("--list", action="store_true", help="name all faults, and all that are not covered")
    parser.add_argument("--short", action="store_true", help="the few most telling rows, as the tests run them")
    parser.add_argument("--database", nargs="+", choices=(SQLITE, POSTGRESQL), default=(SQLITE, POSTGRESQL))
    parser.add_argument("--seed", type=int, default=1, help="chooses messages and moments (default 1)")
    parser.add_argument("--lanes", type=int, default=3, help="faults at a time, each with its own servers (default 3)")
    parser.add_argument("--into", type=Path, help="put the table into this page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
