"""A seed makes a schedule: who goes on, who dies, what breaks and what is sent, in which order."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from swexchange.broker.topology import inbox, receipts
from swexchange.core.model import Fate
from swexchange.errors import BrokerLost, StoreDown
from tests.simulation.letters import NUMBERS, letters
from tests.simulation.rest import come_to_rest
from tests.simulation.site import CAME, FORWARDERS, SLOTS, TOPOLOGY, Site
from tests.simulation.stage import Killed
from tests.world import CUSTOMS, ENTERPRISE

MOVES = 50
AGAIN_AND_AGAIN = 0.5  # how often the point of a schedule kills
RELEASES = 0.5  # of those that end with a held message: it is released, and all comes to rest again
CALM = 0.1  # of all schedules: nothing goes wrong, so order is promised
UPWARD = 0.15  # of all schedules: about the upstream too, beside those whose point is
MOVES_BACK = 0.2  # of these, with what waits for the upstream
AWAY = 60  # points of a forwarder: enough for the failures that open a breaker
STRETCHES = (1, 1, 2, 6, 14)  # points that an actor passes in one move
OFTEN = ("the rules change", "time passes")  # in every schedule that is not calm

QUEUES = (inbox(CUSTOMS), receipts(ENTERPRISE))
FATES = (Fate.REFUSED, Fate.RETURNED, Fate.UNKNOWN)
BROKER_POINTS = ("take", "ack", "publish", "connect", "upstream connect", "upstream publish")
OF_THE_FORWARDER = ("store begin match", "store match made", "matched", "due", "resent", "store mark")
AT_THE_UPSTREAM = (
    "one more forwarder",
    "the upstream stops or starts",
    "the upstream is full or has room",
    "the upstream has a queue or none",
    "an alarm at the upstream, or its end",
    "a forwarded copy is not confirmed",
    "a forward is cut off",
    "the way to the upstream is lost",
)
OF_THE_UPSTREAM = (
    "store hold", "store take", "upstream connect", "upstream publish", "forwarded", "store settle upward",
    "store settle upward made",
)  # fmt: skip
DEADLY = (
    "taken", "deciding", "store note many", "store noted many", "store note", "store noted", "store note end",
    "waiting for a note", "decided",
    "store begin", "reconciled", "recorded", "store committing", "store commit made", "committed",
    "publish", "published", "store settle", "store settle made", "settled", "ack", "acknowledged",
    "lock wait", *OF_THE_FORWARDER, *OF_THE_FORWARDER, *OF_THE_UPSTREAM,
)  # fmt: skip


class Schedule:
    """One run of a site under the choices of a seed."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site, self._seed, self._random = site, seed, Random(seed)

    def run(self) -> None:
        """Begin, move, come to rest; everything is checked on the way. Raises AssertionError."""
        choose = self._random
        calm = choose.random() < CALM
        self._site.begin(1 if calm else choose.choice((1, 2, 2, 3)), choose.randint(1, 4))
        self._all_troubles = self._troubles_of(self._site)
        self._site.history.is_calm = calm
        self._site.edit(choose.choice((0, 0, 1, 2)))
        # Some die here and there; most at one point again and again, so that each point has its turn.
        self._deaths = 0 if calm else choose.choice((0.0, 0.01))
        self._deadly = "" if calm else DEADLY[self._seed % len(DEADLY)]
        self._faults = 0 if calm else choose.choice((0, 0.02, 0.1))
        # Few kinds of trouble at a time reach further than all at once.
        self._troubles = [] if calm else choose.sample(sorted(self._all_troubles), choose.randint(1, 5))
        if self._deadly in OF_THE_FORWARDER:
            self._site.broker.full.update(QUEUES)
            self._troubles += ["time passes", "time passes"]
        # Few letters, so that they meet: repeats, conflicts, answers to what was sent.
        numbers = tuple(str(n) for n in choose.sample(NUMBERS, choose.randint(1, 2)))
        known = [name for name in letters() if name.endswith(numbers) and not (calm and letters()[name].kills)]
        self._letters = choose.sample(known, choose.randint(3, len(known)))
        self._is_upward = not calm and (self._deadly in OF_THE_UPSTREAM or choose.random() < UPWARD)
        if self._is_upward:
            self._letters += [name for name in known if letters()[name].lane] * 2
            self._troubles += ["time passes", *choose.sample(AT_THE_UPSTREAM, 3)]
            self._site.edit(0)  # with a way for them
        for _ in range(MOVES):
            self._move()
            self._site.history.check()
        if self._deadly in OF_THE_FORWARDER or self._is_upward:
            self._let_time_pass()
        if self._is_upward:
            self._be_away()
        self._come_to_rest()
        if self._random.random() < RELEASES and self._site.history.held():
            self._site.release()
            self._come_to_rest()

    def _let_time_pass(self) -> None:
        """What is owed falls due several times while trouble lasts."""
        for _ in range(6):
            self._site.advance(61)
            for _ in range(4):
                self._go_on()
                self._site.history.check()

    def _be_away(self) -> None:
        """The upstream fails until its breaker opens, and is there again while time passes."""
        self._site.there.stop()
        for _ in range(AWAY):
            self._site.forward(0)
            self._site.go_on("forwarder 0")
        self._site.there.start()
        if self._random.random() < MOVES_BACK:
            self._all_troubles["the province moves"]()
        self._let_time_pass()

    def _come_to_rest(self) -> None:
        come_to_rest(self._site)
        self._site.history.check_at_rest()

    def _move(self) -> None:
        chance = self._random.random()
        if chance < 0.12 and self._letters:
            self._site.submit(letters()[self._random.choice(self._letters)])
        elif chance < 0.22 and self._troubles:
            name = self._random.choice((*self._troubles, *OFTEN))
            self._site.tell(name)
            self._all_troubles[name]()
        else:
            self._go_on()

    def _go_on(self) -> None:
        running = sorted(self._site.actors)
        if not running:
            self._site.start(self._random.choice(SLOTS))
            return
        name = self._random.choice(running)
        # Now a single step, now a stretch: others cut in anywhere, yet much gets done.
        for _ in range(self._random.choice(STRETCHES)):
            self._site.go_on(name, self._order(self._site.actors[name].at))
            if name not in self._site.actors:
                break
        else:
            return
        self._site.replace(name)

    def _order(self, at: str) -> BaseException | None:
        """What befalls one who stands there."""
        if self._random.random() < (AGAIN_AND_AGAIN if at == self._deadly else self._deaths):
            return Killed()
        if self._random.random() < self._faults:
            if at.startswith("store "):
                return StoreDown("the database fails")
            if at in BROKER_POINTS:
                return BrokerLost("RabbitMQ closed the connection", code=self._random.choice((0, 0, 404)))
        return None

    def _troubles_of(self, site: Site) -> dict[str, Callable[[], object]]:
        choose, broker, there = self._random, site.broker, site.there
        return {
            "the broker stops or starts": lambda: broker.stop() if broker.running else broker.start(),
            "a queue is full or has room": lambda: broker.full.symmetric_difference_update({choose.choice(QUEUES)}),
            "a queue is missing": lambda: self._delete(choose.choice(QUEUES)),
            "the queues are declared": lambda: broker.declare(TOPOLOGY),
            "a copy is not confirmed": lambda: broker.orders.append(choose.choice(FATES)),
            "a copy arrives unconfirmed": self._half_known,
            "an acknowledgement is lost": lambda: setattr(broker, "lost_acks", 1),
            "a publish is cut off": lambda: setattr(broker, "cut", choose.randint(0, 3)),
            "links are lost": lambda: site.lose_links(f"worker {choose.choice(SLOTS)}"),
            "the rules change": lambda: site.edit(choose.choice((0, 0, 1, 2))),
            "time passes": lambda: site.advance(choose.choice((0.5, 2, 61, 700))),
            "backup or restore": lambda: site.make_backup() if site.backup_made is None else site.restore(),
            "release": site.release,
            "one more worker": lambda: site.start(choose.choice(SLOTS)),
            "a worker is asked to end": lambda: site.ask_to_end(f"worker {choose.choice(SLOTS)}"),
            "the intake is held back or not": lambda: setattr(site, "held_back", "" if site.held_back else "full"),
            "one more forwarder": lambda: site.forward(choose.choice(FORWARDERS)),
            "the province moves": lambda: site.edit(3),
            "the upstream stops or starts": lambda: there.stop() if there.running else there.start(),
            "the upstream is full or has room": lambda: there.full.symmetric_difference_update({CAME}),
            "the upstream has a queue or none": lambda: site.bind(to_nothing=choose.random() < 0.5),
            "an alarm at the upstream, or its end": lambda: setattr(there, "blocked", not there.blocked),
            "a forwarded copy is not confirmed": lambda: there.orders.append(choose.choice(FATES)),
            "a forward is cut off": lambda: setattr(there, "cut", choose.randint(0, 2)),
            "the way to the upstream is lost": site.lose_way,
        }

    def _delete(self, name: str) -> None:
        if name in self._site.broker.queues and not self._site.broker.queues[name]:
            self._site.broker.delete(name)

    def _half_known(self) -> None:
        self._site.broker.orders.append(Fate.UNKNOWN)
        self._site.broker.unknown_arrives = True
