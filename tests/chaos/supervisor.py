"""Keeps daemons up as systemd would: whatever ends is started again after half a second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.process.house import ROOT

PAUSE = 0.5
ANY_DISK = {"SWX_DISK_STOP_MB": "0", "SWX_DISK_RESUME_MB": "1"}  # however small it is, the intake goes on
STARTED = b'"event": "started"'
NOT_PASSED_ON = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
ALONE = "--number", "0"  # one worker as a process without others: what ends is not replaced by anybody but us


@dataclass(slots=True)
class Start:
    """How a daemon is started: the command around it, its environment, where its log goes."""

    prefix: tuple[str, ...] = ()
    module: str = "swexchange"
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None  # None: a file of its own


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds."""

    files: int
    threads: int
    resident_mb: int


class Supervisor:
    """`count` daemons; `script` is a list of starts of the first one, used up one by one, before the plain ones."""

    def __init__(self, environment: Mapping[str, str], folder: Path, plain: Start, count: int = 1) -> None:
        self._environment, self._folder, self._count = environment, folder, count
        self.plain = plain
        self.script: list[Start] = []
        self.exits: list[int] = []  # exit codes of those that ended without being asked by `stop`
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._log_of: dict[int, Path] = {}
        self._logs: list[Path] = []
        self._starts = 0
        self._halted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start all and go on looking after them."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._halted.clear()
        self._thread.start()

    def hold(self) -> None:
        """Start nothing more until `start`, whoever ends."""
        self._halted.set()
        self._thread.join()

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """Those that run now."""
        return [process for process in self._processes.values() if process.poll() is None]

    def ready(self) -> bool:
        """Whether all run and take messages."""
        logs = [self._log_of[n] for n, process in self._processes.items() if process.poll() is None]
        return len(logs) == self._count and all(STARTED in log.read_bytes() for log in logs)

    @property
    def logs(self) -> list[Path]:
        """The log of every start so far."""
        return list(dict.fromkeys(self._logs))

    @property
    def workers(self) -> list[int]:
        """The processes that the daemons have started: workers, sealers, forwarders."""
        return [pid for process in self.processes for pid in children(process.pid)]

    def signal(self, number: signal.Signals) -> None:
        """To every daemon that runs; what a daemon cannot pass on, to all processes below it too."""
        for process in self.processes:
            below = descendants(process.pid) if number in NOT_PASSED_ON else []
            for pid in (process.pid, *below):  # the daemon first: it would replace a worker
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def stop(self, seconds: float = 60) -> list[int]:
        """SIGTERM to all, no new ones; their exit codes (-9: it had to be killed)."""
        self.hold()
        running = self.processes
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return [int(process.returncode) for process in running]

    def size(self) -> Size | None:
        """What the largest daemon, or process of one, holds now; None while none runs."""
        sizes = []
        for pid in (pid for process in self.processes for pid in (process.pid, *children(process.pid))):
            with suppress(OSError, IndexError):
                sizes.append(_size(pid))
        return max(sizes, key=lambda size: size.resident_mb, default=None)

    def _run(self) -> None:
        while not self._halted.is_set():
            for number in range(self._count):
                process = self._processes.get(number)
                if process is not None and process.poll() is None:
                    continue
                if process is not None:
                    self.exits.append(int(process.returncode))
                    if self._halted.wait(PAUSE):
                        return
                self._processes[number] = self._begin(number)
            self._halted.wait(0.02)

    def _begin(self, number: int) -> subprocess.Popen[bytes]:
        how = self.script.pop(0) if self.script else self.plain
        log = how.log or self._folder / f"daemon-{self._starts:03d}.log"
        self._starts += 1
        self._log_of[number] = log
        self._logs.append(log)
        command = [*how.prefix, sys.executable, "-m", how.module, "run", *how.arguments]
        with log.open("ab") as stream:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                cwd=ROOT,
                env={**self._environment, **how.environment},
            )


def children(pid: int) -> list[int]:
    """The processes that a process has started, by whichever thread; none where it has ended."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    return [below for child in children(pid) for below in (child, *descendants(child))]


def _size(pid: int) -> Size:
    home = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (home / "status").read_text().splitlines() if ":" in line)
    resident = int(status["VmRSS"].split()[0]) // 1024
    return Size(len(list((home / "fd").iterdir())), int(status["Threads"]), resident)
