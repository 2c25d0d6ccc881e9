"""What is read out of the management API's answers, for brokers that are not at hand."""

from __future__ import annotations

from typing import Any

import pytest

from swexchange.broker import Topology, management
from swexchange.broker.topology import INTAKE, queue_arguments
from swexchange.health.broker import Node, Permission

QUEUE = {"name": INTAKE, "durable": True, "auto_delete": False, "arguments": {}, "members": ["a"], "online": ["a"]}


class Api(management.Management):
    """A broker with the intake queue alone, as its management API would show it."""

    def __init__(self, version: str, **answers: Any) -> None:
        queue = {**QUEUE, "type": "quorum", "arguments": dict(queue_arguments(version))}
        self.clock = None
        self._answers = {
            ("overview",): {"rabbitmq_version": version},
            ("nodes",): [{"name": "a"}],
            ("queues", "/"): [queue],
            ("whoami",): {"name": "m", "tags": ["monitoring"]},
        } | {tuple(path.split(" ")): answer for path, answer in answers.items()}

    def get(self, *path: str) -> Any:
        return self._answers.get(path)


@pytest.mark.parametrize("version", ["3.8.9", "3.10.8", "3.13.7", "4.0.9", "4.3.0"])
def test_a_queue_as_we_declare_it_is_clean(version: str) -> None:
    """On every release, our own arguments leave nothing to complain about."""
    assert management.check(Api(version), Topology(())) == []


def test_a_bare_queue_loses_from_4_0_on() -> None:
    """Version, queue and policies of the API reach the judgement."""
    bare = {"queues /": [{**QUEUE, "type": "quorum"}]}
    assert management.check(Api("3.13.7", **bare), Topology(())) == []
    assert [p.what for p in management.check(Api("4.0.1", **bare), Topology(()))] == [
        "messages are dropped after 20 deliveries"
    ]
    policy = {"pattern": "intake", "apply-to": "quorum_queues", "priority": 0, "definition": {"delivery-limit": -1}}
    assert management.check(Api("4.0.1", **bare, **{"policies /": [policy]}), Topology(())) == []


def test_nodes_that_say_little() -> None:
    """A node that is down shows its name alone; one that cannot measure its disk says so in words."""
    down, blind = {"name": "a", "running": False}, {"name": "b", "running": True, "disk_free": "disk_free_monitoring"}
    found = management.look(Api("3.10.8", nodes=[down, blind]))
    assert found.nodes == [Node("a", running=False), Node("b")]


def test_permissions_are_seen_by_administrators_alone() -> None:
    """A monitoring user sees None; an administrator all users but administrators. Before 3.9 tags were one text."""
    row = {"user": "x", "configure": "", "write": "a", "read": "b"}
    shown = {
        "users": [{"name": "x", "tags": ""}, {"name": "boss", "tags": "management,administrator"}],
        "vhosts / permissions": [row, {**row, "user": "boss"}],
    }
    assert management.look(Api("3.8.9", **shown)).permissions is None
    for tags in (["administrator"], "administrator"):
        found = management.look(Api("3.8.9", **shown, whoami={"name": "boss", "tags": tags}))
        assert found.permissions == [Permission("x", "", "a", "b")]


def test_consumers_are_known_by_their_user() -> None:
    """The user stands in the details of the channel, which come seconds after the consumer."""
    consumers = [
        {"queue": {"name": INTAKE}, "channel_details": {"user": "x"}},
        {"queue": {"name": INTAKE}, "channel_details": []},
    ]
    assert management.look(Api("3.10.8", **{"consumers /": consumers})).queues[INTAKE].takers == {"x"}
