"""What the check makes of the management API's answers, for brokers that are not at hand."""

from __future__ import annotations

from typing import Any

import pytest

from swexchange.broker import Topology, management
from swexchange.broker.topology import INTAKE, queue_arguments

QUEUE = {"type": "quorum", "durable": True, "members": ["a"], "arguments": {}}


class Api(management.Management):
    """A broker with the intake queue alone, as its management API would show it."""

    def __init__(self, version: str, queue: dict[str, Any], policies: list[Any] = (), nodes: int = 1) -> None:  # type: ignore[assignment]
        self._answers = {
            ("overview",): {"rabbitmq_version": version},
            ("nodes",): [{}] * nodes,
            ("queues", "/", INTAKE): queue,
            ("policies", "/"): policies,
        }

    def get(self, *path: str) -> Any:
        return self._answers.get(path)


def _found(api: Api) -> list[str]:
    return [problem.what for problem in management.check(api, Topology(()))]


def _policy(priority: int, definition: dict[str, Any], kind: str = "queues", pattern: str = ".*") -> dict[str, Any]:
    return {"pattern": pattern, "apply-to": kind, "priority": priority, "definition": definition}


@pytest.mark.parametrize("version", ["3.10.8", "3.13.7", "4.0.9", "4.3.0"])
def test_a_queue_as_we_declare_it_is_clean(version: str) -> None:
    """On every release, our own arguments leave nothing to complain about."""
    assert _found(Api(version, {**QUEUE, "arguments": dict(queue_arguments(version))})) == []


def test_the_default_delivery_limit_of_4_is_found() -> None:
    """The same bare queue is fine on 3.13 and drops messages on 4.0."""
    assert _found(Api("3.13.7", QUEUE)) == []
    assert _found(Api("4.0.1", QUEUE)) == ["messages are dropped after 20 deliveries"]


def test_a_policy_limits_what_an_argument_does_not() -> None:
    """Argument -1 is no limit of its own: the policy's 7 is in force."""
    queue = {**QUEUE, "arguments": dict(queue_arguments("4.0.1"))}
    found = _found(Api("4.0.1", queue, [_policy(0, {"delivery-limit": 7})]))
    assert found == ["messages are dropped after 7 deliveries"]


def test_only_the_policy_in_force_is_judged() -> None:
    """The highest priority that matches the queue counts; others, and those for exchanges, do not."""
    ttl = {"message-ttl": 1}
    others = [_policy(1, ttl), _policy(9, ttl, kind="exchanges"), _policy(9, ttl, pattern="^other$")]
    assert _found(Api("3.10.8", QUEUE, [*others, _policy(2, {"max-length": 9, "overflow": "reject-publish"})])) == []
    assert _found(Api("3.10.8", QUEUE, others)) == ["messages expire after 1 ms"]


def test_a_queue_on_too_few_nodes_is_found() -> None:
    """In a cluster of three, a queue with one member does not survive its node."""
    assert _found(Api("3.10.8", QUEUE, nodes=3)) == ["1 of 3 nodes hold the queue"]


def test_a_short_acknowledgement_timeout_is_found() -> None:
    """A consumer that waits for the database longer than this would lose its channel."""
    found = _found(Api("3.13.7", QUEUE, [_policy(0, {"consumer-timeout": 60_000})]))
    assert found == ["consumers must acknowledge within 60000 ms"]
