"""Runs workers as children of this process. It stays small, and is there at once: it loads nothing they need."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import structlog

from swexchange.cli import exits
from swexchange.observe import flush_logs

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def supervise(workers: int, upstreams: Sequence[str]) -> int:
    """Run workers and upstreams as children: pass signals on, replace one that dies, end when asked to."""
    log = structlog.get_logger()
    roles = dict(enumerate(("",) * workers + tuple(upstreams)))
    children: dict[int, subprocess.Popen[bytes]] = {n: _start(n, roles[n]) for n in roles}
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True
        _pass_on(children, signal.SIGTERM)

    on_signals(stop=stop, reload=lambda: _pass_on(children, signal.SIGHUP))
    started = dict.fromkeys(children, time.monotonic())
    while children:
        time.sleep(0.2)
        for number, child in list(children.items()):
            if child.poll() is None:
                continue
            del children[number]
            if stopping:
                continue
            if child.returncode == exits.USAGE:  # a wrong setting or file: starting again cannot help
                stop()
                return exits.USAGE
            log.error("worker died, starting another", worker=number, upstream=roles[number], exit=child.returncode)
            flush_logs()
            time.sleep(1.0 if time.monotonic() - started[number] < 5 else 0.0)
            children[number], started[number] = _start(number, roles[number]), time.monotonic()
    return exits.DONE


def _start(number: int, upstream: str) -> subprocess.Popen[bytes]:
    arguments = [a for i, a in enumerate(sys.argv[1:]) if not _is_workers(i)]
    command = [*again(arguments), "--number", str(number)]
    environment = dict(os.environ)
    if upstream:
        command += ["--upstream", upstream]
        # Readiness and watchdog are the workers' to tell: an upstream must not speak for them.
        environment.pop("NOTIFY_SOCKET", None)
    return subprocess.Popen(command, preexec_fn=_as_child, env=environment)  # noqa: S603, PLW1509 - no threads


def _as_child() -> None:
    """A worker whose supervisor was killed is told to stop, as by SIGTERM (Linux); a SIGHUP is nothing to it yet."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _is_workers(i: int) -> bool:
    argument, before = sys.argv[1 + i], sys.argv[i]
    return argument.startswith("--workers") or before == "--workers"


def _pass_on(children: dict[int, subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for child in children.values():
        if child.poll() is None:
            child.send_signal(number)


def on_signals(stop: Callable[[], object], reload: Callable[[], object]) -> None:
    """What SIGTERM and Ctrl-C, and what SIGHUP does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    signal.signal(signal.SIGHUP, lambda *_: reload())


def again(arguments: list[str]) -> list[str]:
    """The command line of a worker whose start was checked already."""
    once = [] if "--no-check" in arguments else ["--no-check"]
    return [sys.executable, "-m", "swexchange", *arguments, *once]
