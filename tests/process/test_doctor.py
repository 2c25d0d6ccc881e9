"""doctor, and the look that `run` takes before it starts, against a real broker that is set up to lose messages."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pika
import pytest

from tests import rabbit
from tests.process.house import CUSTOMS, House, house

MEMORY = Path("/dev/shm")
INBOX = f"swx.inbox.{CUSTOMS}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that looks into its broker, where its user is an administrator."""
    made = house(Path(tmp_path_factory.mktemp("doctor")))
    yield made
    made.close()


@pytest.fixture
def deep() -> str:
    """The URL that lets commands look into the broker."""
    return rabbit.shared().management_url


@pytest.fixture
def lossy(built: House) -> Iterator[None]:
    """A policy under which one agency's inbox drops the oldest messages."""
    vhost = built.url.rpartition("/")[2]
    drop = {"max-length": 5, "overflow": "drop-head"}
    rabbit.shared().manage("PUT", "policies", vhost, "drop", pattern=f"^{INBOX}$", definition=drop)
    yield
    rabbit.shared().manage("DELETE", "policies", vhost, "drop")


def _graded(home: House, code: int, management_url: str = "") -> dict[str, list[str]]:
    """What doctor says, by danger; what depends on this machine's disks is left out."""
    done = home.cli("doctor", "--json", environment={"SWX_MANAGEMENT_URL": management_url})
    found: dict[str, list[str]] = {}
    for check in json.loads(done.stdout):
        if "tmpfs" not in check["said"]:
            found.setdefault(check["danger"] or "ok", []).append(f"{check['name']}: {check['where']}: {check['said']}")
    assert done.returncode == code or "is on tmpfs" in done.stdout, done
    return found


def test_all_is_well(built: House, deep: str) -> None:
    """Each part is looked at; this one node is a risk that is named, not a failure."""
    found = _graded(built, 0, deep)
    assert set(found) == {"ok", "risk"}
    names = {line.partition(":")[0] for line in found["ok"]}
    assert names >= {"rules", "keys", "disk", "database", "broker", "topology", "consumers", "clock", "permissions"}
    assert "nodes: cluster: RabbitMQ has 1 node" in found["risk"]


def test_what_is_not_looked_at_is_said(built: House) -> None:
    """Without the management API doctor does not pretend."""
    assert "broker: : not looked into" in _graded(built, 0)["risk"]


@pytest.mark.usefixtures("lossy")
def test_a_policy_that_drops_is_told_with_reason_and_advice(built: House, deep: str) -> None:
    """LOSES, what, why and what to do, in text; exit code 1 here and from `topology check`."""
    done = built.cli("doctor", environment={"SWX_MANAGEMENT_URL": deep})
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOSES") and "tmpfs" not in line]
    assert f"{INBOX}: max-length without reject-publish drops the oldest messages" in line
    below = done.stdout.partition(line)[2].splitlines()
    assert "A full queue loses" in below[1]
    assert "Set overflow=reject-publish" in below[2]
    assert built.cli("topology", "check", environment={"SWX_MANAGEMENT_URL": deep}).returncode == 1


@pytest.mark.usefixtures("lossy")
@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_run_refuses_what_would_lose_messages(built: House, deep: str, workers: tuple[str, ...]) -> None:
    """Exit code 2 before anything is taken, one line with what and how to go on."""
    done = built.cli("run", *workers, environment={"SWX_MANAGEMENT_URL": deep})
    assert done.returncode == 2
    assert f"messages would be lost: {INBOX}: max-length" in done.stderr
    assert "--no-check" in done.stderr
    assert "started" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("lossy")
def test_run_starts_all_the_same_when_told_to(built: House, deep: str) -> None:
    """The admin's word is the last one."""
    assert built.daemon("--no-check", environment={"SWX_MANAGEMENT_URL": deep}).stop() == 0


def test_run_says_that_it_did_not_look_into_the_broker(built: House) -> None:
    """Without the management API no policy is seen: that must not look like all is well."""
    daemon = built.daemon()
    (warned,) = [event for event in daemon.log() if event.get("about") == "broker"]
    assert (warned["what"], warned["do"]) == ("not looked into", "Set SWX_MANAGEMENT_URL")
    assert daemon.stop() == 0


def test_run_refuses_a_classic_queue_also_without_the_management_api(built: House) -> None:
    """RabbitMQ compares when a queue is declared once more; nothing is changed by it."""
    with closing(pika.BlockingConnection(pika.URLParameters(built.url))) as connection:
        channel = connection.channel()
        channel.queue_delete(INBOX)
        channel.queue_declare(INBOX, durable=True)
        try:
            done = built.cli("run")
            assert done.returncode == 2
            assert f"messages would be lost: {INBOX}: the queue is of another kind: PRECONDITION_FAILED" in done.stderr
            assert any(INBOX in line for line in _graded(built, 1)["loss"])
        finally:
            channel.queue_delete(INBOX)
            assert built.cli("topology", "apply").returncode == 0


@pytest.mark.skipif(not MEMORY.is_dir(), reason="Linux has it")
def test_run_refuses_a_database_in_memory(built: House) -> None:
    """What doctor calls LOSES does not start, unless it is told to."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        there = {"SWX_DATABASE_URL": f"sqlite:///{folder}/exchange.db"}
        assert built.cli("db", "upgrade", environment=there).returncode == 0
        done = built.cli("run", environment=there)
        assert done.returncode == 2
        assert f"messages would be lost: database: {folder} is on tmpfs" in done.stderr
        assert built.daemon("--no-check", environment=there).stop() == 0


def test_doctor_says_what_is_weak_about_the_seal(built: House) -> None:
    """No key at all; a head beside the database, which one snapshot would take back together."""
    found = {check["said"]: check["danger"] for check in json.loads(built.cli("doctor", "--json").stdout)}
    assert found["it is not sealed"] == "risk"
    head = built.folder / "audit.head"
    sealed = {"SWX_AUDIT_KEY": "audit", "SWX_AUDIT_ORIGIN": "sw.example/audit", "SWX_AUDIT_HEAD": str(head)}
    assert "no private key audit.key in" in built.cli("doctor", environment=sealed).stdout
    assert built.cli("keys", "new", "audit").returncode == 0
    assert f"{head} is on the same file system as the database" in built.cli("doctor", environment=sealed).stdout


def test_run_starts_while_the_broker_cannot_be_asked(built: House) -> None:
    """A management API that is away must not stop the traffic: it is logged, and the worker starts."""
    daemon = built.daemon(environment={"SWX_MANAGEMENT_URL": "http://guest:guest@127.0.0.1:9"})
    (warned,) = [event for event in daemon.log() if event.get("about") == "broker"]
    assert "127.0.0.1:9" in str(warned["what"])
    assert daemon.stop() == 0


def test_workers_that_are_replaced_are_not_refused(built: House, deep: str) -> None:
    """What goes wrong in the broker while the daemon runs must not keep it from mending itself."""
    daemon = built.daemon("--workers", "2", environment={"SWX_MANAGEMENT_URL": deep})
    daemon.wait_for("started", 2)
    vhost = built.url.rpartition("/")[2]
    rabbit.shared().manage("PUT", "policies", vhost, "ttl", pattern=INBOX, definition={"message-ttl": 10**6})
    try:
        assert built.cli("run", environment={"SWX_MANAGEMENT_URL": deep}).returncode == 2
        worker = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()[0]
        os.kill(int(worker), signal.SIGKILL)
        daemon.wait_for("started", 3)
    finally:
        rabbit.shared().manage("DELETE", "policies", vhost, "ttl")
    assert daemon.stop() == 0
