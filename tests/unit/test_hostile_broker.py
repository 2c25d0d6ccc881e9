"""A broker that says what it must not say costs the link, never a message and never the memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from pika import frame, spec

from swexchange.broker import Intake, Outlet, Server, link
from swexchange.broker.frames import Delivered, FrameReader, Message
from swexchange.core.model import Fate
from swexchange.errors import BrokerLost
from tests.foe import Foe, Line, Published


@pytest.fixture
def foe() -> Iterator[Foe]:
    """A broker that is honest until told otherwise."""
    with Foe() as running:
        yield running


def _messages(count: int) -> list[Message]:
    return [Message("", "q", b"<a/>", message_id=f"m{n}") for n in range(count)]


def _outlet(foe: Foe, seconds: float = 2) -> Outlet:
    return Outlet(Server(foe.url, connect_seconds=2), seconds)


@pytest.mark.parametrize(("tag", "multiple"), [(10**6, True), (5, True), (5, False)])
def test_a_confirm_of_what_was_never_sent_confirms_nothing(
    foe: Foe, monkeypatch: pytest.MonkeyPatch, tag: int, multiple: bool
) -> None:
    """Of six messages at most four are on their way when the broker speaks of the fifth."""
    monkeypatch.setattr(link, "IN_FLIGHT", 4)

    def lie(line: Line, published: Published) -> None:
        if published.tag == 2:
            line.ack(tag, multiple=multiple)
            line.cut()

    foe.on_publish = lie
    with _outlet(foe) as outlet:
        fates: list[Fate] = []
        with suppress(BrokerLost):
            fates = outlet.publish_raw(_messages(6))
        assert Fate.CONFIRMED not in fates
        with pytest.raises(BrokerLost, match="was confirmed"):
            outlet.check()


def test_all_that_are_outstanding_are_those_that_were_sent(foe: Foe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tag 0 confirms at most the first four of six; for the others it takes another word."""
    monkeypatch.setattr(link, "IN_FLIGHT", 4)

    def once(line: Line, published: Published) -> None:
        if published.tag == 2:
            line.ack(0, multiple=True)

    foe.on_publish = once
    with _outlet(foe, 0.3) as outlet:
        assert outlet.publish_raw(_messages(6))[4:] == [Fate.UNKNOWN] * 2


def test_returns_of_what_nobody_sent_are_not_kept(foe: Foe) -> None:
    """They would fill the memory; the message that is under way is confirmed as ever."""

    def flood(line: Line, published: Published) -> None:
        for n in range(2_000):
            line.give_back(Published(0, f"stranger {n}", "", "q", b""))
        line.ack(published.tag)

    foe.on_publish = flood
    with _outlet(foe) as outlet:
        assert outlet.publish_raw(_messages(1)) == [Fate.CONFIRMED]
        assert not outlet._confirms._returned


@pytest.mark.parametrize("headers", [None, {"x": "y" * 2_000}])
def test_messages_without_a_body_are_held_back_too(
    foe: Foe, monkeypatch: pytest.MonkeyPatch, headers: dict[str, Any] | None
) -> None:
    """A broker that ignores the prefetch fills the buffer to its bound, not the memory."""
    monkeypatch.setattr(link, "BUFFER_BYTES", 1_000_000)

    def pour(line: Line) -> None:
        for tag in range(1, 30_000):
            line.deliver(tag, b"", headers=headers)

    foe.on_open = pour
    with Intake(Server(foe.url, connect_seconds=2), "q") as intake:
        assert intake._wait(lambda: intake._paused, 10)
        assert len(intake._buffer) < 10_000
        assert len(intake.take(5, 1, 1)) == 5


def test_a_body_in_crumbs_takes_the_memory_of_its_bytes() -> None:
    """Frames without a byte, a million of which may be sent for one message, leave nothing behind."""
    reader = FrameReader(1, 131_072)
    reader.feed(frame.Method(1, spec.Basic.Deliver("c", 1, False, "", "")).marshal())
    reader.feed(frame.Header(1, 2, spec.BasicProperties()).marshal())
    crumbs = frame.Body(1, b"").marshal() * 1000
    tracemalloc.start()
    for _ in range(100):
        reader.feed(crumbs)
    assert tracemalloc.get_traced_memory()[0] < 100_000
    tracemalloc.stop()
    (whole,) = reader.feed(frame.Body(1, b"a").marshal() + frame.Body(1, b"b").marshal())
    assert (whole.body if isinstance(whole, Delivered) else b"") == b"ab"


@pytest.mark.parametrize(("greets", "drip", "frame_max"), [(False, 0, 131_072), (True, 1, 131_072), (True, 0, 8)])
def test_who_never_gets_to_the_point_is_given_up(foe: Foe, greets: bool, drip: float, frame_max: int) -> None:
    """It takes the connection and says nothing, a byte a second, or has frames that no message fits in."""
    foe.greets, foe.drip, foe.frame_max = greets, drip, frame_max
    with pytest.raises(BrokerLost):
        _outlet(foe)
