"""`python -m tests.simulation`: look for a failure for minutes, or run one seed again with all its moves told."""

from __future__ import annotations

import math
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.simulation.explore import SOMETIMES, Exploration, explore, folder
from tests.simulation.schedule import Schedule
from tests.simulation.site import opened


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
    found = explore(place, math.inf, 60 * minutes, first, tell=_tell)
    print(file=sys.stderr)
    print(*found.failures, sep="\n")
    for name, times in sorted(found.sometimes.items()):
        print(f"{times:8} {name}")
    print(*(f"       0 {name}" for name in SOMETIMES if not found.sometimes[name]), sep="\n")
    print(f"{_rate(found)}, {found.schedules / found.processor_seconds * 60:.0f} a minute of processor time")
    return 1 if found.failures else 0


def _rate(found: Exploration) -> str:
    return f"{found.schedules} schedules, {found.schedules / found.seconds * 60:.0f} a minute"


def _tell(found: Exploration) -> None:
    if found.schedules % 20 == 0 and sys.stderr.isatty():
        print(f"\r{_rate(found)}, {len(found.failures)} failed", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
