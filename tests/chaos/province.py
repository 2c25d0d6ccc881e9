"""The province: a vhost of another RabbitMQ node, a proxy on the way to it, and what the province sends from there.

Of what it is sent, documents and receipts come through one exchange into one queue, in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pika

from tests.chaos.evidence import Drained, arrived, drain
from tests.chaos.history import History
from tests.chaos.proxy import Proxy, via
from tests.chaos.sender import Sender
from tests.chaos.traffic import Mix
from tests.process.house import House
from tests.process.province import EXCHANGE, OURS, PROVINCE
from tests.rabbit import Rabbit

CAME = "province.intake"
USER, PASSWORD = "city", "the-city-at-the-province"
QUORUM = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
SENDS = 5.0  # messages a second that the province has for the city


@dataclass
class Province:
    """What a fault may do to it."""

    node: Rabbit
    vhost: str
    url: str  # the administrator's, past the proxy
    line: Proxy  # between the daemon and this broker
    sender: Sender

    def bind(self) -> None:
        """What is sent to the province reaches its queue from now on."""
        with closing(pika.BlockingConnection(pika.URLParameters(self.url))) as link:
            link.channel().queue_bind(CAME, EXCHANGE)

    def unbind(self) -> None:
        """It reaches no queue: RabbitMQ returns it."""
        with closing(pika.BlockingConnection(pika.URLParameters(self.url))) as link:
            link.channel().queue_unbind(CAME, EXCHANGE)

    def allow(self, write: str = f"^{EXCHANGE}$") -> None:
        """What the city's user may do there: read its queue, and this."""
        rights = {"configure": "^$", "write": write, "read": f"^{OURS}$"}
        self.node.manage("PUT", "permissions", self.vhost, USER, **rights)

    def read(self) -> list[Drained]:
        """Take what came, in order: each as if it lay in a queue of its kind."""
        return arrived(self.url, CAME, PROVINCE)

    def left(self) -> list[str]:
        """Digests of what the city never took."""
        return [found.digest for found in drain(self.url, [OURS])]


@contextmanager
def opened(node: Rabbit, vhost: str, house: House, history: History, seed: str) -> Iterator[Province]:
    """Declare it, and put its URL, through the proxy, where the house's daemon looks for it."""
    url = node.vhost(vhost)
    lines = [Proxy([(str(urlsplit(url).hostname), urlsplit(url).port or 0)]) for _ in range(2)]
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as link:
        _declare(link.channel())
    path = house.folder / "keys" / "upstream-province.url"
    path.touch(mode=0o600)
    path.write_text(via(node.url_of(USER, PASSWORD, vhost), lines[0]))
    node.manage("PUT", "users", USER, password=PASSWORD, tags="")
    mix = Mix(house, f"{seed}/province", "GDP")
    mix.shares = {"from_province": 100}
    sender = Sender(url, lines[1], mix, history, 0, seed)
    try:
        there = Province(node, vhost, url, lines[0], sender)
        there.allow()
        yield there
    finally:
        sender.stop()
        for line in lines:
            line.close()
        node.manage("DELETE", "vhosts", vhost)


def _declare(channel: Any) -> None:
    for exchange, queue in ((EXCHANGE, CAME), (f"swx.outbox.{PROVINCE}", OURS)):
        channel.exchange_declare(exchange, "fanout", durable=True)
        channel.queue_declare(queue, durable=True, arguments=QUORUM)
        channel.queue_bind(queue, exchange)
