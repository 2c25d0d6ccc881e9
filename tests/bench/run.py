"""One measured run of the daemon: fill the intake, start it, watch the inbox grow, count everything at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from swexchange.broker.topology import INTAKE, inbox, receipts
from tests.bench import daemon
from tests.bench.lab import Lab
from tests.bench.messages import message_id_of, sender_of
from tests.bench.node import TRANSIT
from tests.bench.parties import AGENCY, INTEGRATORS
from tests.bench.processes import Meter
from tests.bench.rate import Rate, rate_of

SETTLE_SECONDS = 10.0  # for the last receipts, after the last copy has come


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is about: which messages, into which database, by how many workers, under which rules."""

    database: str  # name, e.g. sqlite
    url: str
    first: int  # number of the first message
    count: int
    workers: int = 1
    routes: Path | None = None  # None = the plain rules
    seal_seconds: float = 0.0  # between two checkpoints of the audit log; 0 = it is not sealed


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a job; `cpu_us` is processor time a message, by who spent it: "workers" are all that we run."""

    job: Job
    rate: Rate
    start_seconds: float
    cpu_us: Mapping[str, int]
    checks: Mapping[str, bool]
    sealed: int  # leaves of the audit log at the end
    sealer_mb: float = 0.0  # resident memory of the process that seals

    def __str__(self) -> str:
        lost = "; ".join(name for name, holds in self.checks.items() if not holds)
        return f"{self.rate.per_second:,.0f} msg/s" + (f" NOT TRUE: {lost}" if lost else "")


def run(lab: Lab, job: Job) -> Run:
    """Do a job. The queues must be empty before, and are after."""
    lab.node.fill(lab.stock.submissions(job.first, job.count))
    rows = lab.databases[job.database].exchanges(job.url)
    begun = time.monotonic()
    with daemon.running(setup_of(lab, job)) as worker:
        started = worker.wait_started()
        meter, already = Meter.of(_processes(lab, job, worker)), lab.node.depth(inbox(AGENCY))
        seen = lab.node.until(inbox(AGENCY), job.count, worker.alive)
        await_receipts(lab, job.count)
        cpu_us = meter.per_message_us(max(1, seen[-1][1] - already))
        sealer_mb = worker.sealer_mb()
        checks = {"the daemon ends in good order": worker.stop()}
    rate = rate_of(seen, job.count // 10, started)
    database = lab.databases[job.database]
    checks["each is recorded once"] = database.exchanges(job.url) - rows == job.count
    return Run(job, rate, started - begun, cpu_us, checks | counted(lab, job), database.sealed(job.url), sealer_mb)


def setup_of(lab: Lab, job: Job) -> daemon.Setup:
    """How the daemon is started for a job."""
    return daemon.Setup(
        amqp_url=lab.node.url,
        database_url=job.url,
        routes=job.routes or lab.parties.plain,
        keys=lab.parties.keys,
        log=lab.folder / "daemon.log",
        workers=job.workers,
        upstreams=int(job.routes == lab.parties.upstream),
        seal_seconds=job.seal_seconds,
    )


def await_receipts(lab: Lab, count: int) -> None:
    """Wait until as many receipts as messages are there, for a moment at most: what is missing then is counted."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while lab.node.depth(*TRANSIT[1:]) < count and time.monotonic() < deadline:
        time.sleep(0.05)


def counted(lab: Lab, job: Job) -> dict[str, bool]:
    """Whether every message of a job had exactly one effect of each kind. Empties the queues. The daemon is down."""
    numbers = range(job.first, job.first + job.count)
    once = Counter(message_id_of(number) for number in numbers)
    got = {name: lab.node.drain(receipts(name)) for name in INTEGRATORS}
    checks = {
        "all are acknowledged": lab.node.depth(INTAKE) == 0,
        "one copy of each": lab.node.drain(inbox(AGENCY)) == once,
        "one receipt of each": sum(got.values(), Counter()) == once,
        "receipts go to their senders": all(_own(numbers, name) == set(found) for name, found in got.items()),
    }
    lab.node.purge()
    return checks


def _own(numbers: range, sender: str) -> set[str]:
    return {message_id_of(number) for number in numbers if sender_of(number) == sender}


def _processes(lab: Lab, job: Job, worker: daemon.Daemon) -> dict[str, int]:
    roots = {"workers": worker.process.pid, "broker": lab.node.process}
    server = lab.databases[job.database].process
    return roots | ({"database": server} if server else {})
