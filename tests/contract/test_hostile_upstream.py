"""An upstream in bad hands: whatever it says, no copy is lost or called sent without its word, and lanes keep order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from swexchange.broker import Outlet, Server
from swexchange.core.breaker import State
from swexchange.core.model import Fate
from swexchange.core.rulebook import Participant, Rulebook, Upstream
from swexchange.store import FullLedger, migrate, open_backlog, open_ledger
from swexchange.upstream import Forwarder
from tests import world
from tests.contract.exchanges import accepted, record
from tests.contract.watcher import Watcher
from tests.foe import Foe, Line, Published, confirm

PROVINCE = "DXPGDP4400000001"
REMOTE = frozenset({PROVINCE})
UPSTREAM = Upstream("province", "to-province")
SECONDS = 0.3  # to wait for confirms


@dataclass
class Site:
    """Our store, a forwarder, and the foe in the province's place."""

    foe: Foe
    ledger: FullLedger
    forwarder: Forwarder
    watcher: Watcher

    def record(self, *numbers: str) -> None:
        """Accept messages for the province; one of A-2 has the lane A."""
        decisions = (replace(accepted(n, to=(PROVINCE,)), lane=n.partition("-")[0]) for n in numbers)
        record(self.ledger, *decisions, remote=REMOTE)

    def step(self, times: int = 1, seconds: float = 0) -> None:
        """Passes of the forwarder, each some time after the one before."""
        for _ in range(times):
            self.watcher.now += timedelta(seconds=seconds)
            self.forwarder.step()

    def sent(self) -> set[str]:
        """Numbers of the messages that are called sent."""
        fates = (pair for fates in self.watcher.fates for pair in fates)
        return {copy.correlation_id for copy, fate in fates if fate is Fate.CONFIRMED}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site whose upstream is honest until told otherwise."""
    database = f"sqlite:///{tmp_path}/store.db"
    migrate.upgrade(database)
    watcher = Watcher()
    with Foe() as foe, open_ledger(database) as ledger, open_backlog(database) as backlog:
        forwarder = Forwarder(
            "province",
            lambda upstream: Outlet(Server(foe.url, connect_seconds=2), SECONDS, upstream.exchange),
            backlog,
            _rules,
            watcher,
            lambda: watcher.now,
            holder="this one",
            max_bytes=10**6,
            disk_room=lambda: None,
        )
        yield Site(foe, ledger, forwarder, watcher)
        forwarder.stop()
        forwarder.run()


def _rules() -> Rulebook:
    behind = Participant(PROVINCE, "省平台", "province", upstream=UPSTREAM.name)
    return world.rulebook(participants={**world.participants(), PROVINCE: behind}, upstreams={UPSTREAM.name: UPSTREAM})


def test_one_copy_that_is_never_confirmed_holds_back_its_lane_alone(site: Site) -> None:
    """A queue behind the upstream has lost its quorum: what goes elsewhere does not wait for it each time."""
    site.record("STUCK-1", *(f"{lane}-{n}" for n in range(1, 20) for lane in "ABC"))
    site.foe.on_publish = lambda line, p: None if p.correlation_id == "STUCK-1" else line.ack(p.tag)
    site.step(25)
    assert len(site.sent()) == 57
    assert site.foe.connections <= 3, "each pass that waited for its confirm cost a connection"
    site.foe.on_publish = confirm
    site.step(2, seconds=600)
    assert "STUCK-1" in site.sent()


def test_a_slow_upstream_is_not_sent_the_same_again_and_again(site: Site) -> None:
    """It confirms thirty in time, whatever it gets: so it gets no hundred each time."""
    site.record(*(f"L{n}-1" for n in range(200)))

    def slowly(line: Line, published: Published) -> None:
        time.sleep(SECONDS / 30)
        line.ack(published.tag)

    site.foe.on_publish = slowly
    for _ in range(60):
        site.step(seconds=60)
        if len(site.sent()) == 200:
            break
    assert len(site.sent()) == 200
    assert len(site.foe.published) < 450, "it was sent some 600 when it got a hundred each time"
    site.foe.on_publish = confirm
    site.record(*(f"M{n}-1" for n in range(200)))
    site.step(12)
    assert len(site.sent()) == 400, "once it is quick, so is the forwarder"


@dataclass
class Rogue:
    """Does anything at all, by chance; remembers which messages it took."""

    chance: random.Random
    took: set[str] = field(default_factory=set)
    held: list[tuple[Line, Published]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, line: Line, published: Published) -> None:
        tricks: list[tuple[int, Callable[[Line, Published], object]]] = [
            (50, self._take),
            (8, lambda line, p: line.nack(p.tag)),
            (8, self._give_back),
            (8, lambda line, p: self.held.append((line, p))),  # a word later, or never
            (6, self._all_held),
            (3, lambda line, p: line.ack(p.tag + 7)),
            (3, lambda line, p: line.ack(0)),
            (2, lambda line, p: line.close_channel(self.chance.choice([311, 404, 406, 541]))),
            (2, lambda line, p: line.cut()),
            (2, lambda line, p: line.nack(p.tag, multiple=True)),
            (2, lambda line, p: line.write(b"\x08\x00\x00\x00\x00\x00\x00\xce" * 100)),
            (1, lambda line, p: line.write(b"\xce" * 50)),
        ]
        weights, actions = zip(*tricks, strict=True)
        self.chance.choices(actions, weights)[0](line, published)

    def _take(self, line: Line, published: Published) -> None:
        self.took.add(published.message_id)
        line.ack(published.tag)

    def _give_back(self, line: Line, published: Published) -> None:
        line.give_back(published, UPSTREAM.exchange)
        line.ack(published.tag)

    def _all_held(self, line: Line, published: Published) -> None:
        """Out of order, and on lines that may be gone."""
        self.chance.shuffle(self.held)
        for old, one in self.held:
            self._take(old, one)
        self.held.clear()
        self._take(line, published)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_it_says_every_copy_arrives_in_order_and_none_is_called_sent_without_its_word(
    site: Site, seed: int
) -> None:
    """Nacks, returns, late and wrong confirms, ended channels and lines, noise; then it comes to its senses."""
    numbers = [f"{lane}-{n:02d}" for n in range(12) for lane in ("A", "B", "C", "D", "E")]
    site.record(*numbers)
    rogue = Rogue(random.Random(seed))
    site.foe.on_publish = rogue
    site.step(40, seconds=20)
    ids = {p.correlation_id: p.message_id for p in site.foe.published}
    assert {ids[number] for number in site.sent()} <= rogue.took
    site.foe.on_publish = confirm
    for _ in range(80):
        site.step(seconds=61)
        if len(site.sent()) == len(numbers):
            break
    assert site.sent() == set(numbers)
    first = list(dict.fromkeys(p.correlation_id for p in site.foe.published))
    for lane in "ABCDE":
        assert [n for n in first if n.startswith(lane)] == [n for n in numbers if n.startswith(lane)]
    assert site.watcher.standing.state is State.CLOSED
    assert not site.watcher.faults
