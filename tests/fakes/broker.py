"""RabbitMQ in memory: the two links' interface over plain queues, with the trouble a test orders.

Kept honest by tests/contract/test_link.py, which runs the same promises on the real one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from swexchange.broker.frames import Message
from swexchange.broker.topology import INTAKE, Topology, queue, submitter
from swexchange.core.model import Copy, Delivery, Fate, Properties
from swexchange.errors import BrokerLost


@dataclass
class FakeBroker:
    """Queues by name, each a list of messages; `orders` are fates for the next publishes, one per message.

    An ordered UNKNOWN loses the message, or keeps it where `unknown_arrives` is set. A queue in
    `full` refuses. `stop` ends every link; a new one is refused until `start`.
    """

    queues: dict[str, deque[Message]] = field(default_factory=dict)
    bindings: dict[str, list[str]] = field(default_factory=dict)
    orders: deque[Fate] = field(default_factory=deque)
    full: set[str] = field(default_factory=set)
    unknown_arrives: bool = False
    running: bool = True
    changed: threading.Condition = field(default_factory=threading.Condition)
    links: list[FakeLink] = field(default_factory=list)

    def declare(self, topology: Topology) -> None:
        """Make what the topology asks for."""
        for name in topology.queues():
            self.queues.setdefault(name, deque())
        for exchange, name in topology.bindings():
            self.bindings[exchange] = [name]

    def delete(self, name: str) -> None:
        """Delete a queue; its consumers lose their links."""
        with self.changed:
            del self.queues[name]
            for link in [x for x in self.links if isinstance(x, FakeIntake) and x.queue == name]:
                link.lose(BrokerLost(f"RabbitMQ ended the consumer of queue {name}"))

    def stop(self) -> None:
        """The broker goes down: unacknowledged messages return to their queues."""
        with self.changed:
            self.running = False
            for link in list(self.links):
                link.lose(BrokerLost("RabbitMQ closed the connection"))

    def start(self) -> None:
        """The broker is back, its queues as they were."""
        self.running = True

    def intake(self, name: str = INTAKE, prefetch: int = 600) -> FakeIntake:
        """A consumer link."""
        return FakeIntake(self, name, prefetch)

    def outlet(self, exchange: str = "") -> FakeOutlet:
        """A publisher link; copies go to their participants' queues, or to an exchange."""
        return FakeOutlet(self, exchange)

    def put(self, message: Message) -> Fate:
        """Publish one message as ordered, else as the queues allow."""
        if self.orders:
            fate = self.orders.popleft()
            if fate is Fate.UNKNOWN and self.unknown_arrives:
                self._route(message)
            if fate is not Fate.CONFIRMED:
                return fate
        return self._route(message)

    def _route(self, message: Message) -> Fate:
        names = self.bindings.get(message.exchange, []) if message.exchange else [message.routing_key]
        found = [name for name in names if name in self.queues]
        if not found:
            return Fate.RETURNED
        if self.full.intersection(found):
            return Fate.REFUSED
        for name in found:
            self.queues[name].append(message)
        self.changed.notify_all()
        return Fate.CONFIRMED


class FakeLink:
    """What both links share: they end once, for a reason."""

    def __init__(self, broker: FakeBroker) -> None:
        if not broker.running:
            raise BrokerLost("RabbitMQ is not running", do="Start it")
        self.broker = broker
        self.lost: BrokerLost | None = None
        broker.links.append(self)

    def lose(self, fault: BrokerLost) -> None:
        """End the link; waiters wake."""
        with self.broker.changed:
            self.lost = self.lost or fault
            if self in self.broker.links:
                self.broker.links.remove(self)
                self.give_back()
            self.broker.changed.notify_all()

    def give_back(self) -> None:
        """What the end of the link does to messages."""

    def close(self) -> None:
        """End the link."""
        self.lose(BrokerLost("the link was closed"))

    def check(self) -> None:
        """Raise BrokerLost when the link has ended."""
        if self.lost:
            raise self.lost


class FakeIntake(FakeLink):
    """A consumer link over one queue."""

    def __init__(self, broker: FakeBroker, name: str, prefetch: int = 600) -> None:
        if broker.running and name not in broker.queues:
            raise BrokerLost(f"RabbitMQ said 404: NOT_FOUND - no queue '{name}'", do="Declare the topology")
        super().__init__(broker)
        self.queue = name
        self.prefetch = prefetch
        self.unacked: deque[tuple[int, Message]] = deque()
        self.next_tag = 1

    def take(self, max_messages: int, max_bytes: int, wait: float) -> list[Delivery]:
        """As `Intake.take`."""
        with self.broker.changed:
            self.broker.changed.wait_for(lambda: self.lost is not None or self._room(), wait)
            self.check()
            taken: list[Delivery] = []
            size = 0
            while self._room() and len(taken) < max_messages:
                size += len(self.broker.queues[self.queue][0].body)
                if taken and size > max_bytes:
                    break
                taken.append(self._deliver())
            return taken

    def ack_through(self, tag: int) -> None:
        """As `Intake.ack_through`."""
        self.check()
        while self.unacked and self.unacked[0][0] <= tag:
            self.unacked.popleft()

    def give_back(self) -> None:
        """Unacknowledged messages return to the head of the queue, in order."""
        waiting = self.broker.queues.get(self.queue)
        if waiting is not None:
            waiting.extendleft(_again(message) for _, message in reversed(self.unacked))
        self.unacked.clear()

    def _room(self) -> bool:
        return bool(self.broker.queues[self.queue]) and len(self.unacked) < self.prefetch

    def _deliver(self) -> Delivery:
        message = self.broker.queues[self.queue].popleft()
        tag, self.next_tag = self.next_tag, self.next_tag + 1
        self.unacked.append((tag, message))
        claims = Properties(message.message_id, message.type, message.content_type, message.user_id)
        return Delivery(tag, submitter(message.exchange), message.body, claims, _REDELIVERED in message.headers)


class FakeOutlet(FakeLink):
    """A publisher link."""

    def __init__(self, broker: FakeBroker, exchange: str = "") -> None:
        super().__init__(broker)
        self._exchange = exchange

    def publish(self, copies: Sequence[Copy]) -> list[Fate]:
        """As `Outlet.publish`."""
        return self.publish_raw([_message(copy, self._exchange) for copy in copies])

    def publish_raw(self, messages: Sequence[Message]) -> list[Fate]:
        """As `Outlet.publish_raw`."""
        self.check()
        with self.broker.changed:
            return [self.broker.put(message) for message in messages]


_REDELIVERED = ("x-fake-redelivered", "true")


def _again(message: Message) -> Message:
    return replace(message, headers=(_REDELIVERED,))


def _message(copy: Copy, exchange: str) -> Message:
    return Message(
        exchange,
        copy.to if exchange else queue(copy.kind, copy.to),
        copy.body,
        message_id=copy.id,
        type=copy.type,
        correlation_id=copy.correlation_id,
        headers=(("swx-exchange", copy.exchange_id),),
    )
