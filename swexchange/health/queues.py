"""How RabbitMQ treats a queue, from its arguments and the policies that apply; which of it loses messages.

Facts about releases: quorum queues drop after 20 deliveries from 4.0 on unless told otherwise;
at-least-once dead-lettering exists from 3.10 on. Where argument and policy differ, RabbitMQ takes
the stricter number; for `overflow` the policy; for the rest the argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swexchange.health.problem import Danger, Problem

Release = tuple[int, ...]  # the first two numbers of a version: (3, 10)
Settings = Mapping[str, Any]  # by the names that policies use: without x-

SHORT_ACK_MS = 5 * 60 * 1000  # an acknowledgement may wait this long for a database that is down
REDECLARE = "Delete it once it is empty and declare the topology"
UNSET = "Remove it from the policy or the queue's arguments"
_LOSS = Danger.LOSS
_NEVER_ARRIVES = "its reader never gets them"
_ALL_QUEUES = ("all", "queues")  # policies that apply to queues of every type


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as it exists."""

    name: str
    type: str  # quorum, classic, stream
    durable: bool = True
    auto_delete: bool = False
    arguments: Settings = field(default_factory=dict)
    members: int = 0  # nodes that hold it; 0 = unknown
    online: int = 0  # of these, how many are up
    takers: frozenset[str] = frozenset()  # users who consume from it


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy or operator policy of the vhost."""

    pattern: str
    apply_to: str  # all, queues, exchanges; from 3.12 on also quorum_queues, classic_queues, streams
    priority: int
    definition: Settings


def judge(queue: Queue, policies: Sequence[Sequence[Policy]], release: Release) -> Iterator[Problem]:
    """What is wrong with one queue; `policies` are the users' and the operator's, each a list."""
    settings = in_force(queue, policies)
    yield from _kind(queue)
    yield from _members(queue)
    yield from _losses(queue.name, settings)
    yield from _delivery_limit(queue.name, settings, release)
    yield from _dead_letters(queue.name, settings, release)
    timeout = settings.get("consumer-timeout")
    if isinstance(timeout, int) and timeout < SHORT_ACK_MS:
        yield Problem(
            queue.name,
            f"consumers must acknowledge within {timeout} ms",
            f"Allow {SHORT_ACK_MS} ms or more",
            "While the database is away, RabbitMQ ends the consumer again and again",
        )


def in_force(queue: Queue, policies: Sequence[Sequence[Policy]]) -> dict[str, Any]:
    """The queue's settings as RabbitMQ works them out."""
    settings = {key.removeprefix("x-"): value for key, value in queue.arguments.items()}
    for definition in (_applying(queue, some) for some in policies):
        for key, value in definition.items():
            settings[key] = _merged(key, settings[key], value) if key in settings else value
    return settings


def matches(pattern: str, name: str) -> bool:
    """Whether RabbitMQ's pattern matches a name; one that Python cannot read is taken to match."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return True


def _applying(queue: Queue, policies: Sequence[Policy]) -> Settings:
    """The definition of the one policy that applies: of those that match, the first by priority.

    Worked out here, since the API shows it on the queue only seconds later.
    """
    own = {"quorum": "quorum_queues", "classic": "classic_queues", "stream": "streams"}.get(queue.type)
    kinds = (*_ALL_QUEUES, own)
    matching = [p for p in policies if p.apply_to in kinds and matches(p.pattern, queue.name)]
    return max(matching, key=lambda p: p.priority).definition if matching else {}


def _merged(key: str, known: Any, policy: Any) -> Any:
    if isinstance(known, int) and isinstance(policy, int):
        return max(known, policy) if min(known, policy) < 0 else min(known, policy)  # -1 = no limit
    return policy if key == "overflow" else known


def _kind(queue: Queue) -> Iterator[Problem]:
    if queue.type != "quorum":
        why = "What is in it is lost with that disk"
        if queue.type == "stream":
            why = "A stream drops old messages by size and age, whoever has read them"
        yield Problem(queue.name, f"the queue is {queue.type}, not quorum: one disk holds it", REDECLARE, why, _LOSS)
    if not queue.durable:
        yield Problem(queue.name, "the queue is transient", REDECLARE, "A restart of RabbitMQ deletes it", _LOSS)
    if queue.auto_delete:
        why = "It is deleted, with its messages, when its last consumer leaves"
        yield Problem(queue.name, "the queue deletes itself", REDECLARE, why, _LOSS)


def _members(queue: Queue) -> Iterator[Problem]:
    up, members = queue.online, queue.members
    if not members or up == members:
        return
    if 2 * up <= members:
        yield Problem(
            queue.name,
            f"only {up} of its {members} members are up: no majority",
            "Start the other nodes",
            "Nothing can be put in or taken out",
        )
    else:
        why = "The next node that fails may stop it"
        yield Problem(queue.name, f"{up} of its {members} members are up", "Start the other nodes", why, Danger.RISK)


def _losses(name: str, settings: Settings) -> Iterator[Problem]:
    limited = [key for key in ("max-length", "max-length-bytes") if key in settings]
    if limited and settings.get("overflow") != "reject-publish":
        what = f"{limited[0]} without reject-publish drops the oldest messages"
        yield Problem(
            name, what, "Set overflow=reject-publish, in the policy too", "A full queue loses messages", _LOSS
        )
    if "message-ttl" in settings:
        what = f"messages expire after {settings['message-ttl']} ms"
        yield Problem(name, what, UNSET, f"When nobody reads for so long, {_NEVER_ARRIVES}", _LOSS)
    if "expires" in settings:
        what = f"the queue deletes itself after {settings['expires']} ms unused"
        yield Problem(name, what, UNSET, "With it go all messages in it", _LOSS)


def _delivery_limit(name: str, settings: Settings, release: Release) -> Iterator[Problem]:
    limit = settings.get("delivery-limit")
    why = f"A reader that fails again and again uses them up, and {_NEVER_ARRIVES}"
    if limit is None and release >= (4, 0):
        do = "Set delivery-limit=-1 by policy"
        yield Problem(name, "messages are dropped after 20 deliveries", do, f"The default from 4.0 on. {why}", _LOSS)
    if isinstance(limit, int) and limit >= 0:
        yield Problem(name, f"messages are dropped after {limit} deliveries", UNSET, why, _LOSS)


def _dead_letters(name: str, settings: Settings, release: Release) -> Iterator[Problem]:
    """Dead-lettering is safe only at-least-once, which needs its strategy, reject-publish and 3.10."""
    if "dead-letter-exchange" not in settings:
        return
    wanted = {"dead-letter-strategy": "at-least-once", "overflow": "reject-publish"}
    missing = [f"{key}={value}" for key, value in wanted.items() if settings.get(key) != value]
    do = f"Set {' and '.join(missing)}" if missing else ""
    if release < (3, 10):
        do = f"Use RabbitMQ 3.10 or later, or remove it. {UNSET}"
    if do:
        why = "RabbitMQ removes a message before the other queue has it"
        yield Problem(name, "dead-lettering may lose messages", do, why, _LOSS)
