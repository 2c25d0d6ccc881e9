"""The real daemon under measurement: `swexchange run` as a process of its own, its log, its memory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import parties, processes
from tests.own_rules import ROOT

START_SECONDS = 120.0
STOP_SECONDS = 60.0
PYTHON = (sys.executable,)
_STARTED = re.compile(rb'"event": "(?:sealer )?started"')
_INFORMATION = re.compile(r'"level": "(?:info|debug)"')


@dataclass(frozen=True, slots=True)
class Setup:
    """What a daemon is started with."""

    amqp_url: str
    database_url: str
    routes: Path
    keys: Path
    log: Path
    workers: int = 1
    upstreams: int = 0  # of its rules
    seal_seconds: float = 0.0  # between two checkpoints of the audit log; 0 = it is not sealed

    def environment(self) -> dict[str, str]:
        """The settings as SWX_* variables; all others have their defaults."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SWX_")}
        return inherited | {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.log.parent),
            "SWX_AMQP_URL": self.amqp_url,
            "SWX_DATABASE_URL": self.database_url,
            "SWX_ROUTES": str(self.routes),
            "SWX_SCHEMAS": str(ROOT / "schemas"),
            "SWX_KEYS": str(self.keys),
            "SWX_LOG": "json",
            **self._sealing(),
        }

    @property
    def archive(self) -> Path:
        """Where `swexchange archive` puts its files; each database has its own folder."""
        return self.log.parent / f"archive-{Path(self.database_url).name}"

    def _sealing(self) -> dict[str, str]:
        if not self.seal_seconds:
            return {}
        return {
            "SWX_AUDIT_KEY": parties.AUDIT_KEY,
            "SWX_AUDIT_ORIGIN": "bench.example/audit",
            "SWX_AUDIT_HEAD": str(self.log.parent / f"{Path(self.database_url).name}.head"),
            "SWX_SEAL_SECONDS": str(self.seal_seconds),
            "SWX_ARCHIVE": str(self.archive),
        }


@dataclass(slots=True)
class Daemon:
    """A started daemon."""

    setup: Setup
    process: subprocess.Popen[bytes]

    def alive(self) -> bool:
        """Whether it is still running."""
        return self.process.poll() is None

    def wait_started(self, replaced: int = 0) -> float:
        """Wait until every process is about to do its first work; when that was, on the monotonic clock.

        `replaced`: so many that died are started anew.
        """
        deadline, expected = time.monotonic() + START_SECONDS, self.setup.workers + self.setup.upstreams + replaced
        expected += self.setup.seal_seconds > 0
        while len(_STARTED.findall(self.setup.log.read_bytes())) < expected:
            if not self.alive() or time.monotonic() > deadline:
                raise RuntimeError(f"the daemon did not start; see {self.setup.log}:\n{self.log_tail()}")
            time.sleep(0.05)
        return time.monotonic()

    def stop(self) -> bool:
        """Ask it to end; whether it ended in good order and in time."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False

    def rss_mb(self) -> dict[str, float]:
        """Resident memory now: of the worker, and of its child that explains schema violations."""
        worker = self.process.pid
        explainers = [child for child in processes.children(worker) if "explainer_child" in processes.command(child)]
        return {"worker": processes.rss_mb(worker), "explainer": sum(map(processes.rss_mb, explainers))}

    def sealer_mb(self) -> float:
        """Resident memory now of the process that seals the audit log; 0 where none does."""
        found = processes.children(self.process.pid)
        return sum(processes.rss_mb(child) for child in found if "--sealer" in processes.command(child))

    def complaints(self, lines: int = 5) -> str:
        """The first lines of its log that are no mere information."""
        read = self.setup.log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in read if not _INFORMATION.search(line)][:lines])

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.setup.log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def running(setup: Setup, python: Sequence[str] = PYTHON) -> Iterator[Daemon]:
    """Start a daemon; killed at the end if it was not stopped. `python` may be a profiler's command."""
    command = [*python, "-m", "swexchange", "run", "--workers", str(setup.workers)]
    with setup.log.open("wb") as log:
        process = subprocess.Popen(
            command, env=setup.environment(), cwd=setup.log.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    daemon = Daemon(setup, process)
    try:
        yield daemon
    finally:
        daemon.stop()
