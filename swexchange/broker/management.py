"""Looks deeper into RabbitMQ than AMQP can, over its management HTTP API. Read only.

What it finds are values of `health.broker`, which judges them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from swexchange.broker.server import Tls
from swexchange.broker.topology import release
from swexchange.errors import BrokerLost, ConfigFault
from swexchange.health.broker import Broker, Exchange, Needs, Node, Permission, judge_topology
from swexchange.health.problem import Problem
from swexchange.health.queues import Policy, Queue

SECONDS = 10
Found = Mapping[str, Any]  # one object of an answer


class Management:
    """The HTTP API at a URL: http[s]://user:password@host:15672, a user with the monitoring tag."""

    def __init__(self, url: str, tls: Tls | None = None) -> None:
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
        self._tls = tls.context() if tls and parts.scheme == "https" else None
        self.clock: datetime | None = None  # what time it was there when it answered last

    def get(self, *path: str) -> Any:
        """One resource as parsed JSON; None where it does not exist. Raises BrokerLost, with the HTTP code."""
        url = "/".join([self.where, "api", *(quote(part, safe="") for part in path)])
        request = Request(url, headers={"Authorization": self._authorization})  # noqa: S310 (scheme checked)
        try:
            with urlopen(request, timeout=SECONDS, context=self._tls) as answer:  # noqa: S310
                self.clock = _date(answer.headers.get("date", ""))
                return json.load(answer)
        except HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            do = "Correct user and password; the user needs the tag monitoring"
            raise BrokerLost(
                f"the management API said {error.code}", where=self.where, do=do, code=error.code
            ) from error
        except (URLError, OSError, HTTPException, ValueError) as error:
            what = f"the management API does not answer: {getattr(error, 'reason', error)}"
            raise BrokerLost(what, where=self.where, do="Enable the plugin, check the URL") from error


def _date(header: str) -> datetime | None:
    try:
        return parsedate_to_datetime(header)
    except ValueError:
        return None


def check(management: Management, topology: Needs, vhost: str = "/") -> list[Problem]:
    """Everything found wrong with exchanges, queues, bindings and policies of the topology."""
    return list(judge_topology(look(management, vhost), topology))


def look(management: Management, vhost: str = "/") -> Broker:
    """What exists in a vhost, and on which nodes. Raises BrokerLost."""
    queues = management.get("queues", vhost) or []
    takers = _takers(management.get("consumers", vhost) or [])
    policies, operators = (management.get(kind, vhost) or [] for kind in ("policies", "operator-policies"))
    return Broker(
        release=release(str(management.get("overview")["rabbitmq_version"])),
        exchanges={found["name"]: _exchange(found) for found in management.get("exchanges", vhost) or []},
        queues={found["name"]: _queue(found, takers) for found in queues},
        bindings=frozenset(
            (found["source"], found["destination"])
            for found in management.get("bindings", vhost) or []
            if found["destination_type"] == "queue"
        ),
        policies=(_policies(policies), _policies(operators)),
        nodes=[_node(found) for found in management.get("nodes") or []],
        permissions=_permissions(management, vhost),
        clock=management.clock,
    )


def _takers(consumers: Sequence[Found]) -> dict[str, set[str]]:
    """Users by the queue they consume from; a consumer whose channel is not known yet is left out."""
    takers: dict[str, set[str]] = {}
    for found in consumers:
        if user := (found.get("channel_details") or {}).get("user"):
            takers.setdefault(found["queue"]["name"], set()).add(user)
    return takers


def _exchange(found: Found) -> Exchange:
    return Exchange(found["name"], found["type"], found["durable"], found["auto_delete"], found["internal"])


def _queue(found: Found, takers: Mapping[str, set[str]]) -> Queue:
    return Queue(
        name=found["name"],
        type=str(found.get("type")),
        durable=found["durable"],
        auto_delete=found["auto_delete"],
        arguments=found.get("arguments") or {},
        members=len(found.get("members", ())),
        online=len(found.get("online", ())),
        takers=frozenset(takers.get(found["name"], ())),
    )


def _policies(found: Sequence[Found]) -> list[Policy]:
    return [Policy(p["pattern"], p["apply-to"], p["priority"], p["definition"]) for p in found]


def _node(found: Found) -> Node:
    """A node that is down has a name and little else."""
    return Node(
        name=found["name"],
        running=found.get("running", True),
        memory_alarm=found.get("mem_alarm", False),
        disk_alarm=found.get("disk_free_alarm", False),
        disk_free=_bytes(found.get("disk_free")),
        disk_limit=_bytes(found.get("disk_free_limit")),
        split_from=tuple(found.get("partitions", ())),
    )


def _bytes(found: Any) -> int | None:
    return found if isinstance(found, int) else None  # a node that cannot measure says so in words


def _permissions(management: Management, vhost: str) -> list[Permission] | None:
    """Of all users but administrators; None where our user is not one and may not see them."""
    if "administrator" not in _tags(management.get("whoami")):
        return None
    users = management.get("users") or []
    masters = {found["name"] for found in users if "administrator" in _tags(found)}
    return [
        Permission(found["user"], found["configure"], found["write"], found["read"])
        for found in management.get("vhosts", vhost, "permissions") or []
        if found["user"] not in masters
    ]


def _tags(user: Found) -> Sequence[str]:
    """A user's tags: a list, before 3.9 one text."""
    tags = user["tags"]
    return tags.split(",") if isinstance(tags, str) else list(tags)
