"""What must exist in RabbitMQ, as a value: names, queues, bindings, users' permissions.

Each participant X publishes to the exchange `swx.outbox.X` and reads the queues `swx.inbox.X`
(messages and answers) and `swx.receipts.X` (the platform's receipts); permissions hold
participants apart. A witness W reads `swx.checkpoints.W` and publishes to `swx.witness.W`.
Pure: `admin` declares and checks it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swexchange.core.model import Kind
from swexchange.health.broker import Permission

if TYPE_CHECKING:  # rules need lxml, and who only sends and reads needs neither
    from swexchange.core.rulebook import Upstream

INTAKE = "swx.intake"
COSIGNATURES = "swx.cosignatures"  # witnesses' answers
DAEMON = "swexchange"  # the daemon's RabbitMQ user
NOTHING = "^$"  # a permission that matches no name
Arguments = Mapping[str, str | int]

_OUTBOX = "swx.outbox."
_QUEUES = {Kind.MESSAGE: "swx.inbox.", Kind.RECEIPT: "swx.receipts."}


def outbox(participant: str) -> str:
    """The exchange a participant publishes to."""
    return _OUTBOX + participant


def queue(kind: Kind, participant: str) -> str:
    """The queue a copy of this kind goes to."""
    return _QUEUES[kind] + participant


def inbox(participant: str) -> str:
    """The queue a participant reads messages and answers from."""
    return queue(Kind.MESSAGE, participant)


def receipts(participant: str) -> str:
    """The queue a participant reads the platform's receipts from."""
    return queue(Kind.RECEIPT, participant)


def checkpoints(witness: str) -> str:
    """The queue a witness reads requests for cosignatures from."""
    return f"swx.checkpoints.{witness}"


def cosignatures(witness: str) -> str:
    """The exchange a witness publishes its answers to; they come together in COSIGNATURES."""
    return f"swx.witness.{witness}"


def submitter(exchange: str) -> str:
    """Whose outbox an exchange is; '' for any other."""
    return exchange[len(_OUTBOX) :] if exchange.startswith(_OUTBOX) else ""


def release(version: str) -> tuple[int, ...]:
    """The first two numbers of a RabbitMQ version: (3, 10)."""
    return tuple(int(n) for n in re.findall(r"\d+", version)[:2])


def queue_arguments(version: str) -> Arguments:
    """How every queue is declared on a server of this version.

    From 4.0 a quorum queue drops a message after 20 deliveries unless told otherwise.
    """
    arguments: dict[str, str | int] = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
    if release(version) >= (4, 0):
        arguments["x-delivery-limit"] = -1
    return arguments


@dataclass(frozen=True, slots=True)
class Topology:
    """All that must exist for these participants."""

    participants: tuple[str, ...]
    witnesses: tuple[str, ...] = ()

    def exchanges(self) -> tuple[str, ...]:
        """Durable fanout exchanges."""
        return (*map(outbox, self.participants), *map(cosignatures, self.witnesses))

    def queues(self) -> tuple[str, ...]:
        """Durable quorum queues."""
        own = (queue(kind, p) for p in self.participants for kind in Kind)
        answers = (COSIGNATURES,) if self.witnesses else ()
        return (INTAKE, *own, *map(checkpoints, self.witnesses), *answers)

    def bindings(self) -> tuple[tuple[str, str], ...]:
        """Pairs of exchange and queue."""
        messages = ((outbox(p), INTAKE) for p in self.participants)
        return (*messages, *((cosignatures(w), COSIGNATURES) for w in self.witnesses))

    def permissions(self) -> tuple[Permission, ...]:
        """The daemon's and each participant's; a participant's user name is its id."""
        reads = rf"^({re.escape(INTAKE)}|{re.escape(COSIGNATURES)})$" if self.witnesses else rf"^{re.escape(INTAKE)}$"
        daemon = Permission(DAEMON, NOTHING, r"^amq\.default$", reads)
        return (daemon, *map(_permission, self.participants), *map(_witness_permission, self.witnesses))


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What this platform uses of an upstream's broker; it is declared there by others."""

    upstream: Upstream

    def exchanges(self) -> tuple[str, ...]:
        """Where this platform publishes."""
        return (self.upstream.exchange,)

    def queues(self) -> tuple[str, ...]:
        """What it takes from."""
        return tuple(queue.name for queue in self.upstream.queues)

    def bindings(self) -> tuple[tuple[str, str], ...]:
        """None: where the exchange leads is not known here."""
        return ()


def _permission(participant: str) -> Permission:
    name = re.escape(participant)
    return Permission(participant, NOTHING, rf"^swx\.outbox\.{name}$", rf"^swx\.(inbox|receipts)\.{name}$")


def _witness_permission(witness: str) -> Permission:
    name = re.escape(witness)
    return Permission(witness, NOTHING, rf"^swx\.witness\.{name}$", rf"^swx\.checkpoints\.{name}$")


def definitions(
    topology: Topology, version: str, vhost: str = "/", password_hashes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The topology as a RabbitMQ definitions file for a server of this version.

    Users without a hash (see `password_hash`) cannot log in with a password until they get one.
    """
    hashes = password_hashes or {}
    place = {"vhost": vhost, "durable": True, "auto_delete": False}
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(p.user, hashes.get(p.user, "")) for p in topology.permissions()],
        "permissions": [
            {"user": p.user, "vhost": vhost, "configure": p.configure, "write": p.write, "read": p.read}
            for p in topology.permissions()
        ],
        "exchanges": [
            {"name": name, **place, "type": "fanout", "internal": False, "arguments": {}}
            for name in topology.exchanges()
        ],
        "queues": [{"name": name, **place, "arguments": dict(queue_arguments(version))} for name in topology.queues()],
        "bindings": [
            {"source": exchange, "vhost": vhost, "destination": name, "destination_type": "queue"}
            | {"routing_key": "", "arguments": {}}
            for exchange, name in topology.bindings()
        ],
    }


def _user(name: str, password_hash: str) -> dict[str, Any]:
    algorithm = "rabbit_password_hashing_sha256"
    return {"name": name, "password_hash": password_hash, "hashing_algorithm": algorithm, "tags": []}


def password_hash(password: str, salt: bytes) -> str:
    """A password as RabbitMQ keeps it; `salt` is 4 random bytes."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def commands(topology: Topology, version: str, vhost: str = "/") -> Iterator[str]:
    """The same as shell commands, the users' permissions by rabbitmqctl.

    rabbitmqadmin talks to the management plugin. That of 3.x (Python, in Debian's package) and v2 of
    4.x (a program of its own) write their arguments differently.
    """
    declare = _declare_v2 if release(version) >= (4, 0) else _declare_v1
    at = ["rabbitmqadmin", f"--vhost={vhost}", "declare"]
    yield from (shlex.join([*at, *words]) for words in declare(topology, queue_arguments(version)))
    for p in topology.permissions():
        yield shlex.join(["rabbitmqctl", "add_user", p.user]) + "  # asks for the password"
        rights = (p.configure, p.write, p.read)
        yield shlex.join(["rabbitmqctl", "set_permissions", "-p", vhost, p.user, *rights])


def _declare_v1(topology: Topology, arguments: Arguments) -> Iterator[list[str]]:
    for name in topology.exchanges():
        yield ["exchange", f"name={name}", "type=fanout", "durable=true"]
    for name in topology.queues():
        yield ["queue", f"name={name}", "durable=true", f"arguments={json.dumps(arguments)}"]
    for exchange, name in topology.bindings():
        yield ["binding", f"source={exchange}", f"destination={name}"]


def _declare_v2(topology: Topology, arguments: Arguments) -> Iterator[list[str]]:
    more = {key: value for key, value in arguments.items() if key != "x-queue-type"}  # has an option of its own
    for name in topology.exchanges():
        yield ["exchange", "--name", name, "--type", "fanout", "--durable", "true"]
    for name in topology.queues():
        own = ["--name", name, "--type", str(arguments["x-queue-type"]), "--durable", "true"]
        yield ["queue", *own, "--arguments", json.dumps(more)]
    for exchange, name in topology.bindings():
        ends = ["--source", exchange, "--destination-type", "queue", "--destination", name]
        yield ["binding", *ends, "--routing-key", ""]
