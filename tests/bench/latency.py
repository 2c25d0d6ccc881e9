"""How long from publishing a message to its receipt's arrival, at a tenth and at half of full load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swexchange.broker.topology import inbox, receipts
from tests.bench import arrivals, daemon
from tests.bench.arrivals import Arrivals, Load, percentile
from tests.bench.lab import Lab
from tests.bench.parties import AGENCY, INTEGRATORS
from tests.bench.run import Job, setup_of
from tests.bench.throughput import Throughput

LOADS = {"tenth": 0.1, "half": 0.5}  # of full load
RECEIPTS = tuple(receipts(name) for name in INTEGRATORS)


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one load on one database."""

    count: int  # messages
    rate: float  # messages a second offered
    waits_ms: Sequence[float]  # of all messages but the first
    checks: Mapping[str, bool]
    counts: str  # what came, for whoever asks why a check failed

    @property
    def p50_ms(self) -> float:
        """What half of them waited at most."""
        return percentile(self.waits_ms, 50)

    @property
    def p99_ms(self) -> float:
        """What 99 in a hundred waited at most."""
        return percentile(self.waits_ms, 99)

    def __str__(self) -> str:
        told = f"at {self.rate:,.0f} msg/s: p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms"
        return told if all(self.checks.values()) else f"{told}; FAILED: {self.counts}"


def measure(lab: Lab, full: Throughput) -> dict[tuple[str, str], Latency]:
    """Latencies by database and load; `full` says what full load is."""
    lab.progress.expect(len(LOADS) * len(lab.databases))
    found = {}
    for name in lab.databases:
        rate, workers = full.best(name)
        for load, share in LOADS.items():
            with lab.fresh(name) as url:
                found[name, load] = one = under(lab, Job(name, url, 0, 0, workers), rate * share)
            lab.progress.done(f"{name} {one}")
    return found


def under(lab: Lab, job: Job, rate: float) -> Latency:
    """Latencies at a rate, for the seconds that the scale says; the job's count is not used."""
    count = min(max(int(rate * lab.scale.latency_seconds), 100), lab.scale.stock)
    with daemon.running(setup_of(lab, job)) as worker:
        worker.wait_started()
        load = Load(job.first, count, rate)
        due_at = load.due()
        with arrivals.offered(lab, load):
            arrived = arrivals.receive(lab.node.url, RECEIPTS, count, load.deadline)
        stopped = worker.stop()
        delivered = lab.node.depth(inbox(AGENCY))  # a copy may be counted later than its receipt comes
        checks = {
            "one receipt of each": all(len(arrived.get(name, ())) == 1 for name in due_at),
            "one copy of each": delivered == count,
            "the daemon ends in good order": stopped,
        }
    lab.node.purge()
    waits = arrivals.waits_ms(due_at, arrived, arrivals.warm(due_at))
    counts = f"{_counted(due_at, arrived)}, {delivered} copies; the daemon's log: {worker.complaints() or 'no warning'}"
    return Latency(count, rate, waits, checks, counts)


def _counted(due_at: Mapping[str, float], arrived: Arrivals) -> str:
    numbers = [len(arrived.get(name, ())) for name in due_at]
    none, more, others = numbers.count(0), sum(number > 1 for number in numbers), len(arrived.keys() - due_at.keys())
    return f"of {len(due_at)} messages {none} without a receipt, {more} with several, {others} receipts of others"
