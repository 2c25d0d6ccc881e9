"""What the Merkle log costs the traffic: in messages a second, and in waits while something else is going on.

Throughput in pairs of runs, one of each with the log sealed every second. Waits in rounds, in turn
with and without each duty, on a database that holds more exchanges than a duty gets done.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, repeat
from statistics import median
from typing import Any

from tests.bench import beside, latency, pairs
from tests.bench.beside import Seen
from tests.bench.daemon import Setup
from tests.bench.lab import Lab
from tests.bench.latency import Latency
from tests.bench.pairs import Pairs
from tests.bench.run import Job, Run, setup_of
from tests.bench.stored import load
from tests.bench.verification import seal_some

OFTEN = 1.0  # seconds between two checkpoints
SHARE = 0.1  # of the plain rate: the load under which waits are measured
BODY = 5_000  # bytes of what was stored before: about as many as those that come
BACKED_UP = 10_000  # exchanges of a database of its own: a round has to see the end of a backup, where it syncs
ARCHIVED = 1_000  # entries of a file: in each round some are gathered, packed, read back and put in their place
BUSY = 0.8  # share of a round in which a duty has to be at work, else the round says nothing of it


@contextmanager
def _sealing(lab: Lab, job: Job) -> Iterator[tuple[Job, Seen]]:
    """One look, at the end: a sealer that has something left to seal never rested for want of work."""
    seen, database = Seen(looks=1), lab.databases[job.database]
    before = database.sealed(job.url)
    yield replace(job, seal_seconds=OFTEN), seen
    sealed = database.sealed(job.url)
    seen.at_work, seen.made = int(sealed < database.exchanges(job.url)), sealed - before


@contextmanager
def _archiving(lab: Lab, job: Job) -> Iterator[tuple[Job, Seen]]:
    """What was sealed goes into files; one command writes them all."""
    setup, calls = _beside(lab, job), repeat(("archive", "write", "--entries", str(ARCHIVED)))
    with beside.repeated(setup, setup.archive, "*.zip", calls) as seen:
        yield job, seen


@contextmanager
def _backing_up(lab: Lab, job: Job) -> Iterator[tuple[Job, Seen]]:
    """One backup after the other."""
    folder = lab.folder / "backups"
    calls = (("backup", str(folder / str(number))) for number in count())
    try:
        with beside.repeated(_beside(lab, job), folder, "*[0-9]", calls) as seen:
            yield job, seen
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _beside(lab: Lab, job: Job) -> Setup:
    """A command that knows the log's key, beside a daemon that does not seal; its words go into a file of its own."""
    return replace(setup_of(lab, replace(job, seal_seconds=OFTEN)), log=lab.folder / "beside.log")


Duty = Callable[[Lab, Job], AbstractContextManager[tuple[Job, Seen]]]
"""Does its work beside a daemon as long as it is entered; the job it gives says how that daemon is to run."""

DUTIES: Mapping[str, Duty] = {"sealing": _sealing, "archiving": _archiving, "backing up": _backing_up}


@dataclass(slots=True)
class Waits:
    """Latencies on one database: with nothing beside the traffic, and with each duty."""

    idle: list[Latency] = field(default_factory=list)
    busy: dict[str, list[Latency]] = field(default_factory=dict)
    seen: dict[str, list[Seen]] = field(default_factory=dict)  # of each duty

    def ratio(self, duty: str) -> float:
        """The p99 with a duty to that without, each the median of its rounds: a host that stands still spoils one."""
        with_it, without = (median(one.p99_ms for one in rounds) for rounds in (self.busy[duty], self.idle))
        return with_it / without

    def share(self, duty: str) -> float:
        """The least share of a round in which a duty was at work."""
        return min(one.share for one in self.seen[duty])


@dataclass(slots=True)
class Evidence:
    """By database."""

    cost: dict[str, Pairs] = field(default_factory=dict)
    waits: dict[str, Waits] = field(default_factory=dict)

    def runs(self) -> Iterator[Run]:
        """Those of the pairs."""
        for one in self.cost.values():
            yield from one.runs()

    def checks(self) -> Iterator[tuple[str, bool]]:
        """Count checks of the latencies; and whether each duty was at work, to the end of what it does."""
        for name, waits in self.waits.items():
            for duty, found in {"idle": waits.idle, **waits.busy}.items():
                yield from ((f"{duty}, {name}: {check}", holds) for one in found for check, holds in one.checks.items())
            for duty, seen in waits.seen.items():
                yield f"{duty}, {name}: at work all the time", waits.share(duty) >= BUSY
                yield f"{duty}, {name}: something is completed in each round", all(one.made for one in seen)

    def document(self) -> dict[str, Any]:
        """By the names of the documentation."""
        return {
            "evidence_ratio": {name: round(one.ratio, 3) for name, one in self.cost.items()},
            "evidence_pairs": {name: [round(each, 3) for each in one.ratios] for name, one in self.cost.items()},
            "evidence_sealed": {name: round(sealed_share(one.other), 2) for name, one in self.cost.items()},
            "evidence_cpu_us": {name: _cpu_us(one) for name, one in self.cost.items()},
            "sealer_mb": {name: max(run.sealer_mb for run in one.other) for name, one in self.cost.items()},
            "idle_p99_ms": {name: [round(one.p99_ms, 1) for one in waits.idle] for name, waits in self.waits.items()},
            "busy_p99_ms": {
                duty: {name: [round(one.p99_ms, 1) for one in waits.busy[duty]] for name, waits in self.waits.items()}
                for duty in DUTIES
            },
            "busy_p99_ratio": {
                duty: {name: round(waits.ratio(duty), 2) for name, waits in self.waits.items()} for duty in DUTIES
            },
            "busy_share": {
                duty: {name: round(waits.share(duty), 2) for name, waits in self.waits.items()} for duty in DUTIES
            },
        }


def sealed_share(runs: list[Run]) -> float:
    """Which part of what was recorded was sealed meanwhile."""
    return sum(one.sealed for one in runs) / sum(one.job.count for one in runs)


def _cpu_us(cost: Pairs) -> dict[str, float]:
    """Processor time a message of all our processes, the sealer too; medians."""
    ways = {"plain": cost.plain, "sealed": cost.other}
    return {way: median(run.cpu_us["workers"] for run in runs) for way, runs in ways.items()}


def measure(lab: Lab) -> Evidence:
    """Database by database."""
    found = Evidence()
    for name in lab.databases:
        plain = Job(name, "", 0, lab.scale.messages)
        found.cost[name] = cost = pairs.measure(
            lab, "sealed", plain, replace(plain, seal_seconds=OFTEN), lab.scale.rounds_beside
        )
        found.waits[name] = _waits(lab, plain, cost.plain_rate * SHARE)
    return found


def _waits(lab: Lab, job: Job, rate: float) -> Waits:
    lab.progress.expect(lab.scale.rounds_beside * (1 + len(DUTIES)) + 2)
    waits, first = Waits(busy={duty: [] for duty in DUTIES}, seen={duty: [] for duty in DUTIES}), 0
    with lab.fresh(job.database) as large, lab.fresh(job.database) as small:
        _store(lab, replace(job, url=small), BACKED_UP)
        _store(lab, replace(job, url=large), lab.scale.unsealed * (lab.scale.rounds_beside + 1))
        seal_some(lab, replace(job, url=large), lab.scale.unsealed)  # else a round that archives first finds nothing
        for number in range(lab.scale.rounds_beside):
            steps: list[tuple[str, Duty]] = [("idle", _nothing), *DUTIES.items()]
            for name, duty in steps if number % 2 == 0 else steps[::-1]:
                url = small if duty is _backing_up else large
                with duty(lab, replace(job, url=url, first=first)) as (given, seen):
                    found = latency.under(lab, given, rate)
                first += found.count
                waits.busy.get(name, waits.idle).append(found)
                waits.seen.get(name, []).append(seen)
                beside_it = f", at work {seen.share:.0%} of the time" if duty is not _nothing else ""
                lab.progress.done(f"{job.database}, {name}, {found}{beside_it}")
    return waits


def _store(lab: Lab, job: Job, exchanges: int) -> None:
    seconds = load(job.url, exchanges, BODY)
    lab.databases[job.database].settle(job.url)
    lab.progress.done(f"{job.database}: {exchanges:,} exchanges stored in {seconds:.0f} s")


@contextmanager
def _nothing(_lab: Lab, job: Job) -> Iterator[tuple[Job, Seen]]:
    yield job, Seen()
