"""Declaring and checking the topology on a real RabbitMQ."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pika
import pytest

from swexchange.broker import Intake, Outlet, Server, Topology, admin, management
from swexchange.broker.client import Mailbox, submission
from swexchange.broker.management import Management
from swexchange.broker.topology import DAEMON, INTAKE, commands, definitions, inbox, outbox, password_hash, release
from swexchange.core.model import Copy, Fate, Kind
from swexchange.errors import BrokerLost, ConfigFault
from swexchange.health.broker import judge_nodes, judge_permissions, judge_takers
from swexchange.health.machine import judge_clock
from swexchange.health.problem import Danger, Problem
from tests import rabbit

MANY = 10**9
TOPOLOGY = Topology(("alice", "bob"))
QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture
def server() -> Server:
    return Server(rabbit.shared().vhost("topology"))


@pytest.fixture
def deep(server: Server) -> Callable[[], list[str]]:
    """Declares the topology; then gives what the management API shows wrong, as 'name: what'."""
    admin.apply(server, TOPOLOGY)
    api = Management(rabbit.shared().management_url)
    return lambda: [f"{p.name}: {p.what}" for p in management.check(api, TOPOLOGY, "topology")]


@pytest.fixture
def channel(server: Server) -> Iterator[Any]:
    connection = pika.BlockingConnection(server.parameters())
    yield connection.channel()
    connection.close()


def test_declaring_makes_the_check_clean_and_twice_is_once(server: Server, deep: Callable[[], list[str]]) -> None:
    """After `apply`, neither check finds anything, and a second `apply` changes nothing."""
    admin.apply(server, TOPOLOGY)
    assert admin.check(server, TOPOLOGY) == []
    assert deep() == []


def test_the_check_names_what_is_missing_and_makes_nothing(server: Server) -> None:
    """Every missing exchange and queue is a problem, before and after the check."""
    expected = {*TOPOLOGY.exchanges(), *TOPOLOGY.queues()}
    for _ in range(2):
        found = admin.check(server, TOPOLOGY)
        assert {p.name for p in found} == expected
        assert {p.do for p in found} == {"Declare it: `swexchange topology apply`"}


def test_declaring_over_something_else_says_so(server: Server, channel: Any) -> None:
    """A classic queue of the same name is left alone and named in a ConfigFault."""
    channel.queue_declare(inbox("bob"), durable=True)
    with pytest.raises(ConfigFault, match=r"swx\.inbox\.bob exists already"):
        admin.apply(server, TOPOLOGY)


@pytest.mark.parametrize(
    ("policy", "what"),
    [
        ({"max-length": 5}, "max-length without reject-publish"),
        ({"max-length-bytes": 5, "overflow": "drop-head"}, "max-length-bytes without reject-publish"),
        ({"message-ttl": 60000}, "expire after 60000 ms"),
        ({"expires": 3600000}, "deletes itself after 3600000 ms"),
        ({"delivery-limit": 7}, "dropped after 7 deliveries"),
        ({"dead-letter-exchange": "x"}, "dead-lettering may lose messages"),
        ({"dead-letter-exchange": "x", "dead-letter-strategy": "at-least-once"}, "dead-lettering may lose messages"),
    ],
)
def test_policies_that_lose_messages_are_found(channel: Any, policy: dict[str, Any], what: str) -> None:
    """Each data-losing policy on a queue declared without overflow is a problem of that queue."""
    node = rabbit.shared()
    admin.apply(Server(node.url_of("guest", "guest", "topology")), Topology(()))
    channel.queue_declare(inbox("carol"), durable=True, arguments=QUORUM)
    node.manage("PUT", "policies", "topology", "p", pattern=r"inbox\.carol", definition=policy)
    found = management.check(Management(node.management_url), Topology(("carol",)), "topology")
    assert any(p.name == inbox("carol") and what in p.what for p in found), found


def test_a_policy_overrules_the_queues_own_overflow(channel: Any) -> None:
    """Declared with reject-publish, a queue under a drop-head policy confirms and drops; so the check says it loses."""
    node = rabbit.shared()
    server = Server(node.url_of("guest", "guest", "topology"))
    admin.apply(server, Topology(("carol",)))
    drop = {"max-length": 2, "overflow": "drop-head"}
    node.manage("PUT", "policies", "topology", "p", pattern=r"inbox\.carol", definition=drop)
    channel.confirm_delivery()
    for _ in range(5):
        channel.basic_publish("", inbox("carol"), b"x", mandatory=True)  # raises when it is refused
    assert channel.queue_declare(inbox("carol"), passive=True).method.message_count < 5
    (found,) = management.check(Management(node.management_url), Topology(("carol",)), "topology")
    assert (found.name, found.danger) == (inbox("carol"), Danger.LOSS)


def test_strangers_at_the_queues_are_found(server: Server, channel: Any, deep: Callable[[], list[str]]) -> None:
    """A foreign user's consumer on the intake, and permissions beyond one's own, as the real API shows them."""
    assert deep() == []
    node = rabbit.shared()
    node.ctl("import_definitions", str(_definitions(node, server)))
    api = Management(node.management_url)

    def found() -> list[Problem]:
        seen = management.look(api, "topology")
        taking = judge_takers(seen, INTAKE, "nobody")
        return [*taking, *judge_permissions(seen, TOPOLOGY.permissions(), TOPOLOGY)]

    assert found() == []
    node.ctl("set_permissions", "-p", "topology", "alice", "^$", "^$", r"^swx\.inbox\.")
    channel.basic_consume(INTAKE, lambda *_: None)
    for _ in range(60):  # the API shows a consumer only when it has counted again
        if len(now := found()) == 4:
            break
        channel.connection.sleep(0.5)
    assert [f"{p.danger}: {p.name}: {p.what}" for p in now] == [
        "loss: swx.intake: user guest takes messages from it",
        "loss: user alice: may take messages from swx.inbox.bob",
        "stop: user alice: may not read swx.receipts.alice",
        "stop: user alice: may not write to swx.outbox.alice",
    ]


def test_what_the_node_says_of_itself(server: Server) -> None:
    """Disk, its alarm limit, the cluster's size and the clock come from the real API."""
    seen = management.look(Management(rabbit.shared().management_url), "topology")
    (node,) = seen.nodes
    assert node.running
    assert (node.disk_free or 0) > (node.disk_limit or 0) > 0
    assert not list(judge_clock("RabbitMQ", seen.clock or datetime.min.replace(tzinfo=UTC), datetime.now(UTC)))
    rabbit.shared().ctl("set_disk_free_limit", "999GB")
    try:
        said = _alarm()
    finally:
        rabbit.shared().ctl("set_disk_free_limit", "50MB")
    assert said == "disk alarm"


def _alarm() -> str:
    """The node's alarm as soon as the API shows one."""
    api = Management(rabbit.shared().management_url)
    for _ in range(60):
        if alarms := [p.what for p in judge_nodes(management.look(api, "topology")) if p.danger is Danger.STOP]:
            return alarms[0]
        time.sleep(0.5)
    return "none"


def test_a_queue_on_one_disk_a_wrong_exchange_and_a_lost_binding_are_found(
    channel: Any, deep: Callable[[], list[str]]
) -> None:
    """Classic instead of quorum, direct instead of fanout, unbound: each is said."""
    channel.queue_delete(inbox("bob"))
    channel.queue_declare(inbox("bob"), durable=True)
    channel.exchange_delete(outbox("bob"))
    channel.exchange_declare(outbox("bob"), "direct", durable=True)
    channel.queue_unbind(INTAKE, outbox("alice"))
    found = "\n".join(deep())
    assert "swx.inbox.bob: the queue is classic" in found
    assert "swx.outbox.bob: the exchange is direct" in found
    assert "swx.outbox.alice: it is not bound to swx.intake" in found


def test_the_management_api_says_why_it_cannot_be_asked() -> None:
    """Wrong password, nobody there and a wrong URL are three clear lines, none with the password."""
    url = rabbit.shared().management_url
    with pytest.raises(BrokerLost, match="401") as refused:
        management.check(Management(url.replace(":guest@", ":wr0ng@")), TOPOLOGY)
    assert "wr0ng" not in str(refused.value)
    with pytest.raises(BrokerLost, match="does not answer"):
        management.check(Management("http://guest:guest@127.0.0.1:9"), TOPOLOGY)
    with pytest.raises(ConfigFault, match="management URL"):
        Management("ftp://nowhere")


def test_imported_definitions_hold_users_apart(server: Server) -> None:
    """With the definitions file imported, each user can do its part and nothing of another's."""
    node = rabbit.shared()
    node.ctl("import_definitions", str(_definitions(node, server)))
    alice, daemon = (Server(node.url_of(user, "pw", "topology")) for user in ("alice", DAEMON))
    with Outlet(alice) as outlet:
        assert outlet.publish_raw([submission("alice", b"<a/>")]) == [Fate.CONFIRMED]
        with pytest.raises(BrokerLost, match="403"):
            outlet.publish_raw([submission("bob", b"<a/>")])
    with pytest.raises(BrokerLost, match="403"):
        Mailbox(alice, inbox("bob"))
    with Intake(daemon, INTAKE) as intake, Outlet(daemon) as outlet:
        (delivery,) = intake.take(1, MANY, 10)
        assert delivery.submitter == "alice"
        copy = Copy("id", Kind.MESSAGE, "alice", "DEC001", "parent", "01EXCHANGE", delivery.body)
        assert outlet.publish([copy]) == [Fate.CONFIRMED]
    with Mailbox(alice, inbox("alice")) as mailbox:
        (received,) = mailbox.read(1, MANY, 10)
        mailbox.ack_through(received.tag)
    assert (received.body, received.message_id, received.type) == (b"<a/>", "id", "DEC001")
    assert (received.correlation_id, received.exchange_id) == ("parent", "01EXCHANGE")
    assert received.timestamp > 1_700_000_000


def test_exported_commands_make_the_topology(server: Server, tmp_path: Path) -> None:
    """The lines for this release, typed as they are at the tools that came with it, leave nothing to complain about."""
    node = rabbit.shared()
    host = f"[default]\nhostname = 127.0.0.1\nport = {node.state()['management_port']}\n"
    (tmp_path / ".rabbitmqadmin.conf").write_text(f"{host}username = guest\npassword = guest\n")
    version = admin.server_version(server)
    tool = subprocess.run(["rabbitmqadmin", "--version"], capture_output=True, text=True, check=True).stdout
    if release(version) >= (4, 0) and not tool.startswith("rabbitmqadmin 2"):
        pytest.skip("this RabbitMQ 4 comes with rabbitmqadmin v1; its commands are written for v2")
    for line in commands(TOPOLOGY, version, "topology"):
        program, *words = shlex.split(line, comments=True)
        if program == "rabbitmqctl":
            if words[0] == "add_user":
                node.manage("DELETE", "users", words[-1])
                words.append("pw")
            node.ctl(*words)
        else:
            subprocess.run(
                [program, *words], env={**os.environ, "HOME": str(tmp_path)}, check=True, capture_output=True
            )
    api = Management(node.management_url)
    assert management.check(api, TOPOLOGY, "topology") == []
    found = management.look(api, "topology").permissions
    assert set(found or ()) == set(TOPOLOGY.permissions())


def _definitions(node: rabbit.Rabbit, server: Server) -> Path:
    """The topology as a definitions file; every user's password is pw."""
    hashes = {user: password_hash("pw", b"salt") for user in (DAEMON, *TOPOLOGY.participants)}
    file = node.folder / "definitions.json"
    file.write_text(json.dumps(definitions(TOPOLOGY, admin.server_version(server), "topology", hashes)))
    return file
