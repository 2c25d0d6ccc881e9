"""What the way by an upstream costs, and how fast a backlog drains after an outage while live traffic goes on.

The upstream is an exchange of the same broker that leads to the agency's own inbox, so that the
way there is all that differs. In an outage this exchange is gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from swexchange.broker.topology import inbox
from tests.bench import arrivals, daemon, pairs
from tests.bench.arrivals import Arrivals, Load, percentile
from tests.bench.lab import Lab
from tests.bench.latency import RECEIPTS
from tests.bench.messages import message_id_of
from tests.bench.pairs import Pairs
from tests.bench.parties import AGENCY, UPSTREAM, UPSTREAM_EXCHANGE
from tests.bench.rate import Rate, rate_of
from tests.bench.run import Job, Run, await_receipts, setup_of

LIVE = 0.25  # of the plain rate: the load that goes on
PATIENCE = 120.0  # seconds for a backlog
INBOX = inbox(AGENCY)


@dataclass(frozen=True, slots=True)
class Drain:
    """Of one database; rates are those at which messages come out of the upstream."""

    plain: Rate  # at full load, without a backlog
    plain_p99_ms: float  # at a part of that load, without a backlog
    draining: Rate  # backlog and live traffic together
    live_p99_ms: float  # of the live traffic meanwhile, the same part
    checks: Mapping[str, bool]

    @property
    def ratio(self) -> float:
        """Rate while draining to that without a backlog."""
        return self.draining.per_second / self.plain.per_second

    @property
    def p99_ratio(self) -> float:
        """The live traffic's p99 while draining to that without a backlog."""
        return self.live_p99_ms / self.plain_p99_ms


@dataclass(slots=True)
class Upstreams:
    """By database: pairs of runs straight to the agency and by the upstream, and a drain."""

    lane: dict[str, Pairs] = field(default_factory=dict)
    drain: dict[str, Drain] = field(default_factory=dict)

    def runs(self) -> Iterator[Run]:
        """All runs that are counted as such."""
        for one in self.lane.values():
            yield from one.runs()

    def checks(self) -> Iterator[tuple[str, bool]]:
        """Count checks of the drains."""
        for name, one in self.drain.items():
            yield from ((f"drain, {name}: {check}", holds) for check, holds in one.checks.items())

    def document(self) -> dict[str, Any]:
        """By the names of the documentation."""
        return {
            "upstream_ratio": {name: round(one.ratio, 3) for name, one in self.lane.items()},
            "drain_ratio": {name: round(one.ratio, 3) for name, one in self.drain.items()},
            "drain_msg_s": {name: round(one.draining.per_second) for name, one in self.drain.items()},
            "drain_live_p99_ratio": {name: round(one.p99_ratio, 2) for name, one in self.drain.items()},
            "drain_live_p99_ms": {name: round(one.live_p99_ms, 1) for name, one in self.drain.items()},
        }


def measure(lab: Lab) -> Upstreams:
    """The pairs first, then the drain, database by database."""
    found = Upstreams()
    with _furnished(lab):
        for name in lab.databases:
            straight = Job(name, "", 0, lab.scale.messages)
            by_upstream = replace(straight, routes=lab.parties.upstream)
            found.lane[name] = pairs.measure(lab, "by the upstream", straight, by_upstream)
            found.drain[name] = _drain(lab, by_upstream)
    return found


@contextmanager
def _furnished(lab: Lab) -> Iterator[None]:
    """With the daemon's credentials for the upstream, and its exchange."""
    url = lab.parties.keys / f"upstream-{UPSTREAM}.url"
    url.touch(mode=0o600)
    url.write_text(lab.node.url)
    _open(lab)
    yield
    _close(lab)


def _open(lab: Lab) -> None:
    lab.node.channel.exchange_declare(UPSTREAM_EXCHANGE, "fanout", durable=True)
    lab.node.channel.queue_bind(INBOX, UPSTREAM_EXCHANGE)


def _close(lab: Lab) -> None:
    lab.node.channel.exchange_delete(UPSTREAM_EXCHANGE)


def _drain(lab: Lab, job: Job) -> Drain:
    """Full load, a part of it, and the same part while a backlog drains; each on a database of its own."""
    lab.progress.expect(3)
    full = _full_load(lab, job)
    plain = rate_of(seen(full), job.count // 10)
    lab.progress.done(f"{job.database}, full load by the upstream: {plain.per_second:,.0f} msg/s")
    rate = plain.per_second * LIVE
    alone, due = _live(lab, job, rate)
    plain_p99 = percentile(arrivals.waits_ms(due, alone, arrivals.warm(due)), 99)
    lab.progress.done(f"{job.database}, live at {rate:,.0f} msg/s: p99 {plain_p99:.1f} ms")
    both, due = _outage(lab, job, rate)
    start, end = span(both, job.count)
    drain = Drain(
        plain,
        plain_p99,
        rate_of(seen(both, end), job.count // 10),
        percentile(arrivals.waits_ms(due, both, start, end), 99),
        {
            "all come at full load": len(full) == job.count,
            "all come after an outage": len(both) == job.count + len(due),
        },
    )
    lab.progress.done(
        f"{job.database}, draining: {drain.draining.per_second:,.0f} msg/s, {drain.ratio:.2f} of full load; "
        f"live p99 {drain.live_p99_ms:.1f} ms, {drain.p99_ratio:.2f} of that without a backlog"
    )
    return drain


@contextmanager
def _at_work(lab: Lab, job: Job) -> Iterator[daemon.Daemon]:
    """A daemon on a fresh database, for which messages may lie ready; empties the queues at the end."""
    with lab.fresh(job.database) as url, daemon.running(setup_of(lab, replace(job, url=url))) as worker:
        worker.wait_started()
        yield worker
    lab.node.purge()


def _full_load(lab: Lab, job: Job) -> Arrivals:
    """All messages lie ready."""
    lab.node.fill(lab.stock.submissions(0, job.count))
    with _at_work(lab, job):
        return arrivals.receive(lab.node.url, (INBOX,), job.count, time.monotonic() + PATIENCE)


def _live(lab: Lab, job: Job, rate: float) -> tuple[Arrivals, dict[str, float]]:
    """A steady load alone: what arrived, and when it was due."""
    with _at_work(lab, job):
        load = Load(0, int(rate * lab.scale.latency_seconds), rate)
        with arrivals.offered(lab, load):
            return arrivals.receive(lab.node.url, (INBOX,), load.count, load.deadline), load.due()


def _outage(lab: Lab, job: Job, rate: float) -> tuple[Arrivals, dict[str, float]]:
    """A steady load over the end of an outage, in which all messages of the job were recorded."""
    _close(lab)
    with _at_work(lab, job) as worker:
        lab.node.fill(lab.stock.submissions(0, job.count))
        lab.node.until(RECEIPTS[-1], job.count // len(RECEIPTS), worker.alive)
        await_receipts(lab, job.count)
        load = Load(job.count, int(rate * lab.scale.drain_seconds), rate)
        with arrivals.offered(lab, load):
            time.sleep(max(0.0, load.start - time.monotonic()))
            _open(lab)
            count = job.count + load.count
            return arrivals.receive(lab.node.url, (INBOX,), count, load.deadline + PATIENCE), load.due()


def seen(arrived: Arrivals, until: float = float("inf")) -> list[tuple[float, int]]:
    """When how many had come, as a queue that is watched would show it."""
    times = sorted(times[0] for times in arrived.values() if times[0] <= until)
    return [(at, number) for number, at in enumerate(times, 1)]


def span(arrived: Arrivals, backlog: int) -> tuple[float, float]:
    """From the first arrival of all to the last of the backlog, messages 0 on."""
    waited = (arrived.get(message_id_of(number), [0.0])[0] for number in range(backlog))
    return min(times[0] for times in arrived.values()), max(waited)
