"""`python -m tests.simulation`: look for failures for minutes, on all cores; or run one seed, with its moves told."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation.explore import SOMETIMES, explore_on_all_cores, folder
from tests.simulation.schedule import MOVES, Schedule
from tests.simulation.setting import opened


def main() -> int:
    """Exit code 1: something failed."""
    parser = ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed alone, and tell its moves")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--minutes", type=float, default=1.0)
    asked = parser.parse_args()
    with TemporaryDirectory() as otherwise, folder(Path(otherwise)) as place:
        if asked.seed is None:
            return _look(place, asked.first, asked.minutes)
        with opened(place) as site:
            site.tell = print
            Schedule(site, asked.seed).run()
    return 0


def _look(place: Path, first: int, minutes: float) -> int:
    found = explore_on_all_cores(place, math.inf, 60 * minutes, first)
    print(*found.failures, sep="\n")
    for name, times in sorted(found.sometimes.items()):
        print(f"{times:8} {name}")
    print(*(f"       0 {name}" for name in SOMETIMES if not found.sometimes[name]), sep="\n")
    for what, count in (("schedules", found.schedules), ("moves", MOVES * found.schedules), ("steps", found.steps)):
        by_clock, by_processor = (60 * count / spent for spent in (found.seconds, found.processor_seconds))
        print(f"{count:8} {what}: {by_clock:,.0f} a minute, {by_processor:,.0f} a minute of processor time")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
