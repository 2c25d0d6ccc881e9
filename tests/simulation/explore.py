"""Runs seeds one after the other for a time, and counts what they reached."""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp

from tests.simulation.schedule import Schedule
from tests.simulation.setting import opened

MEMORY = Path("/dev/shm")  # where a disk sync costs nothing

DEATHS = (
    "taken", "deciding", "store noted many", "store note", "store noted", "decided", "store begin", "reconciled",
    "recorded", "store committing", "store commit made", "committed", "publish", "published", "store settle", "settled",
    "ack", "acknowledged", "due", "resent", "lock wait", "store hold", "store take", "upstream connect",
    "upstream publish", "forwarded", "store settle upward", "store settle upward made",
)  # fmt: skip
SOMETIMES = (
    *(f"killed at {point}" for point in DEATHS),
    "StoreDown at store begin",
    "StoreDown at store committing",
    "StoreDown at store commit made",  # committed, and reported as failed
    "StoreDown at store settle",
    "BrokerLost at publish",
    "BrokerLost at ack",
    "BrokerLost at upstream publish",
    "StoreDown at store settle upward",
    "a forwarded copy was confirmed",
    "a forwarded copy was unknown",
    "a forwarded copy was returned",
    "a forwarded copy was refused",
    "a copy came twice to the upstream",
    "a lane of several came in order",
    "another forwarder took over",
    "the breaker opened",
    "the breaker closed",
    "the province moved with copies on their way",
    "the intake was held back",
    "the intake went on",
    "a worker ended when it was asked to",
    "a worker recovered from trouble",
    "a copy was unknown",
    "a copy was returned",
    "a copy was refused",
    "a copy came twice",
    "a repeat brought what was owed",
    "the forwarder sent a copy",
    "what a crash left was sent after a minute",
    "two workers had the same message in hand",
    "the links ended while a batch was in hand",
    "answered from the record",
    "the record stood against today's decision",
    "the same bytes were sent twice",
    "code 4201",
    "a corrected message took its id",
    "refused first, accepted later",
    "an answer had to wait",
    "an answer met its parent at once",
    "an answer met its parent later",
    "a message killed its worker",
    "code 4301",
    "held again, answered from the record",
    "waited for another's note",
    "a held message was released",
    "an older database was restored",
    "a lost message was decided again",
    "several messages kept their order",
)
"""What an exploration must have reached, else it proves nothing about it."""


@dataclass
class Exploration:
    """What came of it."""

    schedules: int = 0
    steps: int = 0  # of actors, from one point to the next: the choices that make an interleaving
    seconds: float = 0.0
    processor_seconds: float = 0.0  # of all processes
    failures: list[str] = field(default_factory=list)
    sometimes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Exploration) -> None:
        """What another process found at the same time."""
        self.schedules += other.schedules
        self.steps += other.steps
        self.seconds = max(self.seconds, other.seconds)
        self.processor_seconds += other.processor_seconds
        self.failures += other.failures
        self.sometimes += other.sometimes


@contextmanager
def folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, where the machine has one."""
    if not MEMORY.is_dir():
        yield otherwise
        return
    made = Path(mkdtemp(prefix="swx-simulation-", dir=MEMORY))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Statements are made and dropped by the thousand: looking for cycles every 700 of them took a quarter of it."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def explore(
    place: Path,
    schedules: float,
    seconds: float,
    first: int = 0,
    most_failures: int = 3,
    tell: Callable[[Exploration], object] = lambda _: None,
    stride: int = 1,
) -> Exploration:
    """Run so many seeds from the first on, every `stride`-th, until the time is over or enough have failed."""
    found, start, used = Exploration(), time.monotonic(), time.process_time()
    with _little_garbage(), opened(place) as site:
        found.sometimes = site.sometimes
        while found.schedules < schedules and found.seconds < seconds and len(found.failures) < most_failures:
            seed = first + stride * found.schedules
            try:
                Schedule(site, seed).run()
            except AssertionError as failure:
                found.failures.append(f"python -m tests.simulation --seed {seed}: {failure}")
            found.schedules, found.steps = found.schedules + 1, site.steps
            found.seconds, found.processor_seconds = time.monotonic() - start, time.process_time() - used
            tell(found)
    return found


def explore_on_all_cores(place: Path, schedules: float, seconds: float, first: int = 0) -> Exploration:
    """The same on every core, a process each: together they run the seeds that one would, in less time."""
    cores, found = len(os.sched_getaffinity(0)), Exploration()
    # Started anew, not forked: libxml2 and SQLite of this process are not theirs.
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        shares = [
            pool.submit(explore, place, schedules / cores, seconds, first + core, stride=cores) for core in range(cores)
        ]
        for share in shares:
            found.add(share.result())
    return found
