"""The whole exchange in one process: real workers over a simulated broker and the real ledger, under a schedule.

Every move of the schedule is a method; time passes by `advance`, and by a tick at each look at the
clock. After each move `history.check` says what must hold at any moment; `rest.come_to_rest` brings
everything to the state where all promises are due. `setting.opened` makes a site.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from swexchange.broker import LastingOutlet
from swexchange.broker.frames import Message
from swexchange.broker.topology import INTAKE, Topology, outbox
from swexchange.core.model import Decision, Delivery, Fate
from swexchange.core.rulebook import Rulebook, Upstream
from swexchange.errors import BrokerLost, Fault
from swexchange.quarantine import Quarantine, release
from swexchange.store import Attempts, Backlog, FullLedger
from swexchange.upstream import Forwarder
from swexchange.worker import Links, Worker
from tests.simulation.broker import SimulatedBroker, SimulatedIntake, SimulatedOutlet
from tests.simulation.history import History
from tests.simulation.letters import UPSTREAM, Letter, decided, letters, rulebooks
from tests.simulation.stage import Actor, Killed, Stage
from tests.simulation.store import FaultyAttempts, FaultyBacklog, FaultyLedger
from tests.simulation.told import Told, ToldUpstream
from tests.world import NOW, participants

SLOTS, FORWARDERS = range(3), range(2)
CAME = "province"  # the queue at the upstream
OPERATOR = "operator"
TOPOLOGY = Topology(tuple(participants()))
TICK = 0.001  # seconds between two looks at the clock


@dataclass
class Site:
    """One exchange; `begin` makes it new. Counts in `sometimes` what really happened."""

    ledgers: Sequence[FullLedger]
    attempts: Sequence[Attempts]
    backlogs: Sequence[Backlog]
    raw: sqlite3.Connection  # past the store: to look, to copy
    stage: Stage
    empty: sqlite3.Connection
    sometimes: Counter[str] = field(default_factory=Counter)
    steps: int = 0  # of actors, in all runs
    names: Iterator[int] = field(default_factory=count)
    tell: Callable[[str], object] = lambda _: None  # who is told each move
    actors: dict[str, Actor] = field(default_factory=dict)

    def begin(self, workers: int = 1, batch: int = 3) -> None:
        """An empty exchange with so many workers."""
        self.stop_all()
        self.empty.backup(self.raw)
        self.broker = SimulatedBroker(point=self.stage.point)
        self.broker.declare(TOPOLOGY)
        self.there = SimulatedBroker(point=lambda name: self.stage.point(f"upstream {name}"))
        self.there.queues[CAME] = deque()
        self.bind()
        self.held_back = ""
        self.leader = ""
        self.workers: dict[str, Worker] = {}
        self.now, self.started = NOW, NOW
        self.rules: Rulebook = rulebooks()[0]
        self.killers = {letter.body for letter in letters().values() if letter.kills}
        self.batch = batch
        self.backup_made: sqlite3.Connection | None = None
        self.history = History(self.raw, self.broker, self.there.queues[CAME], self.sometimes)
        self.links: dict[str, tuple[SimulatedIntake, SimulatedOutlet]] = {}
        self.in_hand: dict[str, set[tuple[str, bytes]]] = {}
        self.noting: dict[str, bytes | None] = {}  # digests: what who decides alone
        for slot in range(workers):
            self.start(slot)
        self.forward(0)

    # -- workers and forwarders

    def start(self, slot: int) -> None:
        """A worker in this place, if there is none."""
        name = f"worker {slot}"
        if name not in self.actors:
            self.actors[name] = Actor(self.stage, name, lambda: self._work(name, slot))

    def forward(self, slot: int) -> None:
        """A forwarder in this place, if there is none."""
        name = f"forwarder {slot}"
        if name not in self.actors:
            self.actors[name] = Actor(self.stage, name, lambda: self._forward(name, self.backlogs[slot]))

    def replace(self, name: str) -> None:
        """Another in the place of one that has ended."""
        if name != OPERATOR:
            kind, _, slot = name.partition(" ")
            (self.start if kind == "worker" else self.forward)(int(slot))

    def go_on(self, name: str, order: BaseException | None = None) -> None:
        """One actor to its next point; an order befalls it where it stands."""
        actor = self.actors[name]
        self.steps += 1
        self.tell(f"{name} at {actor.at}{f': {order!r}' if order else ''}")
        if order and (digest := self.noting.get(name)):
            self.history.interrupted(digest)
        if isinstance(order, Killed):
            self.sometimes[f"killed at {actor.at}"] += 1
        elif order:
            self.sometimes[f"{type(order).__name__} at {actor.at}"] += 1
        actor.go_on(order)
        if actor.is_over:
            self._gone(name)

    def _gone(self, name: str) -> None:
        del self.actors[name]
        for known in (self.in_hand, self.noting, self.workers):
            known.pop(name, None)

    def _work(self, name: str, slot: int) -> None:
        # A new process has another name, and does not know who was behind an upstream.
        ledger, plain = self.ledgers[slot], self.attempts[slot]
        ledger._remote, plain._worker, plain._turn = None, f"{name}/{next(self.names)}", 0
        attempts = FaultyAttempts(plain, self.stage.point, lambda digest: self.noting.update({name: digest}))
        decide_all = Quarantine(lambda *batch: self._decide(name, *batch), attempts, lambda _: self._wait(name))
        self.workers[name] = Worker(
            lambda: self._connect(name), FaultyLedger(ledger, self.stage.point), self, Told(self, name), self._clock,
            max_messages=self.batch, max_bytes=10**9, decide_all=decide_all, held_back=lambda: self.held_back,
        )  # fmt: skip
        self.workers[name].run()
        self.sometimes["a worker ended when it was asked to"] += 1

    def _forward(self, name: str, backlog: Backlog) -> None:
        holder = f"{name}/{next(self.names)}"
        Forwarder(
            UPSTREAM.name, self._reach, FaultyBacklog(backlog, self.stage.point), self.current,
            ToldUpstream(self, holder), self._clock,
            holder=holder, max_bytes=10**9, disk_room=lambda: None,
        ).run()  # fmt: skip

    def _reach(self, upstream: Upstream) -> LastingOutlet:
        def outlet() -> Any:
            self.stage.point("upstream connect")
            return self.there.outlet(upstream.exchange)

        return LastingOutlet(outlet, renew_seconds=0)

    def _connect(self, name: str) -> Links:
        self.stage.point("connect")
        self.in_hand.pop(name, None)
        source = self.broker.intake(INTAKE, 2 * self.batch)

        def outlet() -> Any:
            made = self.broker.outlet()
            self.links[name] = source, made
            return made

        return Links(source, LastingOutlet(outlet, renew_seconds=0))

    def _decide(self, name: str, deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
        mine = {(d.submitter, d.body) for d in deliveries}
        if any(mine & others for other, others in self.in_hand.items() if other != name):
            self.sometimes["two workers had the same message in hand"] += 1
        self.in_hand[name] = mine
        self.stage.point("deciding")
        if self.killers.intersection(d.body for d in deliveries):
            self.sometimes["a message killed its worker"] += 1
            raise Killed
        return [decided(d, rules, now) for d in deliveries]

    def _wait(self, name: str) -> None:
        """The three seconds in which who lives is done with its note."""
        self.sometimes["waited for another's note"] += 1
        self.stage.point("waiting for a note")
        while any(other != name and self._is_deciding(other) for other in self.noting):
            self.stage.point("waiting for a note")

    def _is_deciding(self, name: str) -> bool:
        return bool(self.noting[name]) and self.actors[name].at not in ("pause", "connect", "take")

    def _clock(self) -> datetime:
        self.advance(TICK)
        return self.now

    def current(self) -> Rulebook:
        """The rules in force, as worker.Rules."""
        return self.rules

    # -- moves

    def submit(self, letter: Letter) -> None:
        """Somebody sends; what the broker confirms is ours to answer for."""
        if self.broker.running:
            self.tell(f"{letter.name} is sent")
            message = Message(outbox(letter.submitter), "", letter.body)
            orders, self.broker.orders = self.broker.orders, deque()  # these are for our own copies
            with self.broker.changed:
                assert self.broker.put(message) is Fate.CONFIRMED
            self.broker.orders = orders
            self.history.submitted(letter)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    def edit(self, number: int) -> None:
        """An admin changes the rules."""
        before, self.rules = self.rules, rulebooks()[number]
        if before.remote != self.rules.remote:
            self.history.has_moved = True
            self.sometimes["the province moved with copies on their way"] += bool(self.history.open()["copies queued"])

    def lose_links(self, name: str) -> None:
        """The broker takes a worker for dead, which goes on with what it has."""
        if name in self.links and self.links[name][0].lost is None:
            if self.in_hand.get(name):
                self.sometimes["the links ended while a batch was in hand"] += 1
            for link in self.links[name]:
                link.lose(BrokerLost("the connection was reset"))

    def lose_way(self) -> None:
        """The connection to the upstream is reset."""
        for link in list(self.there.links):
            link.lose(BrokerLost("the connection was reset"))

    def bind(self, *, to_nothing: bool = False) -> None:
        """Where the upstream's exchange leads."""
        self.there.bindings[UPSTREAM.exchange] = [] if to_nothing else [CAME]

    def ask_to_end(self, name: str) -> None:
        """A worker is to end once its batch is done, as by SIGTERM."""
        if name in self.workers:
            self.workers[name].stop()

    def make_backup(self) -> None:
        """Copy the database."""
        self.backup_made = sqlite3.connect(":memory:")
        self.raw.backup(self.backup_made)
        self.history.backup_made()

    def restore(self) -> None:
        """Everything stops, the database becomes that of the backup, everything starts."""
        if self.backup_made is None:
            return
        places = list(self.actors)
        self.stop_all()
        self.history.check()
        self.backup_made.backup(self.raw)
        self.history.restored()
        self.sometimes["an older database was restored"] += 1
        for name in places:
            self.replace(name)

    def release(self) -> None:
        """What kills is mended, and an operator releases the oldest held message, if there is one."""
        held = self.history.held()
        if held and OPERATOR not in self.actors:
            self.killers = set()
            self.actors[OPERATOR] = Actor(self.stage, OPERATOR, lambda: self._release(held[0]))

    def _release(self, message: Decision) -> None:
        try:
            with closing(self.broker.outlet()) as outlet:
                ledger = FaultyLedger(self.ledgers[-1], self.stage.point)
                Told(self, OPERATOR).batch(
                    release(message, "mended", self.rules, ledger, self.attempts[-1], outlet, self._clock)
                )
                self.sometimes["a held message was released"] += 1
        except Fault:
            self.sometimes["a release met with trouble"] += 1

    # -- the end

    def end_trouble(self) -> None:
        """All trouble ends, here and at the upstream."""
        self.broker.orders.clear()
        self.broker.full.clear()
        self.broker.lost_acks, self.broker.cut = 0, None
        self.broker.declare(TOPOLOGY)
        self.broker.start()
        self.there.orders.clear()
        self.there.full.clear()
        self.there.cut, self.there.blocked, self.held_back = None, False, ""
        self.bind()
        self.there.start()

    def stop_all(self) -> None:
        """Every process is gone."""
        for name in list(self.actors):
            self.actors[name].kill()
            self._gone(name)
