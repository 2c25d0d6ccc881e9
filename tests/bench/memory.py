"""Resident memory of one worker: when it has started, and after many messages at full speed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from swexchange.broker.topology import INTAKE, inbox
from tests.bench import daemon
from tests.bench.lab import Lab
from tests.bench.node import TRANSIT
from tests.bench.parties import AGENCY
from tests.bench.run import Job, setup_of

ROUND = 2500  # messages published at once; the next follow when fewer than that wait
PATIENCE = 120.0  # seconds for a round
DATABASE = "sqlite"
GROWTH = 1.05  # of a worker that is called flat, over the second half of the messages


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes of the worker and of its explaining child, by how many messages were handled."""

    mb: Mapping[int, Mapping[str, float]]
    checks: Mapping[str, bool]


@dataclass(slots=True)
class _Feed:
    """Keeps the intake supplied and the other queues short; counts what came out."""

    lab: Lab
    worker: daemon.Daemon
    published: int = 0
    taken: int = 0  # copies and receipts purged

    def through(self, count: int) -> None:
        """Publish up to message `count` and wait until all are done."""
        while self.published < count:
            size = min(ROUND, count - self.published)
            self.lab.node.fill(self.lab.stock.submissions(self.published, size))
            self.published += size
            self._wait(2 * (self.published - ROUND) if self.published < count else 2 * count)

    def _wait(self, outgoing: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._purged() < outgoing and self.worker.alive() and time.monotonic() < deadline:
            time.sleep(0.1)

    def _purged(self) -> int:
        purge = self.lab.node.channel.queue_purge
        self.taken += sum(purge(name).method.message_count for name in TRANSIT)
        return self.taken


def measure(lab: Lab) -> Memory:
    """Stream messages through one worker on SQLite and read its memory on the way."""
    lab.progress.expect(len(lab.scale.memory) + 1)
    last = lab.scale.memory[-1]
    with lab.fresh(DATABASE) as url:
        with daemon.running(setup_of(lab, Job(DATABASE, url, 0, last))) as worker:
            worker.wait_started()
            feed, found = _Feed(lab, worker), {0: worker.rss_mb()}
            lab.progress.done(f"memory at the start: {found[0]}")
            for count in lab.scale.memory:
                feed.through(count)
                found[count] = worker.rss_mb()
                lab.progress.done(f"memory after {count:,} messages: {found[count]}")
            checks = {"the daemon ends in good order": worker.stop()}
        checks["all are acknowledged"] = lab.node.depth(INTAKE) == 0
        checks["two copies of each"] = feed.taken == 2 * last and lab.node.depth(inbox(AGENCY)) == 0
        checks["each is recorded once"] = lab.databases[DATABASE].exchanges(url) == last
        if len(lab.scale.memory) > 1:
            half, whole = (found[count]["worker"] for count in lab.scale.memory[-2:])
            checks["the worker no longer grows"] = whole <= GROWTH * half
    lab.node.purge()
    return Memory(found, checks)
