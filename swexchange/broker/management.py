"""Looks deeper into RabbitMQ than AMQP can, over its management HTTP API: what could lose messages.

Read only. Facts about versions: quorum queues drop after 20 deliveries from 4.0 unless told
otherwise; at-least-once dead-lettering needs its own strategy; arguments and policies add up.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from swexchange.broker.admin import Problem
from swexchange.broker.topology import Topology, release
from swexchange.errors import BrokerLost, ConfigFault

SECONDS = 10
SHORT_ACK_MS = 5 * 60 * 1000  # an acknowledgement may wait this long for a database that is down
REDECLARE = "Delete it once it is empty and declare the topology"
Policies = Sequence[Mapping[str, Any]]
POLICY = "Remove it from the policy or the queue's arguments"


class Management:
    """The HTTP API at a URL: http[s]://user:password@host:15672, a user with the monitoring tag."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigFault(
                "the management URL is wrong: it must look like http://user:password@host:15672",
                do="Correct it",
            )
        host = parts.netloc.rpartition("@")[2]
        self.where = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        self._authorization = "Basic " + base64.b64encode(user.encode()).decode()

    def get(self, *path: str) -> Any:
        """One resource as parsed JSON; None where it does not exist. Raises BrokerLost."""
        url = "/".join([self.where, "api", *(quote(part, safe="") for part in path)])
        request = Request(url, headers={"Authorization": self._authorization})  # noqa: S310 (scheme checked)
        try:
            with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            do = "Correct user and password; the user needs the tag monitoring"
            raise BrokerLost(f"the management API said {error.code}", where=self.where, do=do) from error
        except (URLError, OSError, HTTPException, ValueError) as error:
            what = f"the management API does not answer: {getattr(error, 'reason', error)}"
            raise BrokerLost(what, where=self.where, do="Enable the plugin, check the URL") from error


def check(management: Management, topology: Topology, vhost: str = "/") -> list[Problem]:
    """Everything found wrong with exchanges, queues, bindings and policies of the topology."""
    version = str(management.get("overview")["rabbitmq_version"])
    nodes = len(management.get("nodes"))
    policies = [management.get(kind, vhost) or [] for kind in ("policies", "operator-policies")]
    problems: list[Problem] = []
    for name in topology.exchanges():
        problems += _exchange(name, management.get("exchanges", vhost, name))
    for name in topology.queues():
        problems += _queue(name, management.get("queues", vhost, name), policies, version, nodes)
    for exchange, name in topology.bindings():
        if not management.get("bindings", vhost, "e", exchange, "q", name):
            problems.append(Problem(exchange, f"it is not bound to {name}", "Declare the topology"))
    return problems


def _exchange(name: str, found: Mapping[str, Any] | None) -> Iterator[Problem]:
    if found is None:
        yield Problem(name, "the exchange does not exist", "Declare the topology")
    elif found["type"] != "fanout" or not found["durable"]:
        kind = found["type"] if found["durable"] else "transient"
        yield Problem(name, f"the exchange is {kind}, not a durable fanout", REDECLARE)


def _queue(
    name: str, found: Mapping[str, Any] | None, policies: Sequence[Policies], version: str, nodes: int
) -> Iterator[Problem]:
    if found is None:
        yield Problem(name, "the queue does not exist", "Declare the topology")
        return
    if found.get("type") != "quorum":
        yield Problem(name, f"the queue is {found.get('type')}, not quorum: one disk holds it", REDECLARE)
    members = len(found.get("members", ()))
    if nodes >= 3 > members > 0:
        yield Problem(name, f"{members} of {nodes} nodes hold the queue", "Run rabbitmq-queues grow")
    arguments = {key.removeprefix("x-"): value for key, value in (found.get("arguments") or {}).items()}
    settings = _in_force(arguments, *(_policy(name, some) for some in policies))
    yield from _losses(name, settings)
    yield from _delivery_limit(name, settings, version)


def _policy(name: str, policies: Policies) -> Mapping[str, Any]:
    """The definition of the policy that RabbitMQ applies to a queue: of those that match, the first by priority.

    Worked out here, since the API shows it on the queue only seconds later.
    """
    matching = [p for p in policies if p["apply-to"] != "exchanges" and re.search(p["pattern"], name)]
    return max(matching, key=lambda p: p["priority"])["definition"] if matching else {}


def _in_force(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments and policies together: the stricter number wins, else the earlier source."""
    settings: dict[str, Any] = {}
    for source in sources:
        for key, value in source.items():
            other = settings.setdefault(key, value)
            if isinstance(value, int) and isinstance(other, int):
                settings[key] = max(value, other) if min(value, other) < 0 else min(value, other)  # -1 = no limit
    return settings


def _losses(name: str, settings: Mapping[str, Any]) -> Iterator[Problem]:
    limited = [key for key in ("max-length", "max-length-bytes") if key in settings]
    if limited and settings.get("overflow") != "reject-publish":
        yield Problem(name, f"{limited[0]} without reject-publish drops the oldest messages", POLICY)
    if "message-ttl" in settings:
        yield Problem(name, f"messages expire after {settings['message-ttl']} ms", POLICY)
    if "expires" in settings:
        yield Problem(name, f"the queue deletes itself after {settings['expires']} ms unused", POLICY)
    if "dead-letter-exchange" in settings and settings.get("dead-letter-strategy") != "at-least-once":
        yield Problem(name, "dead-lettering may lose messages", "Set dead-letter-strategy=at-least-once")
    if settings.get("consumer-timeout", SHORT_ACK_MS) < SHORT_ACK_MS:
        what = f"consumers must acknowledge within {settings['consumer-timeout']} ms"
        yield Problem(name, what, f"Allow {SHORT_ACK_MS} ms or more")


def _delivery_limit(name: str, settings: Mapping[str, Any], version: str) -> Iterator[Problem]:
    limit = settings.get("delivery-limit")
    if limit is None and release(version) >= (4, 0):
        yield Problem(name, "messages are dropped after 20 deliveries", "Set delivery-limit=-1 by policy")
    if isinstance(limit, int) and limit >= 0:
        yield Problem(name, f"messages are dropped after {limit} deliveries", POLICY)
