"""A whole exchange for one test: its own vhost, database, keys and rules, and the real commands as processes.

The rules are the project's own routes.yaml, without the types that no process test sends (so that
a daemon starts in a second), and with keys of `own_rules`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from swexchange.broker import Outlet, Server
from swexchange.broker.client import Mailbox, Received, submissions
from swexchange.broker.topology import inbox, receipts
from swexchange.cli import cli
from swexchange.core.model import Fate
from tests import own_rules, rabbit, world
from tests.ending import at_end

ROOT = Path(__file__).parent.parent.parent
INTEGRATOR, SHIPPER, CUSTOMS, CENTRE = (
    "DXPENT0000012345",
    "DXPENT0000023456",
    "DXPEDCDEC0000001",
    "DXPDSWMFT0000001",
)
SECONDS = 150.0  # how long anything may take: a claim of the forwarder ends after 60, machines are busy
TYPES = ("DecMessage", "DecImportResponse", "DEC_RESULT")


@dataclass
class Daemon:
    """A running `swexchange run`; its log is JSON lines."""

    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self) -> list[dict[str, object]]:
        """All events so far."""
        lines = self.log_file.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for(self, event: str, count: int = 1) -> None:
        """Until this event was logged so many times."""
        until(lambda: sum(e["event"] == event for e in self.log()) >= count, f"{count} times {event!r}", self.log_file)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self.process.kill()
        self.process.wait(SECONDS)


@dataclass
class House:
    """Everything that one exchange needs, in a folder."""

    folder: Path
    url: str
    database_url: str
    daemons: list[Daemon] = field(default_factory=list)

    @property
    def routes(self) -> Path:
        """The rules file; tests may edit it."""
        return self.folder / "routes.yaml"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command."""
        return {
            **os.environ,
            "SWX_AMQP_URL": self.url,
            "SWX_DATABASE_URL": self.database_url,
            "SWX_ROUTES": str(self.routes),
            "SWX_SCHEMAS": str(ROOT / "schemas"),
            "SWX_KEYS": str(self.folder / "keys"),
            "SWX_CACHE": str(_cache()),
            "SWX_LOG": "json",
        }

    def furnish(self, change: Callable[[dict[str, Any]], object] = lambda rules: None) -> House:
        """Write rules, changed as asked, and keys; make the database, declare the topology."""
        (self.folder / "schemas").symlink_to(ROOT / "schemas")
        rules = _trimmed()
        change(rules)
        own_rules.own(rules)
        own_rules.write(rules, self.routes)
        own_rules.write_private((rules["platform"], *rules["participants"]), self.folder / "keys")
        for command in (("db", "upgrade"), ("topology", "apply")):
            done = CliRunner().invoke(cli, command, env=self.environment)  # not as processes: every test waits for them
            assert done.exit_code == 0, done.output
        return self

    def edit(self, old: str, new: str) -> None:
        """Edit the rules file as an admin would: the old text must be there."""
        text = self.routes.read_text("utf-8")
        assert old in text, old
        self.routes.write_text(text.replace(old, new), "utf-8")

    def cli(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run one command of swexchange to its end, with these variables beside the house's own."""
        return subprocess.run(
            [sys.executable, "-m", "swexchange", *arguments],
            input=stdin.decode(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**self.environment, **environment},
            check=False,
        )

    def daemon(self, *arguments: str, ready: bool = True, environment: Mapping[str, str] = {}) -> Daemon:
        """Start `swexchange run`, by default waiting until it takes messages."""
        log_file = self.folder / f"daemon-{len(self.daemons)}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "swexchange", "run", *arguments],
                stderr=log,
                env={**self.environment, **environment},
            )
        daemon = Daemon(process, log_file)
        self.daemons.append(daemon)
        if ready:
            daemon.wait_for("started")
        return daemon

    def close(self) -> None:
        """End every daemon that is still there."""
        for daemon in self.daemons:
            if daemon.process.poll() is None:
                daemon.kill()

    def broker(self, *arguments: str) -> str:
        """Run rabbitmqctl on this house's vhost."""
        return rabbit.shared().ctl(*arguments, "--vhost", self.url.rpartition("/")[2])

    def signed(self, document: bytes, owner: str = INTEGRATOR) -> bytes:
        """A document signed with the key that routes.yaml has for its owner."""
        return world.signed(document, own_rules.signing_key(owner))

    def declaration(self, number: str, **changes: object) -> bytes:
        """A good signed declaration of the integrator, to customs at Shekou."""
        document = world.declaration(number)
        return self.signed(world.dxp_msg(document, number, sender=INTEGRATOR, **changes))  # type: ignore[arg-type]

    def send(self, bodies: Sequence[bytes], participant: str = INTEGRATOR) -> None:
        """Put bytes into a participant's outbox; all must be confirmed."""
        with closing(Outlet(Server(self.url))) as outlet:
            assert set(outlet.publish_raw(submissions(participant, bodies))) <= {Fate.CONFIRMED}

    def drain(self, queue: str) -> list[Received]:
        """All that a queue holds, acknowledged."""
        found: list[Received] = []
        with closing(Mailbox(Server(self.url), queue)) as mailbox:
            while taken := mailbox.read(1000, 2**30, 0.3):
                found += taken
                mailbox.ack_through(taken[-1].tag)
        return found

    def inbox(self, participant: str) -> list[Received]:
        """All messages that a participant was sent."""
        return self.drain(inbox(participant))

    def receipts(self, participant: str = INTEGRATOR) -> list[Received]:
        """All receipts that a participant got."""
        return self.drain(receipts(participant))

    def collect(self, queue: str, count: int) -> list[Received]:
        """Drain a queue until so many messages with different ids came."""
        found: list[Received] = []

        def enough() -> bool:
            found.extend(self.drain(queue))
            return len({r.message_id for r in found}) >= count

        until(enough, f"{count} messages in {queue}", self.daemons[-1].log_file if self.daemons else None)
        return found


def _trimmed() -> dict[str, Any]:
    """The project's rules with the types in TYPES alone, and without what names others."""
    rules = own_rules.rules()
    rules["types"] = [entry for entry in rules["types"] if entry["id"] in TYPES]
    for participant in rules["participants"]:
        participant.pop("sends", None)
    for route in rules["routes"]:
        wanted = route.get("when", {}).get("type", TYPES)
        if isinstance(wanted, list):
            route["when"]["type"] = [name for name in wanted if name in TYPES]
    rules["routes"] = [route for route in rules["routes"] if route.get("when", {}).get("type", True)]
    return rules


@cache
def _cache() -> Path:
    """Where the houses of this process remember which schemas compiled: once is enough for all of them."""
    folder = tempfile.mkdtemp(prefix="swx-cache-")
    at_end(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def until(condition: Callable[[], bool], what: str, log_file: Path | None = None) -> None:
    """Wait for a condition; fails with what was waited for, and the end of a log."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            tail = log_file.read_text("utf-8")[-2000:] if log_file else ""
            raise AssertionError(f"waited {SECONDS} s for {what}\n{tail}")
        time.sleep(0.05)


def house(
    folder: Path, database_url: str = "", change: Callable[[dict[str, Any]], object] = lambda rules: None
) -> House:
    """A furnished house in an empty folder, on a vhost of its own."""
    url = rabbit.shared().vhost(f"t{abs(hash(str(folder))):x}")
    return House(folder, url, database_url or f"sqlite:///{folder}/exchange.db").furnish(change)
