"""Judges one RabbitMQ by what exists there: topology, nodes, permissions. Holds for any broker, ours or another's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from swexchange.health import queues
from swexchange.health.problem import Danger, Problem
from swexchange.health.queues import REDECLARE, Policy, Queue, Release, matches

ROOM = 1_000_000_000  # bytes that should be free on a broker's disk before it blocks publishers
DECLARE = "Declare it: `swexchange topology apply`"


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange as it exists."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A member of the cluster."""

    name: str
    running: bool = True
    memory_alarm: bool = False
    disk_alarm: bool = False
    disk_free: int | None = None  # bytes; None = the node does not say
    disk_limit: int | None = None  # bytes under which it blocks publishers
    split_from: tuple[str, ...] = ()  # nodes that it was partitioned from


@dataclass(frozen=True, slots=True)
class Permission:
    """What a RabbitMQ user may do in the vhost: regular expressions over names."""

    user: str
    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Broker:
    """What was found in one vhost, and of the nodes that serve it."""

    release: Release
    exchanges: Mapping[str, Exchange]
    queues: Mapping[str, Queue]
    bindings: frozenset[tuple[str, str]]  # exchange and queue
    policies: tuple[Sequence[Policy], Sequence[Policy]] = ((), ())  # the users', the operator's
    nodes: Sequence[Node] = ()
    permissions: Sequence[Permission] | None = None  # of users who are no administrators; None = not ours to see
    clock: datetime | None = None  # what time it is there


class Needs(Protocol):
    """What must exist: `broker.Topology`, or the part of another broker that is used."""

    def exchanges(self) -> tuple[str, ...]:
        """Durable exchanges; those that are bound below are fanouts."""

    def queues(self) -> tuple[str, ...]:
        """Durable quorum queues."""

    def bindings(self) -> tuple[tuple[str, str], ...]:
        """Pairs of exchange and queue."""


def judge_topology(found: Broker, needs: Needs) -> Iterator[Problem]:
    """What is wrong with exchanges, queues, bindings and the policies on them."""
    ours = {exchange for exchange, _ in needs.bindings()}
    for name in needs.exchanges():
        yield from _exchange(name, found.exchanges.get(name), is_ours=name in ours)
    for name in needs.queues():
        yield from _queue(name, found)
    for exchange, name in needs.bindings():
        if exchange in found.exchanges and (exchange, name) not in found.bindings:
            why = "RabbitMQ confirms what it then drops, unless the sender asks for returns (mandatory)"
            yield Problem(exchange, f"it is not bound to {name}", DECLARE, why, Danger.LOSS)


def judge_takers(found: Broker, queue: str, user: str) -> Iterator[Problem]:
    """Who takes messages from a queue that is one user's alone."""
    taking = found.queues[queue].takers if queue in found.queues else frozenset()
    for other in sorted(taking - {user}):
        why = "What that user acknowledges, nobody else ever sees"
        yield Problem(queue, f"user {other} takes messages from it", "End that consumer", why, Danger.LOSS)


def judge_nodes(found: Broker) -> Iterator[Problem]:
    """What is wrong with the machines that RabbitMQ runs on."""
    up = sum(node.running for node in found.nodes)
    if found.nodes and len(found.nodes) < 3:
        what = f"RabbitMQ has {len(found.nodes)} node{'s' if len(found.nodes) > 1 else ''}"
        why = "Nothing flows while one is down, and what a lost disk held is gone"
        yield Problem("cluster", what, "Use three nodes in production", why, Danger.RISK)
    elif up < len(found.nodes):
        why = "The next node that fails may stop everything"
        yield Problem("cluster", f"{up} of {len(found.nodes)} nodes are up", "Start the others", why, Danger.RISK)
    for node in found.nodes:
        yield from _node(node)


def judge_permissions(found: Broker, wanted: Sequence[Permission], needs: Needs) -> Iterator[Problem]:
    """Where users may more or less than they should; administrators are taken to know what they do."""
    if found.permissions is None:
        return
    allowed = {p.user: p for p in found.permissions}
    ours = {p.user: p for p in wanted}
    for user, permission in allowed.items():
        if permission != ours.get(user):
            yield from _too_much(permission, ours.get(user, Permission(user, "^$", "^$", "^$")), needs)
            yield from _too_little(permission, ours.get(user), needs)


def _exchange(name: str, found: Exchange | None, *, is_ours: bool) -> Iterator[Problem]:
    """Others publish to ours and may not ask for returns; to another's only this platform does, which asks."""
    if found is None:
        yield Problem(name, "the exchange does not exist", DECLARE, "Whoever sends to it is refused")
        return
    if is_ours and found.type != "fanout":
        why = "By its routing keys messages may reach no queue, and RabbitMQ confirms what it drops"
        yield Problem(name, f"the exchange is {found.type}, not a durable fanout", REDECLARE, why, Danger.LOSS)
    if not found.durable:
        why = "A restart of RabbitMQ deletes it; then senders are refused"
        yield Problem(name, "the exchange is transient, not durable", REDECLARE, why)
    if found.auto_delete:
        why = "It goes when its last binding goes; then senders are refused"
        yield Problem(name, "the exchange deletes itself", REDECLARE, why, Danger.RISK)
    if found.internal:
        yield Problem(name, "the exchange is internal", REDECLARE, "Nobody can send to it")


def _queue(name: str, found: Broker) -> Iterator[Problem]:
    queue = found.queues.get(name)
    if queue is None:
        yield Problem(name, "the queue does not exist", DECLARE, "Copies for it stay due in the database")
        return
    if len(found.nodes) >= 3 > queue.members > 0:
        what = f"{queue.members} of {len(found.nodes)} nodes hold the queue"
        why = "It does not survive their loss"
        yield Problem(name, what, "Run rabbitmq-queues grow", why, Danger.LOSS)
    yield from queues.judge(queue, found.policies, found.release)


def _node(node: Node) -> Iterator[Problem]:
    blocked = "All publishing is blocked until it ends; nothing is lost"
    if not node.running:
        return
    if node.memory_alarm:
        yield Problem(node.name, "memory alarm", "Give it more memory, or empty its queues", blocked)
    if node.disk_alarm:
        yield Problem(node.name, "disk alarm", "Free space on its disk", blocked)
    elif node.disk_free is not None and node.disk_free < ROOM:
        what = f"{node.disk_free / 1e9:.1f} GB free on its disk"
        yield Problem(node.name, what, "Free space on its disk", "Publishing will be blocked, or the node stop")
    if node.disk_limit is not None and node.disk_limit < ROOM:
        what = f"its disk alarm comes at {node.disk_limit / 1e6:.0f} MB free (disk_free_limit)"
        why = "A disk can fill up between two looks at it: then the node stops"
        yield Problem(node.name, what, "Set disk_free_limit.absolute = 2GB", why, Danger.RISK)
    if node.split_from:
        what = f"it was cut off from {', '.join(node.split_from)}"
        yield Problem(node.name, what, "Restart the nodes of the smaller part", "The parts may disagree about queues")


def _too_much(may: Permission, should: Permission, needs: Needs) -> Iterator[Problem]:
    def beyond(names: Sequence[str], granted: str, right: str) -> list[str]:
        return [name for name in names if _grants(granted, name) and not _grants(right, name)]

    do = "Correct the user's permissions; `swexchange topology export --commands` prints them"
    name = f"user {may.user}"
    if found := beyond(needs.queues(), may.read, should.read):
        what = f"may take messages from {_some(found)}"
        yield Problem(name, what, do, "What it acknowledges, nobody else ever sees", Danger.LOSS)
    if found := beyond((*needs.queues(), *needs.exchanges()), may.configure, should.configure):
        what = f"may delete {_some(found)}"
        yield Problem(name, what, do, "With a queue go the messages in it", Danger.LOSS)
    if found := beyond(needs.exchanges(), may.write, should.write):
        what = f"may send through {_some(found)}"
        why = "The exchange says who submitted a message; signatures are all that is left"
        yield Problem(name, what, do, why, Danger.RISK)


def _too_little(may: Permission, should: Permission | None, needs: Needs) -> Iterator[Problem]:
    if should is None:
        return
    names = (*needs.queues(), *needs.exchanges(), "amq.default")
    for verb, granted, right in (("read", may.read, should.read), ("write to", may.write, should.write)):
        if lacking := [name for name in names if _grants(right, name) and not _grants(granted, name)]:
            what = f"may not {verb} {_some(lacking)}"
            do = "Correct the user's permissions; `swexchange topology export --commands` prints them"
            yield Problem(f"user {may.user}", what, do, "It cannot do its part")


def _grants(permission: str, name: str) -> bool:
    """Whether a permission covers a name; RabbitMQ lets an empty one match nothing."""
    return permission != "" and matches(permission, name)


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
