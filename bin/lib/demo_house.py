"""The exchange of a demo: its keys, rules, database and daemon, all by the commands an admin would type.

Everything runs in the run folder; `end` undoes whatever was started, however far it came.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from demo_broker import Broker, GivenBroker, PrivateNode, delete_declared, stop_private_node
from demo_evidence import AUDIT_KEY, SETTINGS, WITNESS_KEY
from demo_folder import ENV, FOLDER, KEYS, LOG, ROOT, ROUTES, Rules, State, writable
from demo_signals import Signals
from demo_trouble import FAILED, Trouble

from swexchange.broker import Server, Topology
from swexchange.cli import cli

DATABASE_URL = f"sqlite:///{FOLDER}/swexchange.db"
WORKERS = 2
START_SECONDS, STOP_SECONDS = 60, 20
_PASSED_ON = ("SWX_AMQP_CA", "SWX_AMQP_CERT", "SWX_AMQP_KEY")


class House:
    """One demo's processes and files."""

    def __init__(self, rules: Rules, signals: Signals) -> None:
        self.rules = rules
        self._signals = signals
        self.state = State(given_url=os.environ.get("SWX_AMQP_URL", ""))
        self._broker: Broker | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._url = ""

    def call_broker(self) -> None:
        """Start the private node in the background, or look whether the given broker will do."""
        self.state.save()
        if self.state.given_url:
            self._broker = GivenBroker(Topology(self.rules.participants), self.state)
        else:
            with self._signals.held():
                self._broker = PrivateNode()

    def await_broker(self) -> tuple[Server, str]:
        """The broker, ready, and what it is."""
        assert self._broker
        server, said = self._broker.ready()
        self._url = server.url
        return server, said

    def make_keys(self) -> int:
        """A new key for the platform, every participant, the audit log and its witness; how many.

        The run's routes.yaml holds the public halves of the former.
        """
        public = {key_id: _new_key(key_id) for key_id in self.rules.public}
        self.rules.write(public)
        return len(public) + len([_new_key(key_id) for key_id in (AUDIT_KEY, WITNESS_KEY)])

    def command(self, *words: str) -> str:
        """Run a swexchange command; what it printed. Raises Trouble with its own words when it fails."""
        done = subprocess.run(  # a session of its own: Ctrl-C is this program's to handle
            [sys.executable, "-m", "swexchange", *words],
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode:
            line = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise Trouble(f"`swexchange {' '.join(words)}` failed: {line}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        """The caller's environment with the settings of this demo, and no other SWX_ ones."""
        foreign = {n: v for n, v in os.environ.items() if not n.startswith("SWX_") or n in _PASSED_ON}
        return foreign | self.settings()

    def settings(self) -> dict[str, str]:
        """The SWX_ variables of this demo."""
        return {
            "SWX_AMQP_URL": self._url,
            "SWX_DATABASE_URL": DATABASE_URL,
            "SWX_ROUTES": str(ROUTES),
            "SWX_SCHEMAS": str(ROOT / "schemas"),
            "SWX_KEYS": str(KEYS),
            **SETTINGS,
        }

    def start_daemon(self) -> None:
        """Start the daemon; returns when each worker is about to take its first message."""
        with writable(), LOG.open("wb") as log, self._signals.held():
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "swexchange", "run", "--workers", str(WORKERS)],
                cwd=ROOT,
                env=self.environment() | {"SWX_LOG": "json"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self.state.session = self._daemon.pid
            self.state.save()
        self._await_workers()

    def _await_workers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (events := [event.get("event") for event in _log()]).count("started") < WORKERS:
            self.check_daemon()
            if time.monotonic() > deadline or events.count("process died, starting another") > WORKERS:
                raise Trouble(f"the daemon does not start: {_last_words()} (log: {LOG})", FAILED)
            time.sleep(0.1)

    def check_daemon(self) -> None:
        """Raise Trouble when the daemon has ended."""
        if self._daemon and self._daemon.poll() is not None:
            raise Trouble(f"the daemon ended with {self._daemon.returncode}: {_last_words()} (log: {LOG})", FAILED)

    def keep(self) -> None:
        """Leave everything running for a later `bin/demo --stop`; the settings are in a file to source."""
        with writable():
            ENV.touch(mode=0o600)  # the URL holds a password
            ENV.write_text(exports(self.settings()))
        self.state.kept = True
        self.state.save()

    @property
    def is_up(self) -> bool:
        """Whether there is anything to end."""
        return bool(self._broker or self._daemon)

    def end(self) -> str:
        """Stop the daemon and undo what was done to the broker; what was done."""
        done = []
        if self._daemon:
            end_session(self._daemon.pid)
            self._daemon.wait(STOP_SECONDS)
            done.append("daemon ended")
        if self._broker:
            done.append(self._broker.end())
        State().save()
        return ", ".join(done)


def _new_key(key_id: str) -> str:
    """Run `swexchange keys new`, in this process: ten starts of Python would take longer; the public half."""
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as said:
        code = cli.main(["--keys", str(KEYS), "keys", "new", key_id], "swexchange", standalone_mode=False)
    if code:
        raise Trouble(f"`swexchange keys new {key_id}` failed: {said.getvalue().strip()}")
    return str(yaml.safe_load(printed.getvalue())["public"])


def exports(settings: Mapping[str, str]) -> str:
    """Lines for a shell, `swexchange` on its path included."""
    lines = [f'export PATH="{Path(sys.executable).parent}:$PATH"']
    return "\n".join([*lines, *(f"export {name}='{value}'" for name, value in settings.items()), ""])


def end_leftovers(state: State) -> None:
    """End what an earlier demo left running: kept, or killed before it could clean up."""
    if state.session:
        end_session(state.session)
    stop_private_node()
    delete_declared(state)


def is_running(state: State) -> bool:
    """Whether the daemon of an earlier demo still runs."""
    return bool(state.session and _members(state.session))


def end_session(session: int) -> None:
    """Ask the daemon of a session to end, then end whatever is left of the session."""
    for sign, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, 5)):
        members = _members(session)
        for member in [session] if session in members else members:
            with suppress(ProcessLookupError):
                os.kill(member, sign)
        deadline = time.monotonic() + seconds
        while _members(session) and time.monotonic() < deadline:
            time.sleep(0.05)


def _members(session: int) -> list[int]:
    """Live processes of ours in a session; its number alone could belong to a stranger by now."""
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if _is_ours(folder, session)]


def _is_ours(folder: Path, session: int) -> bool:
    with suppress(OSError):
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return fields[3] == str(session) and fields[0] != "Z" and b"swexchange" in (folder / "cmdline").read_bytes()
    return False


def _log() -> list[dict[str, Any]]:
    """The events that the daemon has logged; lines of another form are left out."""
    events = []
    for line in LOG.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            events.append(json.loads(line))
    return [event for event in events if isinstance(event, dict)]


def _last_words() -> str:
    """The last line of the log that is no event, such as an error's; else the last event."""
    lines = LOG.read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line and line[0] not in "{ "), lines[-1] if lines else "no word")
