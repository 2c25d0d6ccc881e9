"""The short way for frames says exactly what pika says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from swexchange.broker.frames import (
    Confirm,
    Delivered,
    Event,
    Frame,
    FrameError,
    FrameReader,
    Message,
    Returned,
    encode,
    read_properties,
)

CHANNEL, FRAME_MAX = 1, 131_072
WHEN = 1_772_415_000
texts = st.text(st.characters(codec="utf-8"), max_size=60)
bodies = st.one_of(st.binary(max_size=100), st.sampled_from([n * b"x" for n in (4087, 4088, 4089, 8176, 9000)]))
messages = st.builds(
    Message,
    exchange=texts,
    routing_key=texts,
    body=bodies,
    message_id=texts,
    type=texts,
    correlation_id=texts,
    content_type=texts,
    app_id=texts,
    user_id=texts,
    headers=st.lists(st.tuples(texts, texts), max_size=3, unique_by=lambda pair: pair[0]).map(tuple),
)


def _content(method: Any, properties: spec.BasicProperties, body: bytes, frame_max: int = 4096) -> bytes:
    """A method with its content as pika marshals it."""
    room = frame_max - 8
    parts = [body[n * room : (n + 1) * room] for n in range(math.ceil(len(body) / room))]
    frames = [frame.Method(CHANNEL, method), frame.Header(CHANNEL, len(body), properties)]
    return b"".join(f.marshal() for f in (*frames, *(frame.Body(CHANNEL, part) for part in parts)))


def _pika_properties(message: Message) -> spec.BasicProperties:
    return spec.BasicProperties(
        content_type=message.content_type or None,
        headers=dict(message.headers) or None,
        delivery_mode=2,
        correlation_id=message.correlation_id or None,
        message_id=message.message_id or None,
        timestamp=WHEN,
        type=message.type or None,
        user_id=message.user_id or None,
        app_id=message.app_id or None,
    )


@given(messages)
def test_a_publish_is_encoded_as_pika_does(message: Message) -> None:
    """Method, header with any of the properties, and body in any number of frames: the same bytes."""
    method = spec.Basic.Publish(exchange=message.exchange, routing_key=message.routing_key, mandatory=True)
    expected = _content(method, _pika_properties(message), message.body)
    assert b"".join(encode(message, CHANNEL, 4096, WHEN)) == expected


def test_a_text_longer_than_amqp_allows_is_cut_between_characters() -> None:
    """A correlation id of 300 bytes goes out as the most whole characters that 255 bytes hold."""
    pieces = b"".join(encode(Message("", "q", b"", correlation_id="单" * 100), CHANNEL, 4096, WHEN))
    header = frame.decode_frame(pieces[pieces.index(b"\xce") + 1 :])[1]
    assert header.properties.correlation_id == "单" * 85


def test_a_queue_name_longer_than_amqp_allows_is_an_error() -> None:
    """A cut routing key would reach another queue, so there is none."""
    with pytest.raises(ValueError, match="255"):
        encode(Message("", "q" * 256, b""), CHANNEL, 4096, WHEN)


def _stream() -> tuple[bytes, list[Event]]:
    """A stream as pika marshals it, and what it means."""
    properties = spec.BasicProperties(message_id="编号-1", type="DEC001", headers={"n": 1}, priority=3, timestamp=9)
    header = b"".join(properties.encode())
    heartbeat = frame.Heartbeat().marshal()
    cancel = frame.Method(CHANNEL, spec.Basic.Cancel("ctag")).marshal()
    foreign = frame.Method(2, spec.Basic.Ack(7)).marshal()
    stream = [
        _content(spec.Basic.Deliver("ctag1.x", 5, True, "swx.outbox.a", "rk"), properties, b"b" * 9000),
        heartbeat,
        _content(spec.Basic.Deliver("ctag1.x", 6, False, "", ""), spec.BasicProperties(), b""),
        frame.Method(CHANNEL, spec.Basic.Ack(9, multiple=True)).marshal(),
        frame.Method(CHANNEL, spec.Basic.Nack(10, multiple=False, requeue=False)).marshal(),
        foreign,
        _content(spec.Basic.Return(312, "NO_ROUTE", "ex", "swx.inbox.b"), properties, b"back"),
        cancel,
    ]
    events: list[Event] = [
        Delivered(5, True, "swx.outbox.a", header, b"b" * 9000),
        Frame(heartbeat),
        Delivered(6, False, "", b"\x00\x00", b""),
        Confirm(9, True, True),
        Confirm(10, False, False),
        Frame(foreign),
        Returned("ex", "swx.inbox.b", "编号-1"),
        Frame(cancel),
    ]
    return b"".join(stream), events


@given(st.lists(st.integers(1, 9500), max_size=20), st.booleans())
def test_the_stream_means_the_same_however_it_is_cut(cuts: list[int], drip: bool) -> None:
    """Whole, in any pieces or byte by byte, the reader finds the same events in the same order."""
    stream, expected = _stream()
    marks = range(1, len(stream)) if drip else sorted(c for c in cuts if c < len(stream))
    reader = FrameReader(CHANNEL, FRAME_MAX)
    found = [
        event
        for start, end in zip([0, *marks], [*marks, len(stream)], strict=True)
        for event in reader.feed(stream[start:end])
    ]
    assert found == expected


@given(messages)
def test_properties_are_read_as_pika_wrote_them(message: Message) -> None:
    """Every text property comes back; tables and numbers between them are stepped over."""
    found = read_properties(b"".join(_pika_properties(message).encode()))
    for name in ("message_id", "type", "correlation_id", "content_type", "app_id", "user_id"):
        assert found.get(name, b"").decode() == getattr(message, name)


@given(st.binary(max_size=80))
def test_no_properties_whatever_break_the_reading(raw: bytes) -> None:
    """Bytes that are no properties give texts or nothing, never an error."""
    assert all(isinstance(value, bytes) for value in read_properties(raw).values())


@pytest.mark.parametrize(
    "stream",
    [
        b"\x01\x00\x01\x00\x00\x00\x04\x00\x3c\x00\x50\x00",  # no frame end
        b"\x03\x00\x01\x7f\xff\xff\xff" + bytes(9),  # a frame of 2 GB, which would be waited for
        frame.Body(CHANNEL, b"x").marshal(),  # a body without a method
        # a body without end
        frame.Method(CHANNEL, spec.Basic.Deliver("c", 1, False, "", "")).marshal()
        + frame.Header(CHANNEL, 2**40, spec.BasicProperties()).marshal(),
        frame.Method(CHANNEL, spec.Basic.Deliver("c", 1, False, "", "")).marshal() * 2,  # no header between
    ],
)
def test_a_stream_that_is_not_amqp_is_an_error(stream: bytes) -> None:
    """The reader says so rather than guess, and the link ends."""
    with pytest.raises(FrameError):
        FrameReader(CHANNEL, FRAME_MAX).feed(stream)
