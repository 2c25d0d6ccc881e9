"""The yardstick: RabbitMQ's own dynamic shovel between two quorum queues, each message acked once it is confirmed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from swexchange.broker import Message
from swexchange.broker.admin import server_version
from swexchange.broker.topology import queue_arguments
from tests.bench.node import Node
from tests.bench.rate import Rate, rate_of

QUEUES = ("bench.shovel.a", "bench.shovel.b")
PREFETCH = 1000


@dataclass(slots=True)
class Shovel:
    """Moves the same messages to and fro; one `run` each way."""

    node: Node
    count: int
    at: int = 0  # index of the queue that holds the messages

    def prepare(self, messages: Sequence[Message]) -> None:
        """Declare the queues and fill the first."""
        arguments = queue_arguments(server_version(self.node.server))
        for name in QUEUES:
            self.node.channel.queue_declare(name, durable=True, arguments=dict(arguments))
        self.node.fill(messages)

    def run(self) -> Rate:
        """Messages a second from one queue to the other, the first tenth left out."""
        source, target = QUEUES[self.at], QUEUES[1 - self.at]
        self.at = 1 - self.at
        self.node.rabbit.ctl("set_parameter", "shovel", "bench", json.dumps(self._parameters(source, target)))
        seen = self.node.until(target, self.count, lambda: True)
        self.node.rabbit.ctl("clear_parameter", "shovel", "bench")
        if self.node.depth(target) != self.count or self.node.depth(source):
            raise RuntimeError(f"the shovel moved {self.node.depth(target)} of {self.count} messages")
        return rate_of(seen, self.count // 10)

    def _parameters(self, source: str, target: str) -> dict[str, object]:
        ends = {"src": source, "dest": target}
        found: dict[str, object] = {"ack-mode": "on-confirm", "src-prefetch-count": PREFETCH}
        for end, queue in ends.items():
            found |= {f"{end}-protocol": "amqp091", f"{end}-uri": self.node.url, f"{end}-queue": queue}
        return found
