"""What a consumer and a publisher link promise: on the fake, on that of the simulation, and on a real RabbitMQ."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pika
import pytest

from swexchange.broker import Intake, Message, Outlet, Server, Topology, admin
from swexchange.broker.topology import INTAKE, inbox, outbox, receipts
from swexchange.core.model import Copy, Delivery, Fate, Kind
from swexchange.errors import BrokerLost
from tests import rabbit
from tests.fakes.broker import FakeBroker
from tests.simulation.broker import SimulatedBroker

MANY = 10**9
ALICE = Topology(("alice", "b.ob"))


@dataclass
class Site:
    """A broker with the topology of ALICE, fake or real."""

    intake: Callable[..., Any]
    outlet: Callable[[], Any]
    delete: Callable[[str], None]
    fill: Callable[[str], None]  # the queue refuses from now on
    links: list[Any] = field(default_factory=list)

    def open(self, link: Any) -> Any:
        self.links.append(link)
        return link

    def take(self, intake: Any, number: int) -> list[Delivery]:
        """Exactly this many messages, however they are batched."""
        got: list[Delivery] = []
        while len(got) < number:
            batch = intake.take(number - len(got), MANY, 10)
            assert batch, f"only {len(got)} of {number} messages came"
            got += batch
        return got


def _fake(broker: FakeBroker) -> Site:
    broker.declare(ALICE)
    return Site(
        intake=broker.intake,
        outlet=broker.outlet,
        delete=broker.delete,
        fill=broker.full.add,
    )


def _real() -> Site:
    server = Server(rabbit.shared().vhost("link"))
    admin.apply(server, ALICE)
    return Site(
        intake=lambda name=INTAKE, prefetch=600: Intake(server, name, prefetch),
        outlet=lambda: Outlet(server),
        delete=lambda name: _channel(server, lambda c: c.queue_delete(name)),
        fill=lambda name: _refill(server, name),
    )


def _refill(server: Server, name: str) -> None:
    """Replace a queue by one that has room for nothing."""
    arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 0}
    _channel(server, lambda c: c.queue_delete(name))
    _channel(server, lambda c: c.queue_declare(name, durable=True, arguments=arguments))
    _channel(server, lambda c: c.basic_publish("", name, b"the drop that fills it"))


def _channel(server: Server, action: Callable[[Any], object]) -> None:
    connection = pika.BlockingConnection(server.parameters())
    try:
        action(connection.channel())
    finally:
        connection.close()


SITES: dict[str, Callable[[], Site]] = {
    "fake": lambda: _fake(FakeBroker()),
    "simulated": lambda: _fake(SimulatedBroker(waits=True)),
    "rabbitmq": _real,
}


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    site = SITES[request.param]()
    yield site
    for link in site.links:
        link.close()


def _copy(number: int, kind: Kind = Kind.MESSAGE, to: str = "alice", body: bytes = b"<a/>") -> Copy:
    return Copy(f"id-{number}", kind, to, "DEC001", f"of-{number}", "01EXCHANGE", body)


def _send(site: Site, number: int, participant: str = "alice", body: bytes = b"<a/>") -> None:
    outlet = site.open(site.outlet())
    messages = [Message(outbox(participant), "", body, message_id=f"m{n}") for n in range(number)]
    assert outlet.publish_raw(messages) == [Fate.CONFIRMED] * number


def test_copies_reach_the_queue_of_their_kind_and_participant(site: Site) -> None:
    """A message goes to the inbox, a receipt to the receipts queue, bytes and id unchanged."""
    outlet = site.open(site.outlet())
    fates = outlet.publish([_copy(1, Kind.MESSAGE, body=b"<m/>"), _copy(2, Kind.RECEIPT, "b.ob", b"<r/>")])
    assert fates == [Fate.CONFIRMED, Fate.CONFIRMED]
    (message,) = site.take(site.open(site.intake(inbox("alice"))), 1)
    (receipt,) = site.take(site.open(site.intake(receipts("b.ob"))), 1)
    assert (message.body, message.properties.message_id, message.properties.type) == (b"<m/>", "id-1", "DEC001")
    assert message.properties.content_type == "application/xml"
    assert (receipt.body, receipt.properties.message_id, receipt.submitter) == (b"<r/>", "id-2", "")


def test_the_submitter_is_the_owner_of_the_exchange(site: Site) -> None:
    """What came through swx.outbox.X was submitted by X, also where X has a dot in it."""
    _send(site, 1, "b.ob")
    (delivery,) = site.take(site.open(site.intake()), 1)
    assert delivery.submitter == "b.ob"


def test_messages_come_in_order_and_once(site: Site) -> None:
    """All messages come, in the order of publishing, none twice, none marked as redelivered."""
    _send(site, 1500)
    deliveries = site.take(site.open(site.intake(INTAKE, 2000)), 1500)
    assert [d.properties.message_id for d in deliveries] == [f"m{n}" for n in range(1500)]
    assert not any(d.redelivered for d in deliveries)


def test_a_batch_is_bounded_by_number(site: Site) -> None:
    """`take` never gives more messages than asked for."""
    _send(site, 7)
    intake = site.open(site.intake())
    assert len(intake.take(3, MANY, 10)) <= 3


def test_a_batch_is_bounded_by_bytes_but_never_empty(site: Site) -> None:
    """A message larger than the bound comes alone; smaller ones as many as fit."""
    _send(site, 3, body=b"x" * 1000)
    intake = site.open(site.intake())
    assert len(intake.take(10, 10, 10)) == 1
    assert len(intake.take(10, 1999, 10)) == 1
    assert len(intake.take(10, MANY, 10)) == 1


def test_an_empty_queue_gives_an_empty_batch_after_the_wait(site: Site) -> None:
    """`take` waits no longer than told, and gives []."""
    intake = site.open(site.intake())
    start = time.monotonic()
    assert intake.take(10, MANY, 0.2) == []
    assert 0.15 < time.monotonic() - start < 5


def test_take_wakes_for_the_first_message(site: Site) -> None:
    """A waiting `take` returns when a message comes, long before its wait is over."""
    intake = site.open(site.intake())
    got: list[Delivery] = []
    waiting = threading.Thread(target=lambda: got.extend(intake.take(10, MANY, 60)))
    waiting.start()
    _send(site, 1)
    waiting.join(20)
    assert len(got) == 1


def test_unacknowledged_messages_come_again_to_the_next_link(site: Site) -> None:
    """What a closed link had not acknowledged comes again, marked, in order; the rest does not."""
    _send(site, 5)
    first = site.open(site.intake())
    deliveries = site.take(first, 5)
    first.ack_through(deliveries[1].tag)
    first.close()
    again = site.take(site.open(site.intake()), 3)
    assert [d.properties.message_id for d in again] == ["m2", "m3", "m4"]
    assert all(d.redelivered for d in again)


def test_prefetch_bounds_what_is_unacknowledged(site: Site) -> None:
    """No more than `prefetch` messages are handed out before an acknowledgement makes room."""
    _send(site, 4)
    intake = site.open(site.intake(INTAKE, 2))
    first = site.take(intake, 2)
    assert intake.take(10, MANY, 0.2) == []
    intake.ack_through(first[-1].tag)
    assert len(site.take(intake, 2)) == 2


def test_a_copy_without_a_queue_is_returned_and_its_neighbours_are_not(site: Site) -> None:
    """RETURNED falls on exactly the copies whose queue is missing, also when one id occurs twice."""
    outlet = site.open(site.outlet())
    copies = [_copy(n, to="nobody" if n % 3 == 0 else "alice") for n in (0, 1, 2, 3, 4, 0, 1)]
    expected = [Fate.RETURNED if c.to == "nobody" else Fate.CONFIRMED for c in copies]
    assert outlet.publish(copies) == expected


def test_a_full_queue_refuses(site: Site) -> None:
    """REFUSED falls on the copies for the full queue, and the link goes on."""
    site.fill(inbox("alice"))
    outlet = site.open(site.outlet())
    fates = outlet.publish([_copy(1), _copy(2, to="b.ob"), _copy(3)])
    assert fates == [Fate.REFUSED, Fate.CONFIRMED, Fate.REFUSED]
    assert outlet.publish([_copy(4, to="b.ob")]) == [Fate.CONFIRMED]


def test_publishing_nothing_is_nothing(site: Site) -> None:
    """An empty call gives no fates and does not wait."""
    assert site.open(site.outlet()).publish([]) == []


def test_a_deleted_queue_ends_the_intake(site: Site) -> None:
    """A waiting `take` raises BrokerLost at once when its queue goes, and so does every later call."""
    intake = site.open(site.intake())
    raised: list[BrokerLost] = []
    waiting = threading.Thread(target=lambda: raised.append(_lost(lambda: intake.take(1, MANY, 60))))
    waiting.start()
    site.delete(INTAKE)
    waiting.join(20)
    assert INTAKE in str(raised[0])
    _lost(lambda: intake.take(1, MANY, 0))
    _lost(lambda: intake.ack_through(1))


def test_a_missing_queue_is_said_on_opening(site: Site) -> None:
    """Consuming from a queue that does not exist raises BrokerLost with its name."""
    assert "swx.inbox.nobody" in str(_lost(lambda: site.intake(inbox("nobody"))))


def test_a_closed_link_stays_closed(site: Site) -> None:
    """Every call on a closed link raises BrokerLost; closing twice is no error."""
    intake, outlet = site.intake(), site.outlet()
    for link in (intake, outlet):
        link.close()
        link.close()
    _lost(lambda: intake.take(1, MANY, 10))
    _lost(lambda: outlet.publish([_copy(1)]))


def _lost(action: Callable[[], object]) -> BrokerLost:
    with pytest.raises(BrokerLost) as caught:
        action()
    return caught.value
