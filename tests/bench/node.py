"""The private RabbitMQ node of a run: topology, prefilling, counting, draining. Measures nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika

from swexchange.broker import Message, Outlet, Server, Topology, admin
from swexchange.broker.client import Mailbox
from swexchange.broker.topology import INTAKE, inbox, receipts
from swexchange.core.model import Fate
from tests import rabbit
from tests.bench.parties import AGENCY, INTEGRATORS

TRANSIT = (inbox(AGENCY), *(receipts(name) for name in INTEGRATORS))  # where the outcome of a run collects
POLL = 0.05  # seconds between two looks at a queue
STALL = 30.0  # seconds without growth after which a queue is given up


PLUGINS = "rabbitmq_shovel"


@dataclass(slots=True)
class Node:
    """A running node and one connection for counting."""

    rabbit: rabbit.Rabbit
    channel: Any  # pika's

    @property
    def url(self) -> str:
        """The administrator's AMQP URL."""
        return self.rabbit.url

    @property
    def process(self) -> int:
        """Process id of the Erlang machine."""
        return int(self.rabbit.state()["server"]["pid"])

    @property
    def server(self) -> Server:
        """The same for swexchange's own links."""
        return Server(self.url)

    def depth(self, *queues: str) -> int:
        """Messages that are ready in these queues together."""
        return sum(self.channel.queue_declare(name, passive=True).method.message_count for name in queues)

    def fill(self, messages: Sequence[Message]) -> None:
        """Publish with confirms; returns when all are safe."""
        with Outlet(self.server) as outlet:
            fates = Counter(outlet.publish_raw(messages))
        if set(fates) != {Fate.CONFIRMED}:
            raise RuntimeError(f"the prefill was not confirmed: {fates}")

    def until(self, queue: str, count: int, alive: Callable[[], bool], stall: float = STALL) -> list[tuple[float, int]]:
        """Watch a queue grow to `count`, or until it has stopped growing or nobody is alive to fill it.

        Returns (monotonic seconds, messages ready) as seen, each number once.
        """
        seen = [(time.monotonic(), self.depth(queue))]
        while seen[-1][1] < count and time.monotonic() < seen[-1][0] + stall and alive():
            time.sleep(POLL)
            depth = self.depth(queue)
            if depth != seen[-1][1]:
                seen.append((time.monotonic(), depth))
        return seen

    def drain(self, queue: str) -> Counter[str]:
        """Take everything out of a queue; how often each correlation id came."""
        found: Counter[str] = Counter()
        while self.depth(queue):
            with Mailbox(self.server, queue, prefetch=2000) as mailbox:
                while taken := mailbox.read(2000, 2**27, 0.2):
                    found.update(message.correlation_id for message in taken)
                    mailbox.ack_through(taken[-1].tag)
        return found

    def kill_and_start(self) -> float:
        """End the node as a power cut would, and start it again with its data; when, on the monotonic clock, it died.

        Returns when it answers again.
        """
        self.rabbit.kill()
        killed = time.monotonic()
        rabbit.start(self.rabbit.folder, "--plugins", PLUGINS)
        self.channel = _channel(self.url)
        return killed

    def purge(self) -> None:
        """Empty all queues that a run uses."""
        for name in (INTAKE, *TRANSIT):
            self.channel.queue_purge(name)


@contextmanager
def started(folder: Path, participants: Sequence[str]) -> Iterator[Node]:
    """A node with the topology of these participants; ended at the end, whatever happens."""
    broker = rabbit.start(folder, "--plugins", PLUGINS)
    try:
        admin.apply(Server(broker.url), Topology(tuple(participants)))
        node = Node(broker, _channel(broker.url))
        yield node
        node.channel.connection.close()
    finally:
        broker.stop()


def _channel(url: str) -> Any:
    return pika.BlockingConnection(pika.URLParameters(f"{url}?heartbeat=0")).channel()
