"""Which settings of a queue lose messages, on which release: the judgement alone, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from swexchange.broker.topology import queue_arguments, release
from swexchange.health.problem import Danger
from swexchange.health.queues import Policy, Queue, in_force, judge

RELEASES = ("3.10.8", "3.13.7", "4.0.9", "4.1.0")
OURS = "declared as we do"
BARE: dict[str, Any] = {"x-queue-type": "quorum"}


def _queue(release_of: str, arguments: dict[str, Any] | str, **more: Any) -> Queue:
    declared = dict(queue_arguments(release_of)) if isinstance(arguments, str) else arguments
    return Queue("swx.inbox.X", more.pop("type", "quorum"), arguments=declared, **more)


def _policy(definition: dict[str, Any], apply_to: str = "queues", priority: int = 0, pattern: str = ".*") -> Policy:
    return Policy(pattern, apply_to, priority, definition)


def _said(version: str, queue: Queue, *policies: Policy, operator: tuple[Policy, ...] = ()) -> list[str]:
    return [f"{p.danger}: {p.what}" for p in judge(queue, (policies, operator), release(version))]


LIMIT_20 = "loss: messages are dropped after 20 deliveries"
OLDEST = "loss: max-length without reject-publish drops the oldest messages"
DEAD = "loss: dead-lettering may lose messages"
SAFE_DEAD = {"dead-letter-exchange": "x", "dead-letter-strategy": "at-least-once"}


@pytest.mark.parametrize(
    ("arguments", "policy", "before_4", "from_4"),
    [
        (OURS, {}, [], []),
        (BARE, {}, [], [LIMIT_20]),
        (OURS, {"delivery-limit": 7}, *2 * [["loss: messages are dropped after 7 deliveries"]]),
        (OURS, {"delivery-limit": 0}, *2 * [["loss: messages are dropped after 0 deliveries"]]),
        (BARE, {"delivery-limit": -1}, [], []),
        (OURS, {"max-length": 9}, [], []),
        (BARE, {"max-length": 9}, [OLDEST], [OLDEST, LIMIT_20]),
        (OURS, {"max-length": 9, "overflow": "drop-head"}, [OLDEST], [OLDEST]),
        (OURS, {"max-length": 9, "overflow": "reject-publish-dlx"}, [OLDEST], [OLDEST]),
        (BARE, {"max-length-bytes": 9}, [OLDEST.replace("length", "length-bytes")],
         [OLDEST.replace("length", "length-bytes"), LIMIT_20]),
        (OURS, {"message-ttl": 60000}, *2 * [["loss: messages expire after 60000 ms"]]),
        (OURS, {"expires": 1000}, *2 * [["loss: the queue deletes itself after 1000 ms unused"]]),
        (OURS, {"consumer-timeout": 60000}, *2 * [["stop: consumers must acknowledge within 60000 ms"]]),
        (OURS, {"consumer-timeout": 1800000}, [], []),
        (OURS, {"dead-letter-exchange": "x"}, [DEAD], [DEAD]),
        (OURS, {"dead-letter-exchange": "x", "dead-letter-strategy": "at-most-once"}, [DEAD], [DEAD]),
        (OURS, SAFE_DEAD, [], []),
        (OURS, SAFE_DEAD | {"overflow": "drop-head"}, [DEAD], [DEAD]),
        (OURS, {"federation-upstream-set": "all"}, [], []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", RELEASES)
def test_settings_by_release(
    version: str, arguments: dict[str, Any] | str, policy: dict[str, Any], before_4: list[str], from_4: list[str]
) -> None:
    """The same settings on 3.10, 3.13, 4.0 and 4.1: what each does with messages."""
    expected = from_4 if release(version) >= (4, 0) else before_4
    assert _said(version, _queue(version, arguments), _policy(policy)) == expected


def test_dead_letters_are_safe_from_3_10_on() -> None:
    """Earlier releases know no at-least-once, whatever the policy says."""
    assert _said("3.9.27", _queue("3.9.27", OURS), _policy(SAFE_DEAD)) == [DEAD]


@pytest.mark.parametrize(
    ("queue", "what"),
    [
        ({"type": "classic"}, "loss: the queue is classic, not quorum: one disk holds it"),
        ({"type": "stream"}, "loss: the queue is stream, not quorum: one disk holds it"),
        ({"durable": False}, "loss: the queue is transient"),
        ({"auto_delete": True}, "loss: the queue deletes itself"),
        ({"members": 3, "online": 2}, "risk: 2 of its 3 members are up"),
        ({"members": 3, "online": 1}, "stop: only 1 of its 3 members are up: no majority"),
        ({"members": 2, "online": 1}, "stop: only 1 of its 2 members are up: no majority"),
    ],
)
def test_kinds_of_queues(queue: dict[str, Any], what: str) -> None:
    """What a queue is and who holds it, apart from its settings."""
    assert _said("3.13.7", _queue("3.13.7", OURS, **queue)) == [what]


TTL = {"message-ttl": 1}


@pytest.mark.parametrize(
    ("policies", "found"),
    [
        ([_policy(TTL, priority=1), _policy({}, priority=2)], False),
        ([_policy(TTL, priority=2), _policy({}, priority=1)], True),
        ([_policy(TTL, pattern="^other$")], False),
        ([_policy(TTL, "exchanges")], False),
        ([_policy(TTL, "all")], True),
        ([_policy(TTL, "quorum_queues")], True),
        ([_policy(TTL, "classic_queues")], False),
        ([_policy(TTL, "streams")], False),
        ([_policy(TTL, pattern=r"\h(?|no Python)")], True),
    ],
)
def test_only_the_policy_that_applies_is_judged(policies: list[Policy], found: bool) -> None:
    """The highest priority that matches name and type counts; a pattern that only RabbitMQ understands may match."""
    assert bool(_said("3.13.7", _queue("3.13.7", OURS), *policies)) is found


def test_how_arguments_and_policies_add_up() -> None:
    """The stricter number, the policy's overflow, the argument's dead letters; the operator comes last."""
    queue = _queue("4.1.0", {"x-delivery-limit": -1, "x-max-length": 5, "x-dead-letter-exchange": "a"})
    users = (_policy({"delivery-limit": 9, "max-length": 7, "dead-letter-exchange": "b", "overflow": "drop-head"}),)
    operators = (_policy({"delivery-limit": 3, "overflow": "reject-publish"}),)
    assert in_force(queue, (users, operators)) == {
        "delivery-limit": 3,
        "max-length": 5,
        "dead-letter-exchange": "a",
        "overflow": "reject-publish",
    }


def test_every_problem_says_why_and_what_to_do() -> None:
    """No finding leaves an admin alone with it."""
    bad = _policy({"max-length": 1, "message-ttl": 1, "expires": 1, "delivery-limit": 1, "dead-letter-exchange": "x"})
    queue = _queue("4.1.0", BARE, type="classic", durable=False, auto_delete=True, members=3, online=1)
    found = list(judge(queue, ((bad,), ()), (4, 1)))
    assert len(found) == 9
    assert all(p.why and p.do and p.name == queue.name for p in found)
    assert {p.danger for p in found} == {Danger.LOSS, Danger.STOP}
