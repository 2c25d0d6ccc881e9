"""bin/chaos: run the fault catalogue, print the table, say whether the promise was kept."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos import report
from tests.chaos.campaign import Job, Log, chosen, run_all
from tests.chaos.faults import all_faults
from tests.chaos.frame import name_of
from tests.chaos.scene import POSTGRESQL, SQLITE


def main() -> int:
    """Run what was asked for; 0 when every row is clean, 1 when one is not, 2 for a wrong name."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers end with us
    options = _options()
    faults = all_faults()
    if options.list:
        print(report.listing(chosen(faults, options.short, (SQLITE, POSTGRESQL))))
        return 0
    unknown = set(options.faults) - {fault.name for fault in faults}
    if unknown:
        print(f"bin/chaos: no fault is named {', '.join(sorted(unknown))}; see bin/chaos --list", file=sys.stderr)
        return 2
    databases = (options.database,) if options.database else (SQLITE, POSTGRESQL)
    jobs = [job for job in chosen(faults, options.short, databases) if _is_wanted(job, options.faults)]
    if os.geteuid():
        left_out = sorted({fault.name for fault, _ in jobs if fault.needs_root})
        jobs = [job for job in jobs if not job[0].needs_root]
        print(f"bin/chaos: without root these are left out: {', '.join(left_out) or 'none'}", file=sys.stderr)
    log = Log(options.rows, options.seed)
    found = log.rows(faults)
    if not options.show:
        clean = {name for name, row in found.items() if row.verdict.is_clean}
        fresh = run_all([job for job in jobs if name_of(*job) not in clean], options.seed, options.lanes, log)
        found |= {row.name: row for row in fresh}
    rows = [found[name] for name in (name_of(*job) for job in jobs) if name in found]
    text = report.table(rows, [name_of(*job) for job in jobs], options.seed)
    print(text)
    if options.into:
        report.into(options.into, text)
    return 0 if len(rows) == len(jobs) and all(row.verdict.is_clean for row in rows) else 1


def _is_wanted(job: Job, names: Sequence[str]) -> bool:
    return not names or job[0].name in names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/chaos", description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="names of faults (default: all)")
    parser.add_argument("--list", action="store_true", help="name all faults, and all that are not covered")
    parser.add_argument("--short", action="store_true", help="the few most telling rows, as the tests run them")
    parser.add_argument("--database", choices=(SQLITE, POSTGRESQL), help="one alone (default: both)")
    parser.add_argument("--seed", type=int, default=1, help="chooses messages and moments (default 1)")
    parser.add_argument("--lanes", type=int, default=3, help="faults at a time, each with its own servers (default 3)")
    parser.add_argument("--rows", type=Path, help="keep rows in this file; what is clean there is not run again")
    parser.add_argument("--show", action="store_true", help="run nothing; the table of what --rows has")
    parser.add_argument("--into", type=Path, help="put the table into this page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
