"""How long it takes until all goes on when something is killed with -9 under a steady load, and started again at once.

Two workers under their supervisor. A service manager's own pause before a start comes on top.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from swexchange.broker.topology import inbox
from tests.bench import daemon, processes, through
from tests.bench.arrivals import Arrivals, Load
from tests.bench.daemon import Daemon
from tests.bench.databases import Postgresql
from tests.bench.lab import Lab
from tests.bench.latency import RECEIPTS
from tests.bench.parties import AGENCY
from tests.bench.run import Job, Run, setup_of

RATE = 50.0  # messages a second
CALM = 5.0  # seconds of load before the kill
PATIENCE = 90.0  # seconds after the last message is due
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds since a kill, and whether each message had its effects."""

    first_s: float  # until the first receipt of a message that was due after the kill
    before_s: float  # until what was due by then has its receipts too, and what was killed is there again
    checks: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Recoveries:
    """By what was killed and the database."""

    found: Mapping[tuple[str, str], Recovery]

    def runs(self) -> Iterator[Run]:
        """None is a counted run."""
        yield from ()

    def checks(self) -> Iterator[tuple[str, bool]]:
        """Whether each message had its effects."""
        for (kind, name), one in self.found.items():
            yield from ((f"{kind} killed, {name}: {check}", holds) for check, holds in one.checks.items())

    def document(self) -> dict[str, Any]:
        """By the names of the documentation."""
        times: dict[str, dict[str, dict[str, float]]] = {}
        for (kind, name), one in self.found.items():
            rounded = {"first_receipt": round(one.first_s, 1), "as_before": round(one.before_s, 1)}
            times.setdefault(kind, {})[name] = rounded
        return {"recovery_s": times}


def measure(lab: Lab) -> Recoveries:
    """One kill after the other, each with a database of its own."""
    cases = [(kind, name) for kind in KILLS for name in lab.databases if lab.databases[name].process or kind != SERVER]
    lab.progress.expect(len(cases))
    found = {}
    for kind, name in cases:
        count = int(RATE * lab.scale.recovery_seconds)
        with lab.fresh(name) as url:
            found[kind, name] = one = _measure(lab, kind, Job(name, url, 0, count, WORKERS))
        lab.progress.done(
            f"{kind} killed, {name}: first receipt after {one.first_s:.1f} s, as before after {one.before_s:.1f} s"
        )
    return Recoveries(found)


def _measure(lab: Lab, kind: str, job: Job) -> Recovery:
    with ExitStack() as stack:
        worker = stack.enter_context(daemon.running(setup_of(lab, job)))
        worker.wait_started()
        load = Load(0, job.count, RATE)
        due_at, messages = load.due(), lab.stock.submissions(0, job.count)
        with through.steady(lab.node.url, messages, due_at, RECEIPTS, PATIENCE) as receiving:
            time.sleep(max(0.0, load.start + CALM - time.monotonic()))
            killed, worker = KILLS[kind](lab, worker, stack)
            restored = time.monotonic()
            arrived = receiving.result()
        ended = worker.stop()
    first, answered = since(killed, due_at, arrived)
    copies = lab.node.drain(inbox(AGENCY))
    lab.node.purge()
    checks = {
        "each message has a receipt": arrived.keys() == due_at.keys(),
        "each message has a copy": copies.keys() == due_at.keys(),
        "each is recorded once": lab.databases[job.database].exchanges(job.url) == job.count,
        "the daemon ends in good order": ended,
    }
    return Recovery(first, max(answered, restored - killed), checks)


def since(killed: float, due_at: Mapping[str, float], arrived: Arrivals) -> tuple[float, float]:
    """Seconds from a kill to the first receipt of a later message, and until all that was due by then has its own.

    Not a number where no later message has a receipt.
    """
    later = [times[0] for name, times in arrived.items() if due_at[name] > killed]
    first = min(later, default=float("nan"))
    waited = [arrived[name][0] for name, at in due_at.items() if at <= first and name in arrived]
    return first - killed, max(waited, default=first) - killed


Kill = Callable[[Lab, Daemon, ExitStack], tuple[float, Daemon]]
"""Kills something and starts it again; when it was dead, and the daemon that runs then."""


def _daemon(_lab: Lab, worker: Daemon, stack: ExitStack) -> tuple[float, Daemon]:
    for process in [*processes.tree(worker.process.pid)]:
        os.kill(process, signal.SIGKILL)
    killed = time.monotonic()
    worker.process.wait()
    again = stack.enter_context(daemon.running(worker.setup))
    again.wait_started()
    return killed, again


def _worker(_lab: Lab, worker: Daemon, _stack: ExitStack) -> tuple[float, Daemon]:
    children = processes.children(worker.process.pid)
    os.kill(next(child for child in children if "--number" in processes.command(child)), signal.SIGKILL)
    killed = time.monotonic()
    worker.wait_started(replaced=1)
    return killed, worker


def _broker(lab: Lab, worker: Daemon, _stack: ExitStack) -> tuple[float, Daemon]:
    return lab.node.kill_and_start(), worker


def _server(lab: Lab, worker: Daemon, _stack: ExitStack) -> tuple[float, Daemon]:
    database = lab.databases["postgresql"]
    assert isinstance(database, Postgresql)
    return database.kill_and_start(), worker


SERVER = "database"
KILLS: Mapping[str, Kill] = {"daemon": _daemon, "worker": _worker, "broker": _broker, SERVER: _server}
