"""What the forwarder promises, through the store and a real RabbitMQ in the province's place, pass by pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pika
import pytest

from swexchange.broker import Outlet, Server
from swexchange.broker.client import Mailbox, Received
from swexchange.core.breaker import ENOUGH, Standing, State
from swexchange.core.lanes import Weights
from swexchange.core.model import Fate, Kind
from swexchange.core.rulebook import Participant, Rulebook, Upstream
from swexchange.store import FullLedger, migrate, open_backlog, open_ledger
from swexchange.upstream import Forwarder
from tests import rabbit, world
from tests.contract.exchanges import NOW, accepted, record
from tests.contract.watcher import Watcher

PROVINCE, PORT = "DXPGDP4400000001", "DXPGDP4400000002"
REMOTE = frozenset({PROVINCE, PORT})
EXCHANGE, QUEUE = "to-province", "province"
QUORUM = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}


@dataclass
class Province:
    """Another broker with one exchange and one queue, our store, and forwarders between them."""

    url: str
    ledger: FullLedger
    forwarder: Forwarder
    watcher: Watcher
    upstream: Upstream

    def admin(self, do: Callable[[pika.adapters.blocking_connection.BlockingChannel], object]) -> None:
        """Do something on the province's broker as its administrator."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        do(connection.channel())
        connection.close()

    def declare(self, **arguments: object) -> None:
        """Make the exchange and its queue."""
        self.admin(lambda c: c.exchange_declare(EXCHANGE, "fanout", durable=True))
        queue = {**QUORUM, **arguments}
        self.admin(lambda c: c.queue_declare(QUEUE, durable=True, arguments=queue))
        self.admin(lambda c: c.queue_bind(QUEUE, EXCHANGE))

    def declare_for(self, *recipients: str) -> None:
        """Make the exchange, and a queue for each of these, named like them."""
        self.admin(lambda c: c.exchange_declare(EXCHANGE, "direct", durable=True))
        for name in recipients:
            self.admin(partial(_declare_queue, name))

    def record(self, *numbers: str, to: str = PROVINCE) -> None:
        """Accept messages for the province; one of A2 has the lane A."""
        decisions = (replace(accepted(n, to=(to,)), lane=n.rstrip("0123456789")) for n in numbers)
        record(self.ledger, *decisions, remote=REMOTE)

    def step(self, times: int = 1, seconds: float = 0) -> None:
        """Passes of the forwarder, each some time after the one before."""
        for _ in range(times):
            self.watcher.now += timedelta(seconds=seconds)
            self.forwarder.step()

    def received(self, queue: str = QUEUE) -> list[str]:
        """Numbers of the messages that came, in order."""
        with Mailbox(Server(self.url), queue) as mailbox:
            found: list[Received] = []
            while part := mailbox.read(1000, 2**30, 0.5):
                mailbox.ack_through(part[-1].tag)
                found += part
        assert all(r.message_id and r.exchange_id for r in found)
        return [r.correlation_id for r in found]


def _declare_queue(name: str, channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
    channel.queue_declare(name, durable=True, arguments=QUORUM)
    channel.queue_bind(name, EXCHANGE, name)


@pytest.fixture
def province(tmp_path: Path) -> Iterator[Province]:
    """A province whose exchange and queue do not exist yet."""
    url = rabbit.shared().vhost(f"p{abs(hash(str(tmp_path))):x}")
    database = f"sqlite:///{tmp_path}/store.db"
    migrate.upgrade(database)
    watcher, upstream = Watcher(), Upstream("province", EXCHANGE, weights=Weights(3, 1))
    with open_ledger(database) as ledger, open_backlog(database) as backlog:
        forwarder = Forwarder(
            "province",
            lambda upstream: Outlet(Server(url, connect_seconds=3), 2, upstream.exchange),
            backlog,
            lambda: _rules(upstream),
            watcher,
            lambda: watcher.now,
            holder="this one",
            max_bytes=10**6,
            disk_room=lambda: None,
        )
        yield Province(url, ledger, forwarder, watcher, upstream)
        forwarder.stop()
        forwarder.run()  # ends its link and gives the lease back


def _rules(upstream: Upstream) -> Rulebook:
    behind = {id_: Participant(id_, "省平台", "province", upstream=upstream.name) for id_ in REMOTE}
    return world.rulebook(participants={**world.participants(), **behind}, upstreams={upstream.name: upstream})


def test_copies_arrive_in_order(province: Province) -> None:
    """One of each lane a pass, until nothing waits; the routing key is the recipient."""
    province.declare()
    province.record("A1", "B1", "A2", "A3")
    province.step(4)
    assert province.received() == ["A1", "B1", "A2", "A3"]
    assert province.watcher.standing.state is State.CLOSED


def test_a_broker_that_is_away_opens_the_breaker_and_spends_no_attempt(province: Province) -> None:
    """Five failures; then nothing is tried until the pause is over, and one canary closes it."""
    rabbit.shared().manage("DELETE", "vhosts", province.url.rpartition("/")[2])
    province.record("A1", "A2", "B1")
    province.step(ENOUGH)
    assert province.watcher.standing.state is State.OPEN
    assert not any(province.watcher.fates)
    rabbit.shared().vhost(province.url.rpartition("/")[2])
    province.declare()
    province.step()
    assert province.received() == []
    province.step(seconds=61)
    assert province.received() == ["A1"]
    assert province.watcher.standing == Standing(State.CLOSED, "", None, province.watcher.now, 1, 0.0)
    province.step(2)
    assert province.received() == ["A2", "B1"]


def test_a_missing_exchange_opens_it_at_once_and_says_so(province: Province) -> None:
    """404 closes the channel: no second attempt, the reason for the operator."""
    province.record("A1", "B1")
    province.step()
    assert province.watcher.standing.state is State.OPEN
    assert "404" in province.watcher.standing.reason
    province.declare()
    province.step(2, seconds=61)
    assert sorted(province.received()) == ["A1", "B1"]


def test_a_missing_permission_opens_it_at_once_and_says_so(province: Province) -> None:
    """403: the user may not write there."""
    province.declare()
    vhost = province.url.rpartition("/")[2]
    province.record("A1")
    rabbit.shared().manage("PUT", "permissions", vhost, "guest", configure=".*", write="^nothing$", read=".*")
    province.step()
    assert province.watcher.standing.state is State.OPEN
    assert "403" in province.watcher.standing.reason
    rabbit.shared().manage("PUT", "permissions", vhost, "guest", configure=".*", write=".*", read=".*")
    province.step(seconds=61)
    assert province.received() == ["A1"]


def test_a_returned_copy_waits_with_its_lane_and_others_pass(province: Province) -> None:
    """No binding for one of them: that lane waits, the others go on; it drains once bound."""
    province.declare()
    province.admin(lambda c: c.queue_unbind(QUEUE, EXCHANGE))
    province.record("A1", "A2")
    province.step()
    assert [[fate for _, fate in fates] for fates in province.watcher.fates] == [[Fate.RETURNED]]
    province.admin(lambda c: c.queue_bind(QUEUE, EXCHANGE))
    province.record("B1")
    province.step(3)
    assert province.received() == ["B1"]
    province.step(2, seconds=11)
    assert province.received() == ["A1", "A2"]


def test_a_full_queue_is_nacked_and_opens_the_breaker_without_reordering(province: Province) -> None:
    """Nothing overtakes: what was nacked comes first once there is room."""
    province.declare(**{"x-max-length": 1})
    province.record("A1", "A2", "A3")
    province.step(20, seconds=11)
    assert Fate.REFUSED in {fate for fates in province.watcher.fates for _, fate in fates}
    assert "nacked" in province.watcher.standing.reason
    came = province.received()
    for _ in range(40):
        province.step(seconds=61)
        came += province.received()
    assert list(dict.fromkeys(came)) == ["A1", "A2", "A3"]


def test_an_alarm_that_blocks_is_told_and_outlived_on_the_same_link(province: Province) -> None:
    """Blocked publishers are unknown, not failed: the same ids again when the alarm is over."""
    province.declare()
    province.record("Z1")
    province.step()
    assert province.received() == ["Z1"]
    node = rabbit.shared()
    node.ctl("set_vm_memory_high_watermark", "0.0000001")
    try:
        province.record("A1", "A2")
        province.step(2, seconds=6)
        assert "alarm" in province.watcher.standing.reason
    finally:
        node.ctl("set_vm_memory_high_watermark", "0.4")
    for _ in range(5):
        province.step(seconds=61)
    assert list(dict.fromkeys(province.received())) == ["A1", "A2"]


def test_a_message_that_the_upstream_never_takes_blocks_its_lane_alone(province: Province) -> None:
    """What closes the channel by itself (406) is found by the canary and set back; the others pass."""
    province.declare()
    node = rabbit.shared()
    province.record("A1")
    big = replace(accepted("BIG", to=(PROVINCE,)), lane="BIG", body=b"x" * 300_000)
    big = replace(big, copies=tuple(replace(c, body=big.body) if c.kind is Kind.MESSAGE else c for c in big.copies))
    record(province.ledger, big, remote=REMOTE)
    province.record("B1", "B2")
    node.ctl("eval", "application:set_env(rabbit, max_message_size, 200000).")
    try:
        for _ in range(8):
            province.step(seconds=2)
        assert sorted(set(province.received())) == ["A1", "B1", "B2"]
    finally:
        node.ctl("eval", "application:set_env(rabbit, max_message_size, 134217728).")
    province.step(3, seconds=700)
    assert province.received() == ["BIG"]


def test_a_queue_of_the_upstream_that_hangs_blocks_nobody_else(province: Province) -> None:
    """Its process stands still before the forwarder first sends to it; later it gets what it missed."""
    province.declare_for(PROVINCE, PORT)
    province.record("A1", "B1")
    province.record("C1", "D1", to=PORT)
    with rabbit.shared().hanging(province.url.rpartition("/")[2], PROVINCE):
        province.step(4, seconds=5)  # both without a word, then each alone
        assert province.received(PORT) == ["C1", "D1"]
        province.record("C2", "E1", to=PORT)
        province.step(2, seconds=5)
        assert province.received(PORT) == ["C2", "E1"]
        assert province.watcher.standing.state is State.CLOSED
    province.step(4, seconds=700)
    assert list(dict.fromkeys(province.received(PROVINCE))) == ["A1", "B1"]


def test_an_upstream_that_nobody_is_behind_is_sent_nothing(province: Province, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that only messages are taken from."""
    province.declare()
    province.record("A1")
    rules = world.rulebook(upstreams={"province": province.upstream})
    monkeypatch.setattr(province.forwarder, "_rules", lambda: rules)
    province.step(2)
    assert province.received() == []


def test_only_the_holder_of_the_lease_forwards(province: Province) -> None:
    """A second forwarder stands by, and goes on where the first one died."""
    province.declare()
    province.record("A1", "A2")
    province.step()
    with open_backlog(f"sqlite:///{_path(province)}") as backlog:
        second = Forwarder(
            "province",
            lambda upstream: Outlet(Server(province.url), 2, upstream.exchange),
            backlog,
            lambda: _rules(province.upstream),
            province.watcher,
            lambda: province.watcher.now,
            holder="the other",
            max_bytes=10**6,
            disk_room=lambda: None,
        )
        second.step()
        assert province.received() == ["A1"]
        province.watcher.now += timedelta(seconds=16)
        second.step()
        assert province.received() == ["A2"]
        second.stop()
        second.run()


def test_a_clock_that_is_set_back_costs_neither_the_lease_nor_time(province: Province) -> None:
    """An hour ahead, with the breaker open; then right: it holds its lease anew, tries at once, and tells."""
    province.watcher.now += timedelta(hours=1)
    province.record("A1")
    province.step(ENOUGH)
    assert province.watcher.standing.since == NOW + timedelta(hours=1)
    province.declare()
    province.watcher.now -= timedelta(hours=1)
    province.step(2)
    assert province.received() == ["A1"]
    assert province.watcher.standing.state is State.CLOSED
    with open_backlog(f"sqlite:///{_path(province)}") as other:
        assert other.hold("province", "other", NOW, 15) is None
        assert other.hold("province", "other", province.watcher.now + timedelta(seconds=16), 15) is not None


def _path(province: Province) -> str:
    return str(province.ledger._engine.url.database)


def test_after_an_outage_live_traffic_does_not_wait_for_the_backlog(province: Province) -> None:
    """With 3 to 1, a message that comes after the recovery is sent with the first batch, not the last."""
    province.record(*(f"{chr(65 + n % 26)}{'x' * (n // 26)}1" for n in range(260)))
    province.step(1)
    assert province.watcher.standing.state is State.OPEN
    province.declare()
    province.step(seconds=61)  # the canary
    province.record("LIVE1")
    province.step()
    first = province.received()
    assert "LIVE1" in first
    assert len(first) == 1 + 100
    province.step(3)
    assert len(province.received()) == 260 - 100
    province.step(seconds=6)
    assert province.watcher.standing.pace > 0
