"""How a run of a replay goes: canary, order, rate, failures, a stop; against a stock and a sink in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest

from swexchange.core.model import Copy, Fate, Kind
from swexchange.core.replay import BEHIND, PRUNED, Done, Parcel
from swexchange.errors import BrokerLost
from swexchange.replay.run import Ending, Pace, Run
from tests import world

LANE = "integrator EntryId=1"


def parcel(seq: int, lane: str = "", copies: int = 1) -> Parcel:
    sent = (Copy(f"{seq}-{n}", Kind.MESSAGE, f"P{n}", "T", "", str(seq), b"") for n in range(copies))
    return Parcel(seq, str(seq), lane, tuple(sent))


@dataclass
class Memory:
    """Stock and sink at once; copies whose id stands in `fates` get that fate."""

    parcels: Sequence[Parcel]
    fates: dict[str, Fate] = field(default_factory=dict)
    claims: list[int] = field(default_factory=list)  # how many each time
    published: list[list[str]] = field(default_factory=list)
    replays: set[str] = field(default_factory=set)
    marked: dict[int, str] = field(default_factory=dict)
    lost_after: int = 1000  # publish calls until the broker is lost

    def claim(self, after: int, limit: int, now: datetime) -> Sequence[Parcel]:
        found = [p for p in self.parcels if p.seq > after and p.seq not in self.marked][:limit]
        self.claims.append(len(found))
        return found

    def mark(self, done: Sequence[Done], now: datetime) -> None:
        self.marked.update((one.parcel.seq, one.fate) for one in done)

    def publish(self, copies: Sequence[Copy]) -> Sequence[Fate]:
        if len(self.published) >= self.lost_after:
            raise BrokerLost("gone")
        self.published.append([copy.id for copy in copies])
        self.replays.update(copy.replay for copy in copies)
        return [self.fates.get(copy.id, Fate.CONFIRMED) for copy in copies]


def run(memory: Memory, **pace: object) -> Run:
    return Run("R1", memory, memory, lambda: world.NOW, lambda _: None, pace=Pace(**pace))  # type: ignore[arg-type]


def test_everything_goes_once_under_the_name_of_the_replay() -> None:
    """The canary first and alone, then the rest in full batches; every copy says which replay sends it."""
    memory = Memory([parcel(n, copies=2) for n in range(25)])
    assert run(memory, canary=3, together=10).go() is Ending.COMPLETE
    assert memory.claims == [3, 10, 10, 2, 0]
    assert sorted(i for ids in memory.published for i in ids) == sorted(f"{n}-{c}" for n in range(25) for c in (0, 1))
    assert set(memory.marked.values()) == {""}
    assert memory.replays == {"R1"}


def test_what_goes_to_an_upstream_is_not_published() -> None:
    """The stock queues it when the item is marked; an item of which nothing else is to be sent is done at once."""
    memory = Memory(
        [replace(parcel(0), copies=(), queued=parcel(0).copies), replace(parcel(1), queued=parcel(2).copies)]
    )
    assert run(memory).go() is Ending.COMPLETE
    assert memory.published == [["1-0"]]
    assert memory.marked == {0: "", 1: ""}


def test_what_was_pruned_is_not_sent_and_lets_nothing_overtake_it() -> None:
    """Its bytes lie in an archive: it fails by itself, and so does what stands behind it."""
    gone = replace(parcel(1, "L"), copies=(), pruned=True)
    memory = Memory([parcel(0), gone, parcel(2, "L"), parcel(3)])
    assert run(memory, canary=0, most_failed=1.0).go() is Ending.COMPLETE
    assert memory.marked == {0: "", 1: PRUNED, 2: BEHIND, 3: ""}
    assert sorted(i for ids in memory.published for i in ids) == ["0-0", "3-0"]


def test_a_canary_that_fails_ends_it() -> None:
    """Nothing but the canary was sent; what failed is said by its fate."""
    memory = Memory([parcel(n) for n in range(25)], {"1-0": Fate.RETURNED})
    assert run(memory, canary=3).go() is Ending.CANARY_FAILED
    assert memory.marked == {0: "", 1: "returned", 2: ""}


def test_the_canary_alone() -> None:
    """An operator may look before the rest; the next run goes on behind it."""
    memory = Memory([parcel(n) for n in range(25)])
    assert run(memory, canary=3, canary_only=True).go() is Ending.CANARY_DONE
    assert len(memory.marked) == 3
    assert run(memory).go() is Ending.COMPLETE
    assert len(memory.marked) == 25


def test_too_many_failures_end_it() -> None:
    """Few are borne, more than the share are not; an item fails with any of its copies."""
    fates = {f"{n}-1": Fate.REFUSED for n in range(60, 100)}
    memory = Memory([parcel(n, copies=2) for n in range(200)], fates)
    assert run(memory, together=20, most_failed=0.1).go() is Ending.FAILURES
    assert len([fate for fate in memory.marked.values() if fate == "refused"]) == 20 - (60 - 50) % 20
    few = Memory([parcel(n) for n in range(200)], {"150-0": Fate.UNKNOWN})
    assert run(few).go() is Ending.COMPLETE
    assert few.marked[150] == "unknown"


def test_late_failures_are_seen_soon() -> None:
    """Thousands that went well do not hide that nothing does now."""
    fates = {f"{n}-0": Fate.RETURNED for n in range(5000, 6000)}
    memory = Memory([parcel(n) for n in range(6000)], fates)
    assert run(memory, together=100).go() is Ending.FAILURES
    assert len(memory.marked) < 5200


def test_nothing_overtakes_in_its_lane() -> None:
    """Same lane: one after the other, and none after one that failed; others go on."""
    parcels = [parcel(0, LANE), parcel(1), parcel(2, LANE), parcel(3), parcel(4, LANE)]
    memory = Memory(parcels)
    assert run(memory, canary=0).go() is Ending.COMPLETE
    assert memory.published == [["0-0", "1-0", "3-0"], ["2-0"], ["4-0"]]
    failing = Memory([*parcels, parcel(5, LANE)], {"2-0": Fate.REFUSED})
    run(failing, canary=0, together=5, most_failed=1.0).go()
    assert failing.marked == {0: "", 1: "", 3: "", 2: "refused", 4: BEHIND, 5: BEHIND}
    assert [i for ids in failing.published for i in ids] == ["0-0", "1-0", "3-0", "2-0"]


def test_a_stop_finishes_what_is_in_hand() -> None:
    """What was claimed is sent and marked; nothing more is claimed."""
    memory = Memory([parcel(n) for n in range(50)])
    stopping = run(memory, canary=0, together=10)
    stopping.on_done = lambda _: stopping.stop()
    assert stopping.go() is Ending.ASKED
    assert sorted(memory.marked) == list(range(10))


def test_a_lost_broker_ends_it_with_the_rest_unmarked() -> None:
    """What was claimed and not confirmed is left for the next run."""
    memory = Memory([parcel(n) for n in range(50)], lost_after=2)
    with pytest.raises(BrokerLost):
        run(memory, canary=0, together=10).go()
    assert sorted(memory.marked) == list(range(20))


def test_a_rate_is_kept() -> None:
    """A tenth of a second's worth at a time, the canary too, and a wait before each that keeps the rate."""
    memory = Memory([parcel(n) for n in range(100)])
    waits: list[float] = []
    paced = run(memory, canary=5, rate=20)
    paced.wait = waits.append
    assert paced.go() is Ending.COMPLETE
    assert memory.claims == [2, 2, 1, *[2] * 47, 1, 0]
    # Nothing really waits here, so each wait is what the rate asks for from the start on.
    assert waits == sorted(waits)
    assert 4.9 < waits[-1] <= 5.0


def test_no_second_sees_more_than_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the first one, and none after a time in which nothing went: what is late is not caught up."""
    memory = Memory([parcel(n) for n in range(60)])
    now = [0.0]
    sent: list[float] = []
    monkeypatch.setattr("swexchange.replay.run.time.monotonic", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    def done(some: Sequence[Done]) -> None:
        sent.extend([now[0]] * len(some))
        now[0] += 5.0 if len(sent) == 20 else 0.0  # the broker was slow once

    paced = run(memory, canary=10, rate=10)
    paced.wait, paced.on_done = wait, done
    assert paced.go() is Ending.COMPLETE
    assert len(sent) == 60
    assert max(sum(at <= one < at + 0.999 for one in sent) for at in sent) == 10


def test_a_stop_while_it_waits_sends_nothing_more() -> None:
    """Nothing is claimed behind a wait that its operator ended."""
    memory = Memory([parcel(n) for n in range(50)])
    paced = run(memory, rate=10)

    def wait(seconds: float) -> None:
        if seconds:
            paced.stop()

    paced.wait = wait
    assert paced.go() is Ending.ASKED
    assert len(memory.marked) == 1
