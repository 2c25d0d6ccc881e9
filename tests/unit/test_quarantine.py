"""Who is charged with the death of a worker: the message it had in hand alone, and no neighbour."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest

from swexchange.core.model import Decision, Delivery
from swexchange.core.rulebook import Rulebook
from swexchange.decider import DecideAll, decide_each
from swexchange.errors import StoreDown
from swexchange.quarantine import ANOTHER_DECIDES, DEATHS, Quarantine
from tests.world import NOW, declared, rulebook

RULES = rulebook()
FIRST, KILLER, LAST = (replace(declared(f"MSG-{n}"), tag=n, redelivered=True) for n in (1, 2, 3))
FIRST_DIGEST, KILLER_DIGEST, LAST_DIGEST = (hashlib.sha256(d.body).digest() for d in (FIRST, KILLER, LAST))


class Killed(BaseException):
    """The worker is no more."""


class Notes:
    """The notes of all workers, in memory; counts what was written."""

    def __init__(self) -> None:
        self.of: dict[str, tuple[frozenset[bytes], int]] = {}  # by worker: what it decides, and which note of one alone
        self.writes = 0

    def worker(self, name: str) -> NotesOfOne:
        return NotesOfOne(self, name)


class NotesOfOne:
    def __init__(self, notes: Notes, name: str) -> None:
        self.notes, self.name = notes, name

    def begin_together(self, digests: Collection[bytes]) -> set[bytes]:
        self.notes.writes += 1
        self.notes.of[self.name] = (frozenset(digests), 0)
        return {d for name, (noted, _) in self.notes.of.items() if name != self.name for d in noted & set(digests)}

    def begin_alone(self, digest: bytes) -> set[tuple[str, int]]:
        self.notes.writes += 1
        self.notes.of[self.name] = (frozenset([digest]), self.notes.writes)
        others = ((name, *note) for name, note in self.notes.of.items() if name != self.name)
        return {(name, turn) for name, noted, turn in others if turn and digest in noted}

    def end(self) -> None:
        self.notes.of.pop(self.name, None)

    def forget(self, digest: bytes) -> None:
        left = {name: (noted - {digest}, turn) for name, (noted, turn) in self.notes.of.items()}
        self.notes.of = {name: note for name, note in left.items() if note[0]}


def deadly_over(*killers: Delivery) -> DecideAll:
    def deadly(deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
        if {d.body for d in deliveries} & {killer.body for killer in killers}:
            raise Killed
        return decide_each(deliveries, rules, now)

    return deadly


DEADLY = deadly_over(KILLER)


def batch_of(
    worker: str,
    notes: Notes,
    deliveries: Sequence[Delivery],
    decide_all: DecideAll = DEADLY,
    sleep: Callable[[float], object] = lambda _: None,
) -> list[Decision]:
    return Quarantine(decide_all, notes.worker(worker), sleep)(deliveries, RULES, NOW)


def test_the_one_over_which_workers_die_is_held_and_its_neighbours_are_decided() -> None:
    """After a death in company and two that are its own alone; the decisions stand in the order of the deliveries."""
    notes, batch = Notes(), (FIRST, KILLER, LAST)
    for death in range(1 + DEATHS):
        with pytest.raises(Killed):
            batch_of(f"worker {death}", notes, batch)
    decisions = batch_of("survivor", notes, batch)
    assert [d.code for d in decisions] == ["0000", "4301", "0000"]
    assert [d.body for d in decisions] == [d.body for d in batch]
    assert decisions[1].findings[0].detail == "2 workers died while deciding it"
    assert {noted for noted, _ in notes.of.values()} == {frozenset([KILLER_DIGEST])}


def test_several_killers_of_one_batch_are_found_one_after_the_other() -> None:
    """Also one that nobody suspected before: while it is decided with the rest, the rest is noted."""
    notes = Notes()
    for death in range(1 + DEATHS):
        with pytest.raises(Killed):
            batch_of(f"worker {death}", notes, (FIRST, KILLER))
    second = replace(declared("MSG-4"), tag=4, redelivered=True)
    batch = (second, FIRST, KILLER, LAST)
    for death in range(1 + DEATHS):
        with pytest.raises(Killed):
            batch_of(f"later {death}", notes, batch, deadly_over(KILLER, second))
    decisions = batch_of("survivor", notes, batch, deadly_over(KILLER, second))
    assert [d.code for d in decisions] == ["4301", "0000", "4301", "0000"]


def test_whoever_is_killed_in_company_is_charged_with_nothing() -> None:
    """Workers killed from outside over the same batch again and again: suspects are decided, and free again."""
    notes = Notes()
    for day in range(5):
        notes.worker(f"killed on day {day}").begin_together([FIRST_DIGEST, LAST_DIGEST])
        decided = batch_of("next", notes, (FIRST, LAST), sleep=lambda _: pytest.fail("nobody is waited for"))
        assert [d.code for d in decided] == ["0000", "0000"]
        assert not notes.of


def test_the_same_bytes_in_one_batch_have_one_decision() -> None:
    """Redelivered, and sent once more: the second copy kills nobody, and the record gets no two answers at one time."""
    notes = Notes()
    for death in range(DEATHS):
        with pytest.raises(Killed):
            batch_of(f"worker {death}", notes, (KILLER,))
    waited: list[float] = []
    more = [replace(KILLER, tag=n, redelivered=n % 2 == 0) for n in range(10, 20)]
    decisions = batch_of("survivor", notes, (FIRST, *more), sleep=waited.append)
    assert [d.code for d in decisions] == ["0000"] + ["4301"] * 10
    assert waited == [ANOTHER_DECIDES]


def test_held_bytes_that_come_again_are_held_at_once() -> None:
    """What is known to kill kills no second pair of workers."""
    notes = Notes()
    for death in range(DEATHS):
        with pytest.raises(Killed):
            batch_of(f"worker {death}", notes, (KILLER,))
    for later in range(2):
        (decision,) = batch_of(f"survivor {later}", notes, (KILLER,))
        assert decision.code == "4301"


def test_a_worker_that_is_killed_by_chance_charges_nobody_for_long() -> None:
    """A note left on an innocent message is gone as soon as it is decided: deaths do not add up over days."""
    notes = Notes()
    for day in range(5):
        notes.worker(f"killed on day {day}").begin_alone(FIRST_DIGEST)
        (decision,) = batch_of("next", notes, (FIRST,))
        assert decision.code == "0000"
        assert not notes.of


@pytest.mark.parametrize("what", ["are done", "have the same bytes once more"])
def test_workers_that_live_are_waited_for_and_count_as_no_death(what: str) -> None:
    """Several workers with the same bytes at one moment: the last gives the others time to be done."""
    notes = Notes()
    others = [notes.worker(f"other {n}") for n in range(DEATHS)]
    for other in others:
        other.begin_alone(FIRST_DIGEST)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        assert "second" not in notes.of  # else the others, waiting too, would take it for dead
        for other in others:
            other.end() if what == "are done" else other.begin_alone(FIRST_DIGEST)

    (decision,) = batch_of("second", notes, (FIRST,), sleep=sleep)
    assert decision.code == "0000"
    assert waited == [ANOTHER_DECIDES]


@pytest.mark.parametrize("batch", [(LAST,), (FIRST, LAST)])
def test_a_fault_in_the_middle_of_a_batch_charges_nobody(batch: Sequence[Delivery]) -> None:
    """Who met with trouble and lives withdraws its note with its next batch, whatever that holds."""
    notes = Notes()

    def failing(*_: object) -> list[Decision]:
        raise StoreDown("the database fails")

    decide = Quarantine(failing, notes.worker("worker"))
    for fresh in ((), (replace(FIRST, redelivered=False),)):
        with pytest.raises(StoreDown):
            decide(batch, RULES, NOW)
        assert notes.of
        with suppress(StoreDown):
            decide(fresh, RULES, NOW)
        assert not notes.of


def test_what_was_never_delivered_before_costs_no_note() -> None:
    """The ordinary batch is decided at once and together; in a mixed one only the redelivered are noted."""
    notes = Notes()
    fresh = [replace(d, redelivered=False) for d in (FIRST, LAST)]
    assert [d.code for d in batch_of("worker", notes, fresh)] == ["0000", "0000"]
    assert notes.writes == 0
    mixed = (fresh[0], replace(declared("MSG-9"), tag=9, redelivered=True), fresh[1])
    assert [d.message_id for d in batch_of("worker", notes, mixed)] == ["MSG-1", "MSG-9", "MSG-3"]
    assert notes.writes == 1
    assert not notes.of


def test_a_batch_that_comes_again_costs_one_note() -> None:
    """After a broker's restart: whatever it holds, it is noted at once and decided together."""
    notes, sizes = Notes(), []

    def counting(deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
        sizes.append(len(deliveries))
        return decide_each(deliveries, rules, now)

    batch = [replace(declared(f"MSG-{n}"), tag=n, redelivered=n > 0) for n in range(20)]
    assert [d.message_id for d in batch_of("worker", notes, batch, counting)] == [f"MSG-{n}" for n in range(20)]
    assert (notes.writes, sizes) == (1, [20])
    assert not notes.of
