"""How many messages a second: RabbitMQ's shovel, the plain program, and swexchange on both databases.

All in turn, several rounds, every other one backwards, so that a drift of the machine favours
nobody; each figure is the median of its rounds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from swexchange.broker import Message
from tests.bench.lab import Lab
from tests.bench.processes import Meter
from tests.bench.rate import Rate, middle
from tests.bench.run import Job, Run, run
from tests.bench.shovel import QUEUES, Shovel
from tests.own_rules import ROOT

WORKERS = (1, 2)
NAIVE_SECONDS = 300


@dataclass(slots=True)
class Throughput:
    """All rates of all rounds. Databases by name; workers by number."""

    shovel: list[Rate] = field(default_factory=list)
    shovel_cpu_us: Mapping[str, int] = field(default_factory=dict)  # of the last
    naive: dict[str, list[Rate]] = field(default_factory=dict)
    runs: dict[tuple[str, int], list[Run]] = field(default_factory=dict)
    sizes: dict[str, Mapping[str, int]] = field(default_factory=dict)  # bytes an exchange, by part

    def rate(self, database: str, workers: int) -> float:
        """Messages a second of swexchange."""
        return middle([found.rate for found in self.runs.get((database, workers), [])])

    def best(self, database: str) -> tuple[float, int]:
        """The best rate on a database, and the number of workers that reached it."""
        return max((self.rate(database, workers), workers) for workers in WORKERS)


def measure(lab: Lab) -> Throughput:
    """Run all rounds."""
    found = Throughput()
    yardstick = partial(_yardstick, lab, found, _shovel(lab))
    steps = [partial(_naive, lab, found, name) for name in lab.databases]
    steps += [partial(_ours, lab, found, name, workers) for workers in WORKERS for name in lab.databases]
    lab.progress.expect(lab.scale.rounds * (len(steps) + 2))
    for number in range(lab.scale.rounds):
        order = steps if number % 2 == 0 else steps[::-1]
        for step in (yardstick, *order, yardstick):
            lab.progress.done(step())
    return found


def _shovel(lab: Lab) -> Shovel:
    shovel = Shovel(lab.node, lab.scale.shovel)
    bodies = lab.stock.bodies(0, lab.scale.shovel)
    shovel.prepare([Message("", QUEUES[0], body) for body in bodies])
    return shovel


def _yardstick(lab: Lab, found: Throughput, shovel: Shovel) -> str:
    meter = Meter.of({"broker": lab.node.process})
    found.shovel.append(shovel.run())
    found.shovel_cpu_us = meter.per_message_us(shovel.count)
    return f"shovel: {found.shovel[-1].per_second:,.0f} msg/s"


def _naive(lab: Lab, found: Throughput, name: str) -> str:
    rate = _run_naive(lab, name)
    found.naive.setdefault(name, []).append(rate)
    return f"naive on {name}: {rate.per_second:,.0f} msg/s"


def _ours(lab: Lab, found: Throughput, name: str, workers: int) -> str:
    with lab.fresh(name) as url:
        done = run(lab, Job(name, url, 0, lab.scale.messages, workers))
        found.sizes[name] = lab.databases[name].sizes(url)
    found.runs.setdefault((name, workers), []).append(done)
    return f"swexchange on {name}, {workers} workers: {done}"


def _run_naive(lab: Lab, name: str) -> Rate:
    """The plain program over a few messages, in a process of its own."""
    count = lab.scale.naive
    lab.node.fill(lab.stock.submissions(0, count))
    with lab.databases[name].empty() as url:
        command = [sys.executable, "-m", "tests.bench.naive", "--amqp", lab.node.url, "--database", url]
        command += ["--routes", str(lab.parties.plain), "--keys", str(lab.parties.keys), "--count", str(count)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=NAIVE_SECONDS)
    lab.node.purge()
    return Rate(**json.loads(done.stdout))
