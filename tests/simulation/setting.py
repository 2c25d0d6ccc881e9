"""Where a site stands: its database, and the clocks and points of the package, which are the schedule's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from unittest import mock

from swexchange import forwarder, pipeline, upstream, worker
from swexchange.store import Attempts, engine, open_backlog, open_ledger
from swexchange.store.migrate import upgrade
from tests.simulation.letters import forget_decisions
from tests.simulation.site import FORWARDERS, OPERATOR, SLOTS, Site
from tests.simulation.stage import PointEvent, Stage


def _seconds(site: Site) -> float:
    return (site.now - site.started).total_seconds()


@contextmanager
def opened(folder: Path) -> Iterator[Site]:
    """A site whose database is in this folder; the package's clocks and points are the schedule's as long as it is."""
    database = f"{mkdtemp(dir=folder)}/exchange.db"
    url = f"sqlite:///{database}"
    upgrade(url)
    forget_decisions()
    stage = Stage()
    with ExitStack() as stack:
        raw = stack.enter_context(closing(sqlite3.connect(database)))
        empty = stack.enter_context(closing(sqlite3.connect(":memory:")))
        raw.backup(empty)
        ledgers = [stack.enter_context(open_ledger(url)) for _ in (*SLOTS, OPERATOR)]
        attempts = [stack.enter_context(closing(Attempts(url, OPERATOR))) for _ in (*SLOTS, OPERATOR)]
        backlogs = [stack.enter_context(open_backlog(url)) for _ in FORWARDERS]
        site = Site(ledgers, attempts, backlogs, raw, stage, empty)
        clock = SimpleNamespace(monotonic=lambda: _seconds(site), sleep=lambda _: stage.point("lock wait"))
        threads = SimpleNamespace(Event=lambda: PointEvent(stage.point))
        for module in (pipeline, worker, forwarder, upstream):
            stack.enter_context(mock.patch.object(module, "crashpoint", stage.point))
        for module in (worker, upstream):
            stack.enter_context(mock.patch.object(module, "time", clock))
            stack.enter_context(mock.patch.object(module, "threading", threads))
        stack.enter_context(mock.patch.object(worker, "random", SimpleNamespace(uniform=lambda low, high: low)))
        stack.enter_context(mock.patch.object(engine, "time", clock))
        yield site
        site.stop_all()
