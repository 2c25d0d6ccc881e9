"""Processes that share work end with the one they work for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.bench import processes

WORK = "import time; from swexchange.cli.cores import on_all_cores; list(on_all_cores(time.sleep, [600.0] * 9))"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_of_one_that_was_killed(number: signal.Signals) -> None:
    """Each would keep its connection, and its memory, until the machine is started again."""
    parent = subprocess.Popen([sys.executable, "-c", WORK])
    deadline = time.monotonic() + 60
    cores = len(os.sched_getaffinity(0))
    while len(workers := [c for c in processes.children(parent.pid) if "spawn_main" in processes.command(c)]) < cores:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.0)  # until they are at work
    parent.send_signal(number)
    assert parent.wait(60) == -number
    while any("spawn_main" in processes.command(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
