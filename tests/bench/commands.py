"""Commands of swexchange beside the daemon, as an operator runs them: how long they take and what they print."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.daemon import Setup

SECONDS = 3600.0


def started(setup: Setup, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """A command at work, its output a pipe; `before` is what starts it, as nice does."""
    command = [*before, sys.executable, "-m", "swexchange", *arguments]
    with setup.log.open("ab") as log:
        return subprocess.Popen(
            command,
            env=setup.environment(),
            cwd=setup.log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )


def require(process: subprocess.Popen[bytes], setup: Setup) -> None:
    """Raises RuntimeError when a command has not succeeded."""
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r}: exit code {process.returncode}; see {setup.log}")


@contextmanager
def running(setup: Setup, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command at work, its output a pipe. Raises RuntimeError when it did not succeed."""
    with started(setup, *arguments) as process:
        yield process
    require(process, setup)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that succeeded."""

    seconds: float  # from its start to its end
    text: str

    @property
    def told(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.text)


def done(setup: Setup, *arguments: str) -> Done:
    """Run a command to its end."""
    started = time.monotonic()
    with running(setup, *arguments) as process:
        text = process.communicate(timeout=SECONDS)[0].decode()
    return Done(time.monotonic() - started, text)
