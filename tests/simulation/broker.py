"""The fake broker with points before each call, and with the two troubles that only a network makes.

Kept honest by tests/contract/test_link.py, as the fake itself. It never waits: an empty queue
gives an empty batch at once, since time is the schedule's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swexchange.broker.frames import Message
from swexchange.broker.topology import INTAKE
from swexchange.core.model import Delivery, Fate
from swexchange.errors import BrokerLost
from tests.fakes.broker import FakeBroker, FakeIntake, FakeOutlet


def no_point(_: str) -> None:
    """Nobody watches."""


@dataclass
class SimulatedBroker(FakeBroker):
    """A FakeBroker whose links stop at points.

    `lost_acks`: so many acknowledgements never arrive, and their links end. `cut`: the next
    publish ends the link when so many messages have arrived; none of them is confirmed but the first.
    `blocked`: by an alarm nothing is published, and the links stay. A link that a full queue refused
    goes on being refused, as a channel of RabbitMQ does when the queue's limit is taken away.
    """

    point: Callable[[str], None] = no_point
    waits: bool = False
    lost_acks: int = 0
    cut: int | None = None
    blocked: bool = False

    def intake(self, name: str = INTAKE, prefetch: int = 600) -> SimulatedIntake:
        return SimulatedIntake(self, name, prefetch)

    def outlet(self, exchange: str = "") -> SimulatedOutlet:
        return SimulatedOutlet(self, exchange)


class SimulatedIntake(FakeIntake):
    """A consumer link."""

    broker: SimulatedBroker

    def take(self, max_messages: int, max_bytes: int, wait: float) -> list[Delivery]:
        self.broker.point("take")
        return super().take(max_messages, max_bytes, wait if self.broker.waits else 0)

    def ack_through(self, tag: int) -> None:
        self.broker.point("ack")
        if self.broker.lost_acks and self.lost is None:
            # The caller is told nothing: it is on its way when the link ends.
            self.broker.lost_acks -= 1
            self.lose(BrokerLost("the connection was reset"))
            return
        super().ack_through(tag)


class SimulatedOutlet(FakeOutlet):
    """A publisher link."""

    broker: SimulatedBroker

    def __init__(self, broker: SimulatedBroker, exchange: str = "") -> None:
        super().__init__(broker, exchange)
        self._refused_by: set[str] = set()

    @property
    def blocked(self) -> bool:
        return self.broker.blocked

    def publish_raw(self, messages: Sequence[Message]) -> list[Fate]:
        self.broker.point("publish")
        if self.blocked:
            self.check()
            return [Fate.UNKNOWN] * len(messages)
        if self.broker.cut is None or not messages:
            return self._put(messages)
        arrive, self.broker.cut = self.broker.cut, None
        fates = self._put(messages[:arrive])
        self.lose(BrokerLost("the connection was reset"))
        confirmed = fates[:1]
        if not confirmed:
            self.check()
        return confirmed + [Fate.UNKNOWN] * (len(messages) - len(confirmed))

    def _put(self, messages: Sequence[Message]) -> list[Fate]:
        self.check()
        return [self._put_one(message) for message in messages]

    def _put_one(self, message: Message) -> Fate:
        targets = set(self.broker.bindings.get(message.exchange, ()) if message.exchange else (message.routing_key,))
        if targets & self._refused_by:
            return Fate.REFUSED
        with self.broker.changed:
            fate = self.broker.put(message)
        if fate is Fate.REFUSED:
            self._refused_by |= targets & self.broker.full
        return fate
