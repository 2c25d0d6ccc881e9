"""Hypothesis plays the schedule: any order of moves, and when one fails, the shortest it can find.

What must hold is checked after every move, and everything once more when the exchange has come to rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import booleans, integers, sampled_from

from swexchange.core.model import Fate
from swexchange.errors import BrokerLost, StoreDown
from tests.simulation.explore import folder
from tests.simulation.letters import letters
from tests.simulation.rest import come_to_rest
from tests.simulation.schedule import BROKER_POINTS, DEADLY, FATES, OF_THE_UPSTREAM, QUEUES
from tests.simulation.setting import opened
from tests.simulation.site import FORWARDERS, OPERATOR, SLOTS, Site
from tests.simulation.stage import Killed

QUICK = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
MOST_POINTS = 40  # that an actor passes in one move
LETTERS = sorted(name for name in letters() if name.endswith("0"))  # so few that they meet


class Exchange(RuleBasedStateMachine):
    """One exchange; a new one for each run."""

    site: ClassVar[Site]

    @initialize(workers=integers(1, 3), batch=integers(1, 4))
    def begin(self, workers: int, batch: int) -> None:
        self.site.begin(workers, batch)
        self.site.history.is_calm = False

    @rule(name=sampled_from(LETTERS), times=integers(1, 3))
    def submit(self, name: str, times: int) -> None:
        """Good, forged, conflicting, deadly; once or more often."""
        for _ in range(times):
            self.site.submit(letters()[name])

    @rule(slot=sampled_from(SLOTS), points=integers(1, 10))
    def work(self, slot: int, points: int) -> None:
        """A worker goes on, to a number of points."""
        self.site.start(slot)
        self._pass(f"worker {slot}", points)

    @rule(slot=sampled_from(SLOTS), name=sampled_from(LETTERS))
    def submit_and_work(self, slot: int, name: str) -> None:
        """One more message, and a worker goes on for some batches."""
        self.submit(name, 1)
        self.work(slot, MOST_POINTS)

    @rule(slot=sampled_from(SLOTS), where=sampled_from(DEADLY))
    def crash(self, slot: int, where: str) -> None:
        """A worker goes on until it stands there, and dies."""
        if self._reach(slot, where):
            self.site.go_on(f"worker {slot}", Killed())

    @rule(slot=sampled_from(SLOTS), where=sampled_from([p for p in DEADLY if p.startswith("store ")]))
    def database_fails(self, slot: int, where: str) -> None:
        if self._reach(slot, where):
            self.site.go_on(f"worker {slot}", StoreDown("the database fails"))

    @rule(slot=sampled_from(SLOTS), where=sampled_from(BROKER_POINTS))
    def broker_closes(self, slot: int, where: str) -> None:
        if self._reach(slot, where):
            self.site.go_on(f"worker {slot}", BrokerLost("RabbitMQ closed the connection"))

    @rule(slot=sampled_from(SLOTS))
    def links_are_lost(self, slot: int) -> None:
        self.site.lose_links(f"worker {slot}")

    @rule()
    def broker_down_or_up(self) -> None:
        broker = self.site.broker
        broker.stop() if broker.running else broker.start()

    @rule(fate=sampled_from(FATES), arrives=booleans())
    def copy_fails(self, fate: Fate, arrives: bool) -> None:
        self.site.broker.orders.append(fate)
        self.site.broker.unknown_arrives = arrives

    @rule(arrive=integers(0, 4))
    def publish_is_cut_off(self, arrive: int) -> None:
        self.site.broker.cut = arrive

    @rule()
    def acknowledgement_is_lost(self) -> None:
        self.site.broker.lost_acks = 1

    @rule(name=sampled_from(QUEUES))
    def queue_is_full_or_not(self, name: str) -> None:
        self.site.broker.full ^= {name}

    @rule(slot=sampled_from(FORWARDERS), points=integers(1, MOST_POINTS))
    def forward(self, slot: int, points: int) -> None:
        """A forwarder goes on."""
        self.site.forward(slot)
        self._pass(f"forwarder {slot}", points)

    @rule(slot=sampled_from(FORWARDERS), where=sampled_from(OF_THE_UPSTREAM))
    def forwarder_crashes(self, slot: int, where: str) -> None:
        self.site.forward(slot)
        if self._stands(f"forwarder {slot}", where):
            self.site.go_on(f"forwarder {slot}", Killed())

    @rule()
    def upstream_down_or_up(self) -> None:
        there = self.site.there
        there.stop() if there.running else there.start()

    @rule(fate=sampled_from(FATES))
    def forwarded_copy_fails(self, fate: Fate) -> None:
        self.site.there.orders.append(fate)

    @rule()
    def intake_is_held_back_or_not(self) -> None:
        self.site.held_back = "" if self.site.held_back else "full"

    @rule(number=integers(0, 3))
    def rules_change(self, number: int) -> None:
        self.site.edit(number)

    @rule(seconds=sampled_from((0.5, 2, 61, 700)))
    def time_passes(self, seconds: float) -> None:
        self.site.advance(seconds)

    @rule()
    def back_up(self) -> None:
        self.site.make_backup()

    @precondition(lambda self: self.site.backup_made is not None)
    @rule()
    def restore(self) -> None:
        self.site.restore()

    @rule(points=integers(1, MOST_POINTS))
    def release(self, points: int) -> None:
        self.site.release()
        self._pass(OPERATOR, points)

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        if self.site.actors:
            self.site.history.check()

    def teardown(self) -> None:
        """Everything comes to rest, and every promise is due."""
        if self.site.actors or self.site.links:
            come_to_rest(self.site)
            self.site.history.check_at_rest()

    def _pass(self, name: str, points: int) -> None:
        for _ in range(points):
            if name in self.site.actors:
                self.site.go_on(name)

    def _reach(self, slot: int, where: str) -> bool:
        """Whether this worker stands there, within a bounded number of points."""
        self.site.start(slot)
        return self._stands(f"worker {slot}", where)

    def _stands(self, name: str, where: str) -> bool:
        for _ in range(MOST_POINTS):
            actor = self.site.actors.get(name)
            if actor is None or actor.at == where:
                return actor is not None
            self.site.go_on(actor.name)
        return False


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with folder(tmp_path) as place, opened(place) as made:
        yield made


def test_every_promise_holds_whatever_is_done_in_whatever_order(site: Site) -> None:
    """Submit, duplicate, forge, crash, broker down and up, config edit, clock, restore, release."""
    Exchange.site = site
    run_state_machine_as_test(Exchange, settings=QUICK)
    reached = {name for name, times in site.sometimes.items() if times}
    assert {
        "answered from the record",
        "a message killed its worker",
        "an older database was restored",
        "a copy came twice",
        "two workers had the same message in hand",
        "a forwarded copy was confirmed",
    } <= reached
