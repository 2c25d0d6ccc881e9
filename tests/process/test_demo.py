"""bin/demo, the first thing everybody runs: as a process, as people start it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".run" / "demo"
SECONDS = 240  # a demo on a busy machine
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SWX_")}

pytestmark = pytest.mark.timeout(2 * SECONDS)


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [ROOT / "bin" / "demo", *arguments],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _still_running() -> list[str]:
    """Command lines of processes that a demo started: its run folder stands in their environment."""
    return [line for folder in Path("/proc").glob("[0-9]*") if (line := _command_line(folder))]


def _command_line(folder: Path) -> str:
    with suppress(OSError):
        if str(FOLDER).encode() in (folder / "environ").read_bytes():
            return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def test_every_message_of_the_demo_ends_as_expected() -> None:
    """One command: exit code 0, the known figures with nothing lost or duplicated, and nothing left running."""
    demo = _start("--messages", "20")
    out, said = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 0, out + said
    figures = "sent 82, accepted 62, rejected 20, delivered 66, receipts 82, lost 0, duplicated 0"
    assert out.splitlines()[-1] == figures
    assert _still_running() == []


def test_an_interrupted_demo_leaves_nothing_running() -> None:
    """Ctrl-C while the daemon starts: exit code 130, broker and daemon have ended."""
    demo = _start()
    assert demo.stdout is not None
    assert any(line.startswith("✓ topology") for line in demo.stdout), demo.communicate()
    os.killpg(demo.pid, signal.SIGINT)
    out, said = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 130, out + said
    assert _still_running() == []


def test_a_second_demo_at_the_same_time_is_refused_in_one_line() -> None:
    """While another holds the run folder: exit code 2, one line that says so, nothing touched."""
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demo = _start()
        out, said = demo.communicate(timeout=SECONDS)
    assert (demo.returncode, out) == (2, "")
    assert said.count("\n") == 1
    assert "another demo is running" in said
