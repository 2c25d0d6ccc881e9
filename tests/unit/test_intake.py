"""Several sources as one, and the gate before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from swexchange.core.model import Delivery
from swexchange.core.watermark import Watermarks
from swexchange.worker import GATE, Gate, InTurn


@dataclass
class Heap:
    """A source that has what it is given."""

    bodies: list[bytes]
    acknowledged: list[int] = field(default_factory=list)
    closed: bool = False

    def take(self, max_messages: int, max_bytes: int, wait: float) -> Sequence[Delivery]:
        taken, self.bodies = self.bodies[:max_messages], self.bodies[max_messages:]
        return [Delivery(tag, "", body) for tag, body in enumerate(taken, 1)]

    def ack_through(self, tag: int) -> None:
        self.acknowledged.append(tag)

    def close(self) -> None:
        self.closed = True


def _nap(seconds: float) -> None:
    raise AssertionError("there is something to wait for")


def test_sources_take_turns_and_acknowledgements_go_where_the_batch_came_from() -> None:
    """A busy queue does not starve another; tags of one link never reach the other."""
    busy, calm = Heap([b"a1", b"a2", b"a3", b"a4"]), Heap([b"b1"])
    both = InTurn([busy, calm], _nap)
    came = []
    while batch := both.take(2, 100, 0.1):
        came.append([delivery.body for delivery in batch])
        both.ack_through(batch[-1].tag)
    assert sorted(came) == [[b"a1", b"a2"], [b"a3", b"a4"], [b"b1"]]
    assert came.index([b"b1"]) < 2
    assert (busy.acknowledged, calm.acknowledged) == ([2, 2], [1])
    both.close()
    assert busy.closed
    assert calm.closed


def test_without_sources_it_rests() -> None:
    """An upstream that sends nothing costs no processor."""
    naps: list[float] = []
    assert InTurn([], naps.append).take(1, 1, 0.5) == ()
    assert naps == [0.5]


def test_the_gate_looks_now_and_then_and_keeps_its_marks() -> None:
    """Closed at the high mark, open again at the low one; between two looks nothing is asked."""
    now, owed, asked = [0.0], [0], []

    def count(most: int) -> int:
        asked.append(most)
        return owed[0]

    gate = Gate(Watermarks(10, 5, 0, 1), count, lambda: None, lambda: now[0])
    assert gate.closed() == ""
    owed[0] = 10
    assert gate.closed() == ""
    for waiting, closed in ((10, True), (6, True), (5, False), (9, False)):
        now[0] += GATE
        owed[0] = waiting
        assert bool(gate.closed()) is closed
    assert asked == [10] * 5


def test_the_gate_sees_the_disk() -> None:
    """It closes for want of disk as well."""
    gate = Gate(Watermarks(10, 5, 10**9, 2 * 10**9), lambda most: 0, lambda: 10**8, lambda: 1.0)
    assert "disk" in gate.closed()
