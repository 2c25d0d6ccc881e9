"""How long from publishing a message to its receipt's arrival, at a tenth and at half of full load.

Open loop: a late answer does not delay the next message, and the time counts from when a
message was due, so that nothing is hidden when the sender itself falls behind.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pika

from swexchange.broker.topology import inbox, receipts
from tests.bench import daemon
from tests.bench.lab import Lab
from tests.bench.messages import message_id_of
from tests.bench.parties import AGENCY, INTEGRATORS
from tests.bench.run import Job, setup_of
from tests.bench.schedule import due
from tests.bench.throughput import Throughput
from tests.own_rules import ROOT

LOADS = {"tenth": 0.1, "half": 0.5}  # of full load
LEAD_SECONDS = 4.0  # for the generator to get ready
PATIENCE = 20.0  # seconds after the last message is due
WARM = 0.1  # share of the messages, the first ones, that is left out


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one load on one database."""

    rate: float  # messages a second offered
    p50_ms: float
    p99_ms: float
    checks: Mapping[str, bool]


def measure(lab: Lab, full: Throughput) -> dict[tuple[str, str], Latency]:
    """Latencies by database and load; `full` says what full load is."""
    lab.progress.expect(len(LOADS) * len(lab.databases))
    found = {}
    for name in lab.databases:
        rate, workers = full.best(name)
        for load, share in LOADS.items():
            found[name, load] = one = _measure(lab, name, workers, rate * share)
            lab.progress.done(f"{name} at {one.rate:,.0f} msg/s: p50 {one.p50_ms:.1f} ms, p99 {one.p99_ms:.1f} ms")
    return found


def _measure(lab: Lab, name: str, workers: int, rate: float) -> Latency:
    count = min(max(int(rate * lab.scale.latency_seconds), 100), lab.scale.stock)
    with lab.fresh(name) as url, daemon.running(setup_of(lab, Job(name, url, 0, count, workers))) as worker:
        worker.wait_started()
        arrivals = _arrivals(lab, rate, count)
        delivered = lab.node.depth(inbox(AGENCY))
        checks = {
            "one receipt of each": all(len(arrivals.get(message_id_of(n), ())) == 1 for n in range(count)),
            "one copy of each": delivered == count,
            "the daemon ends in good order": worker.stop(),
        }
    lab.node.purge()
    warm = {message_id_of(number) for number in range(int(count * WARM))}
    waits = [times[0] for name, times in arrivals.items() if name not in warm]
    return Latency(rate, percentile(waits, 50), percentile(waits, 99), checks)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed; not a number without values."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)] if values else float("nan")


def _arrivals(lab: Lab, rate: float, count: int) -> dict[str, list[float]]:
    """Milliseconds from due to arrived, by message id."""
    start, offsets = time.monotonic() + LEAD_SECONDS, due(rate, count)
    command = [sys.executable, "-m", "tests.bench.generator", "--amqp", lab.node.url, "--stock", str(lab.stock.folder)]
    command += ["--count", str(count), "--rate", str(rate), "--start", str(start)]
    with subprocess.Popen(command, cwd=ROOT) as generator:
        arrived = _receive(lab.node.url, count, start + offsets[-1] + PATIENCE)
    if generator.returncode != 0:
        raise RuntimeError("the load generator failed")
    due_at = {message_id_of(number): start + offset for number, offset in enumerate(offsets)}
    return {name: [(at - due_at[name]) * 1000 for at in times] for name, times in arrived.items()}


def _receive(url: str, count: int, deadline: float) -> dict[str, list[float]]:
    """Monotonic arrival times of receipts, by the id of the message they are about."""
    arrived: dict[str, list[float]] = {}

    def on_receipt(_channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        arrived.setdefault(properties.correlation_id, []).append(time.monotonic())

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for name in INTEGRATORS:
        channel.basic_consume(receipts(name), on_receipt, auto_ack=True)
    while len(arrived) < count and time.monotonic() < deadline:
        connection.process_data_events(time_limit=0.2)
    connection.process_data_events(time_limit=0.2)  # what came twice comes now
    connection.close()
    return arrived
