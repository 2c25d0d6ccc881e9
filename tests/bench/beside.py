"""A command of swexchange again and again beside the daemon, as gently as its systemd unit starts it; seen at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import commands, processes
from tests.bench.daemon import Setup

GENTLY = ("nice", "-n", "10", "ionice", "-c", "idle")  # Nice= and IOSchedulingClass= of the units
LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Seen:
    """What was seen of a command that was started again and again."""

    looks: int = 0
    at_work: int = 0  # of these, with a file open where its results go: not while it starts
    made: int = 0  # results that were completed meanwhile

    @property
    def share(self) -> float:
        """Of the time, in which it was at work."""
        return self.at_work / self.looks if self.looks else 0.0


@contextmanager
def repeated(setup: Setup, folder: Path, result: str, calls: Iterable[Sequence[str]]) -> Iterator[Seen]:
    """Run commands one after the other; entered once the first is at work, the last one is cut off at the end.

    They write below the folder, completed results under names that fit the pattern. Raises
    RuntimeError when one fails.
    """
    folder.mkdir(exist_ok=True)
    seen, stopping = Seen(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(_repeat, setup, folder, calls, seen, stopping)
        try:
            _await_work(seen, done)
            before = _count(folder, result)
            seen.looks = seen.at_work = 0
            yield seen
            seen.made = _count(folder, result) - before
        finally:
            stopping.set()
            done.result()


def _repeat(setup: Setup, folder: Path, calls: Iterable[Sequence[str]], seen: Seen, stopping: threading.Event) -> None:
    for arguments in calls:
        with commands.started(setup, *arguments, before=GENTLY) as process:
            while process.poll() is None and not stopping.wait(LOOK_SECONDS):
                seen.looks += 1
                seen.at_work += processes.has_open(process.pid, folder)
            if stopping.is_set():
                process.terminate()  # each of them may be stopped at any time
                return
        commands.require(process, setup)


def _await_work(seen: Seen, done: Future[None]) -> None:
    while not seen.at_work:
        if done.done():
            done.result()
            raise RuntimeError("what was to run beside the daemon had nothing to do")
        time.sleep(LOOK_SECONDS)


def _count(folder: Path, result: str) -> int:
    return sum(1 for _ in folder.glob(result))
