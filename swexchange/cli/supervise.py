"""Runs workers as children of this process. It stays small, and is there at once: it loads nothing they need."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from swexchange.cli import exits
from swexchange.observe.logs import flush_logs

_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


@dataclass(frozen=True, slots=True)
class Role:
    """What a child is there for."""

    name: str  # in the log
    arguments: tuple[str, ...] = ()  # of `swexchange run`, beside its number
    notifies: bool = True  # readiness and watchdog are the workers' to tell: nobody else must speak for them


WORKER = Role("worker")
SEALER = Role("sealer", ("--sealer",), notifies=False)


def upstream_role(name: str) -> Role:
    """The child that serves an upstream."""
    return Role(f"upstream {name}", ("--upstream", name), notifies=False)


def supervise(roles: Sequence[Role]) -> int:
    """Run children in these roles, numbered from 0: pass signals on, replace one that dies, end when asked to."""
    log = structlog.get_logger()
    children = {number: _start(number, role) for number, role in enumerate(roles)}
    stopping: list[bool] = []  # empty as long as nobody asked; a signal may fill it at any moment

    def stop() -> None:
        stopping.append(True)
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
            role = roles[number]
            log.error("process died, starting another", number=number, role=role.name, exit=child.returncode)
            flush_logs()
            time.sleep(1.0 if time.monotonic() - started[number] < 5 else 0.0)
            if stopping:  # asked during the pause
                continue
            children[number], started[number] = _start(number, role), time.monotonic()
            if stopping:  # asked while it was started: it was not there yet to be told
                _pass_on(children, signal.SIGTERM)
    return exits.DONE


def _start(number: int, role: Role) -> subprocess.Popen[bytes]:
    arguments = [a for i, a in enumerate(sys.argv[1:]) if not _is_workers(i)]
    command = [*again(arguments), "--number", str(number), *role.arguments]
    environment = dict(os.environ)
    if not role.notifies:
        environment.pop("NOTIFY_SOCKET", None)
    return subprocess.Popen(command, preexec_fn=_as_child, env=environment)  # noqa: S603, PLW1509 - no threads


def _as_child() -> None:
    """A child whose supervisor was killed is told to stop, as by SIGTERM (Linux); a SIGHUP is nothing to it yet."""
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
