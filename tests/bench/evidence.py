"""What the Merkle log costs the traffic: in messages a second, and in waits while something else is going on.

Throughput in pairs of runs, one of each with the log sealed every second. Waits in rounds, in turn
with and without each duty, on one database that holds more exchanges than a duty gets done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from tests.bench import latency, pairs
from tests.bench.lab import Lab
from tests.bench.latency import Latency
from tests.bench.pairs import Pairs
from tests.bench.run import Job, Run
from tests.bench.stored import load

OFTEN = 1.0  # seconds between two checkpoints
SHARE = 0.1  # of the plain rate: the load under which waits are measured


@contextmanager
def _sealing(job: Job) -> Iterator[Job]:
    yield replace(job, seal_seconds=OFTEN)


Duty = Callable[[Job], AbstractContextManager[Job]]
"""Does its work beside a daemon as long as it is entered; the job it gives says how that daemon is to run."""

# Here archiving and backing up join, which are commands beside the daemon.
DUTIES: Mapping[str, Duty] = {"sealing": _sealing}


@dataclass(slots=True)
class Waits:
    """Latencies on one database: with nothing beside the traffic, and with each duty."""

    idle: list[Latency] = field(default_factory=list)
    busy: dict[str, list[Latency]] = field(default_factory=dict)

    def ratio(self, duty: str) -> float:
        """The p99 with a duty to that without, the medians of all rounds."""
        return median(one.p99_ms for one in self.busy[duty]) / median(one.p99_ms for one in self.idle)


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
        """Count checks of the latencies."""
        for name, waits in self.waits.items():
            for duty, found in {"idle": waits.idle, **waits.busy}.items():
                yield from ((f"{duty}, {name}: {check}", holds) for one in found for check, holds in one.checks.items())

    def document(self) -> dict[str, Any]:
        """By the names of the documentation."""
        return {
            "evidence_ratio": {name: round(one.ratio, 3) for name, one in self.cost.items()},
            "evidence_sealed": {name: round(sealed_share(one.other), 2) for name, one in self.cost.items()},
            "evidence_cpu_us": {name: _cpu_us(one) for name, one in self.cost.items()},
            "sealer_mb": {name: max(run.sealer_mb for run in one.other) for name, one in self.cost.items()},
            "idle_p99_ms": {name: [round(one.p99_ms, 1) for one in waits.idle] for name, waits in self.waits.items()},
            "busy_p99_ratio": {
                duty: {name: round(waits.ratio(duty), 2) for name, waits in self.waits.items()} for duty in DUTIES
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
        found.cost[name] = cost = pairs.measure(lab, "sealed", plain, replace(plain, seal_seconds=OFTEN))
        found.waits[name] = _waits(lab, plain, cost.plain_rate * SHARE)
    return found


def _waits(lab: Lab, job: Job, rate: float) -> Waits:
    lab.progress.expect(lab.scale.pairs * (1 + len(DUTIES)) + 1)
    waits, first = Waits(busy={duty: [] for duty in DUTIES}), 0
    with lab.fresh(job.database) as url:
        stored = lab.scale.unsealed * lab.scale.pairs
        lab.progress.done(f"{job.database}: {stored:,} exchanges stored in {load(url, stored):.0f} s")
        for number in range(lab.scale.pairs):
            steps: list[tuple[str, Duty, list[Latency]]] = [("idle", _nothing, waits.idle)]
            steps += [(duty, DUTIES[duty], waits.busy[duty]) for duty in DUTIES]
            for name, duty, into in steps if number % 2 == 0 else steps[::-1]:
                with duty(replace(job, url=url, first=first)) as given:
                    into.append(latency.under(lab, given, rate))
                first += into[-1].count
                lab.progress.done(f"{job.database}, {name}, {into[-1]}")
    return waits


@contextmanager
def _nothing(job: Job) -> Iterator[Job]:
    yield job
