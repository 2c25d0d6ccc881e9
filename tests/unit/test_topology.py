"""The topology as a value: names, permissions, definitions, commands."""

from __future__ import annotations

import re
import shlex
from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest

from swexchange.broker import Server, admin
from swexchange.broker.topology import (
    DAEMON,
    INTAKE,
    Topology,
    commands,
    definitions,
    inbox,
    outbox,
    password_hash,
    queue_arguments,
    receipts,
    submitter,
)

TWO = Topology(("DXPENT0000012345", "PORT.4403-A"))


def test_a_submitter_is_read_back_from_its_exchange_only() -> None:
    """Names and `submitter` are inverse; any other exchange has no submitter."""
    assert [submitter(outbox(p)) for p in TWO.participants] == list(TWO.participants)
    assert [submitter(name) for name in ("", "amq.fanout", "swx.inbox.a", "x.swx.outbox.a")] == [""] * 4


def test_an_exchange_is_bound_as_soon_as_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it drops what its owner sends: cut off in between, one exchange at most does."""
    connection = MagicMock()
    connection._impl.server_properties = {"version": "3.10.8"}
    monkeypatch.setattr(admin, "_connected", lambda _: nullcontext(connection))
    admin.apply(Server("amqp://127.0.0.1"), TWO)
    said = [(name, args[-1]) for name, args, _ in connection.channel().method_calls if name != "queue_declare"]
    names = [outbox(p) for p in TWO.participants]
    assert said[-4:] == [x for n in names for x in (("exchange_declare", "fanout"), ("queue_bind", n))]


def test_participants_are_held_apart() -> None:
    """A participant's permissions match its own exchange and queues, and nothing of another's."""
    own, other = TWO.participants
    rights = {p.user: p for p in TWO.permissions()}[other]
    assert re.search(rights.write, outbox(other))
    assert re.search(rights.read, inbox(other))
    assert re.search(rights.read, receipts(other))
    foreign = [outbox(own), inbox(own), receipts(own), INTAKE, "amq.default", outbox("PORTx4403-A"), inbox(other) + "B"]
    assert not any(re.search(rights.write, name) or re.search(rights.read, name) for name in foreign)
    assert not any(re.search(rights.configure, name) for name in (outbox(other), inbox(other)))


def test_the_daemon_declares_nothing() -> None:
    """The daemon reads the intake and publishes by queue name; topology belongs to the administrator."""
    daemon = next(p for p in TWO.permissions() if p.user == DAEMON)
    assert re.search(daemon.read, INTAKE)
    assert re.search(daemon.write, "amq.default")
    assert not re.search(daemon.configure, INTAKE)
    assert not re.search(daemon.read, inbox(TWO.participants[0]))


def test_the_delivery_limit_is_lifted_where_the_broker_has_one_by_default() -> None:
    """Quorum queues drop after 20 deliveries from 4.0; before, no limit is the default."""
    assert queue_arguments("4.1.2")["x-delivery-limit"] == -1
    assert "x-delivery-limit" not in queue_arguments("3.10.8")
    assert "x-delivery-limit" not in queue_arguments("3.13.7")


def test_definitions_hold_everything() -> None:
    """Exchanges, queues, bindings, users and permissions of the value stand in the file."""
    file = definitions(TWO, "3.10.8", "swx", {DAEMON: "hash"})
    assert {e["name"] for e in file["exchanges"]} == set(TWO.exchanges())
    assert {q["name"] for q in file["queues"]} == set(TWO.queues())
    assert {(b["source"], b["destination"]) for b in file["bindings"]} == set(TWO.bindings())
    assert {u["name"]: u["password_hash"] for u in file["users"]}[DAEMON] == "hash"
    assert {p["vhost"] for p in file["permissions"]} == {"swx"}


def test_commands_survive_the_shell() -> None:
    """Each line splits back into the words that were meant, whatever a name holds."""
    lines = [shlex.split(line, comments=True) for line in commands(Topology(("a b$c",)), "3.13.7")]
    assert lines[-1][:6] == ["rabbitmqctl", "set_permissions", "-p", "/", "a b$c", "^$"]
    assert lines[0] == ["rabbitmqadmin", "--vhost=/", "declare", "exchange", "name=swx.outbox.a b$c",
                        "type=fanout", "durable=true"]  # fmt: skip
    assert 'arguments={"x-queue-type": "quorum", "x-overflow": "reject-publish"}' in lines[1]


def test_commands_for_rabbitmq_4_are_those_of_rabbitmqadmin_v2() -> None:
    """Global options first, everything by option, a routing key even where none is needed."""
    lines = [shlex.split(line, comments=True) for line in commands(Topology(("A",)), "4.1.2", "swx")]
    exchange, intake, *_, binding = [line[3:] for line in lines if line[0] == "rabbitmqadmin"]
    assert {tuple(line[:3]) for line in lines[:5]} == {("rabbitmqadmin", "--vhost=swx", "declare")}
    assert exchange == ["exchange", "--name", "swx.outbox.A", "--type", "fanout", "--durable", "true"]
    assert intake == ["queue", "--name", INTAKE, "--type", "quorum", "--durable", "true", "--arguments",
                      '{"x-overflow": "reject-publish", "x-delivery-limit": -1}']  # fmt: skip
    assert binding == ["binding", "--source", "swx.outbox.A", "--destination-type", "queue",
                       "--destination", INTAKE, "--routing-key", ""]  # fmt: skip


def test_a_password_is_hashed_as_rabbitmq_does() -> None:
    """The example of RabbitMQ's documentation: salt 908DC60A, password test12."""
    assert password_hash("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_a_witness_can_read_what_it_is_asked_and_publish_what_it_answers_and_nothing_else() -> None:
    """Its own queue and exchange; whoever else there is stays apart from it."""
    topology = Topology(("X",), ("customs.example/eye",))
    assert {"swx.checkpoints.customs.example/eye", "swx.cosignatures"} <= set(topology.queues())
    assert ("swx.witness.customs.example/eye", "swx.cosignatures") in topology.bindings()
    daemon, participant, witness = topology.permissions()
    assert re.search(witness.read, "swx.checkpoints.customs.example/eye")
    assert re.search(witness.write, "swx.witness.customs.example/eye")
    for name in (*topology.queues(), *topology.exchanges(), "amq.default"):
        own = name.endswith("customs.example/eye")
        assert own or not re.search(witness.read, name)
        assert own or not re.search(witness.write, name)
        assert not own or not re.search(participant.read, name)
    assert [name for name in topology.queues() if re.search(daemon.read, name)] == ["swx.intake", "swx.cosignatures"]
