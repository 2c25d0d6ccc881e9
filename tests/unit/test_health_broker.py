"""What is made of exchanges, bindings, nodes and permissions of a broker: the judgement alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from swexchange.broker import Topology
from swexchange.broker.topology import INTAKE, inbox, outbox, queue_arguments
from swexchange.health.broker import (
    Broker,
    Exchange,
    Node,
    Permission,
    judge_nodes,
    judge_permissions,
    judge_takers,
    judge_topology,
)
from swexchange.health.problem import Problem
from swexchange.health.queues import Queue

NEEDS = Topology(("A", "B"))
THREE = tuple(Node(name, disk_free=10**11, disk_limit=2 * 10**9) for name in ("n1", "n2", "n3"))


def _broker(**changes: Any) -> Broker:
    """A cluster on which all is as it should be, but for the changes."""
    arguments = dict(queue_arguments("4.1.0"))
    good = Broker(
        release=(4, 1),
        exchanges={name: Exchange(name, "fanout") for name in NEEDS.exchanges()},
        queues={name: Queue(name, "quorum", arguments=arguments, members=3, online=3) for name in NEEDS.queues()},
        bindings=frozenset(NEEDS.bindings()),
        nodes=THREE,
        permissions=NEEDS.permissions(),
    )
    return replace(good, **changes)


def _said(problems: Iterable[Problem]) -> list[str]:
    return [f"{p.danger}: {p.name}: {p.what}" for p in problems]


def test_a_good_broker_is_clean() -> None:
    """Nothing to say about three nodes with everything in place."""
    good = _broker()
    assert _said(judge_topology(good, NEEDS)) == []
    assert _said(judge_nodes(good)) == []
    assert _said(judge_takers(good, INTAKE, "swexchange")) == []
    assert _said(judge_permissions(good, NEEDS.permissions(), NEEDS)) == []


@pytest.mark.parametrize(
    ("exchange", "what"),
    [
        (Exchange(outbox("A"), "direct"), "loss: swx.outbox.A: the exchange is direct, not a durable fanout"),
        (Exchange(outbox("A"), "fanout", False), "stop: swx.outbox.A: the exchange is transient, not durable"),
        (Exchange(outbox("A"), "fanout", auto_delete=True), "risk: swx.outbox.A: the exchange deletes itself"),
        (Exchange(outbox("A"), "fanout", internal=True), "stop: swx.outbox.A: the exchange is internal"),
    ],
)
def test_exchanges(exchange: Exchange, what: str) -> None:
    """An exchange of another kind drops, refuses, or vanishes."""
    exchanges = dict(_broker().exchanges) | {exchange.name: exchange}
    assert _said(judge_topology(_broker(exchanges=exchanges), NEEDS)) == [what]


def test_what_is_missing() -> None:
    """A lost binding loses what RabbitMQ confirms; a missing queue or exchange only stops."""
    assert _said(judge_topology(_broker(bindings=frozenset()), Topology(("A",)))) == [
        "loss: swx.outbox.A: it is not bound to swx.intake"
    ]
    nothing = _broker(exchanges={}, queues={}, bindings=frozenset())
    found = list(judge_topology(nothing, NEEDS))
    assert {p.name for p in found} == {*NEEDS.exchanges(), *NEEDS.queues()}
    assert {str(p.danger) for p in found} == {"stop"}
    assert {p.do for p in found} == {"Declare it: `swexchange topology apply`"}


def test_a_queue_on_too_few_nodes() -> None:
    """In a cluster of three, a queue with one member does not survive its node."""
    queues = dict(_broker().queues)
    queues[INTAKE] = replace(queues[INTAKE], members=1, online=1)
    found = _said(judge_topology(_broker(queues=queues), NEEDS))
    assert found == ["loss: swx.intake: 1 of 3 nodes hold the queue"]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (THREE[:1], ["risk: cluster: RabbitMQ has 1 node"]),
        (THREE[:2], ["risk: cluster: RabbitMQ has 2 nodes"]),
        ((*THREE[:2], Node("n3", running=False)), ["risk: cluster: 2 of 3 nodes are up"]),
        ((*THREE[:2], replace(THREE[2], memory_alarm=True)), ["stop: n3: memory alarm"]),
        ((*THREE[:2], replace(THREE[2], disk_alarm=True, disk_free=10)), ["stop: n3: disk alarm"]),
        ((*THREE[:2], replace(THREE[2], disk_free=10**8)), ["stop: n3: 0.1 GB free on its disk"]),
        (
            (*THREE[:2], replace(THREE[2], disk_limit=50_000_000)),
            ["risk: n3: its disk alarm comes at 50 MB free (disk_free_limit)"],
        ),
        ((*THREE[:2], replace(THREE[2], split_from=("n1",))), ["stop: n3: it was cut off from n1"]),
        ((*THREE[:2], Node("n3")), []),  # it cannot measure its disk
    ],
)
def test_nodes(nodes: tuple[Node, ...], expected: list[str]) -> None:
    """Alarms, full disks, too few and divided nodes."""
    assert _said(judge_nodes(_broker(nodes=nodes))) == expected


def test_somebody_else_at_the_intake() -> None:
    """A foreign consumer acknowledges messages that the daemon then never sees."""
    queues = {INTAKE: Queue(INTAKE, "quorum", takers=frozenset({"swexchange", "spy"}))}
    assert _said(judge_takers(_broker(queues=queues), INTAKE, "swexchange")) == [
        "loss: swx.intake: user spy takes messages from it"
    ]
    assert _said(judge_takers(_broker(queues={}), INTAKE, "swexchange")) == []


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        (Permission("spy", "", "", "^swx"), ["loss: user spy: may take messages from swx.intake and 4 more"]),
        (Permission("spy", "inbox.A", "", "^$"), ["loss: user spy: may delete swx.inbox.A"]),
        (Permission("spy", "^$", r"^swx\.outbox\.", "^$"),
         ["risk: user spy: may send through swx.outbox.A and 1 more"]),
        (Permission("A", "^$", "^swx.outbox.A$", r"^swx\.(inbox|receipts)\.[AB]$"),
         ["loss: user A: may take messages from swx.inbox.B and 1 more"]),
        (Permission("A", "^$", "^$", r"^swx\.inbox\.A$"),
         ["stop: user A: may not read swx.receipts.A", "stop: user A: may not write to swx.outbox.A"]),
        (Permission("swexchange", "^$", "^$", "^swx.intake$"),
         ["stop: user swexchange: may not write to amq.default"]),
        (Permission("swexchange", "", r"^(amq\.default)?$", "^swx.intake$"), []),
        (Permission("stranger", ".*", ".*", "^x$"),
         ["loss: user stranger: may delete swx.intake and 6 more",
          "risk: user stranger: may send through swx.outbox.A and 1 more"]),
    ],
)  # fmt: skip
def test_permissions(permission: Permission, expected: list[str]) -> None:
    """Too much loses messages or hides who sent them; too little stops its owner; other words for the same are fine."""
    assert inbox("A") == "swx.inbox.A"
    may = [p for p in NEEDS.permissions() if p.user != permission.user] + [permission]
    assert _said(judge_permissions(_broker(permissions=may), NEEDS.permissions(), NEEDS)) == expected


def test_permissions_that_cannot_be_seen_are_not_judged() -> None:
    """None is not an empty list."""
    assert _said(judge_permissions(_broker(permissions=None), NEEDS.permissions(), NEEDS)) == []
