"""The few AMQP 0-9-1 frames of which there are many: publish out; deliver, return, ack and nack in.

Pure: bytes in, values out. Everything else on a connection is left to pika, whose own encoder
and decoder these agree with byte for byte (a test compares them). They exist for speed: pika
builds several objects and calls several callbacks for each frame.
Source: AMQP 0-9-1 specification, 2.3 (framing), 4.2 (frames), 1.8 (class basic).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

METHOD, HEADER, BODY = 1, 2, 3
END = b"\xce"
OVERHEAD = 8  # bytes of a frame beside its payload
BASIC = 60
PUBLISH, RETURN, DELIVER, ACK, NACK = 40, 50, 60, 80, 120
MANDATORY = 1
PERSISTENT = b"\x02"
SHORT_MAX = 255  # bytes of a short string
MOST_BODY = 512 * 1024 * 1024  # bytes of a message: RabbitMQ's own limit cannot be set higher

_FRAME = struct.Struct(">BHI")  # type, channel, payload size
_HEADER = struct.Struct(">BHIHHQH")  # the same, class, weight, body size, property flags
_METHOD_ID = struct.Struct(">HH")
_TAG = struct.Struct(">QB")
_SIZE = struct.Struct(">Q")
_LONG = struct.Struct(">I")
_FLAGS = struct.Struct(">H")

# Property flags in wire order, with the width of the value: 0 = short string, -1 = table.
_PROPERTIES = (
    (0x8000, "content_type", 0),
    (0x4000, "content_encoding", 0),
    (0x2000, "headers", -1),
    (0x1000, "delivery_mode", 1),
    (0x0800, "priority", 1),
    (0x0400, "correlation_id", 0),
    (0x0200, "reply_to", 0),
    (0x0100, "expiration", 0),
    (0x0080, "message_id", 0),
    (0x0040, "timestamp", 8),
    (0x0020, "type", 0),
    (0x0010, "user_id", 0),
    (0x0008, "app_id", 0),
    (0x0004, "cluster_id", 0),
)
_ALWAYS = 0x1000 | 0x0040  # delivery_mode, timestamp


class FrameError(ValueError):
    """The byte stream is not AMQP: the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish: persistent and mandatory always; '' leaves a property out.

    Texts longer than 255 bytes are cut, as AMQP has no room for more; routing names must fit.
    """

    exchange: str  # '' = the default exchange, whose routing keys are queue names
    routing_key: str
    body: bytes
    message_id: str = ""
    type: str = ""
    correlation_id: str = ""
    content_type: str = "application/xml"
    app_id: str = "swexchange"
    headers: tuple[tuple[str, str], ...] = ()  # names and texts
    user_id: str = ""  # checked by the broker: must be the user of the connection


class Delivered(NamedTuple):
    """One message that came to a consumer; `properties` is read by `read_properties`."""

    tag: int
    redelivered: bool
    exchange: str
    properties: bytes
    body: bytes


class Returned(NamedTuple):
    """One published message that found no queue."""

    exchange: str
    routing_key: str
    message_id: str


class Confirm(NamedTuple):
    """The broker's word on published messages: on `tag`, or on all through it."""

    tag: int
    multiple: bool
    positive: bool


class Frame(bytes):
    """Any other frame, whole, for pika."""


Event = Delivered | Returned | Confirm | Frame


def encode(message: Message, channel: int, frame_max: int, timestamp: int) -> list[bytes]:
    """The frames of one basic.publish, in pieces to be joined; `timestamp` in seconds since 1970."""
    flags, properties = _properties(message, timestamp)
    body = message.body
    head = _HEADER.pack(HEADER, channel, 14 + len(properties), BASIC, 0, len(body), flags)
    pieces = [_publish(channel, message.exchange, message.routing_key), head, properties, END]
    room = frame_max - OVERHEAD
    for start in range(0, len(body), room):
        chunk = body if len(body) <= room else body[start : start + room]
        pieces += (_FRAME.pack(BODY, channel, len(chunk)), chunk, END)
    return pieces


@lru_cache(maxsize=4096)
def _publish(channel: int, exchange: str, routing_key: str) -> bytes:
    arguments = b"\x00\x00" + _name(exchange) + _name(routing_key) + bytes((MANDATORY,))
    payload = _METHOD_ID.pack(BASIC, PUBLISH) + arguments
    return _FRAME.pack(METHOD, channel, len(payload)) + payload + END


def _properties(message: Message, timestamp: int) -> tuple[int, bytes]:
    flags = _ALWAYS
    value = b""
    if message.content_type:
        flags |= 0x8000
        value += _cached_short(message.content_type)
    if message.headers:
        flags |= 0x2000
        value += _table(message.headers)
    value += PERSISTENT
    if message.correlation_id:
        flags |= 0x0400
        value += _short(message.correlation_id)
    if message.message_id:
        flags |= 0x0080
        value += _short(message.message_id)
    value += _SIZE.pack(timestamp)
    if message.type:
        flags |= 0x0020
        value += _cached_short(message.type)
    if message.user_id:
        flags |= 0x0010
        value += _cached_short(message.user_id)
    if message.app_id:
        flags |= 0x0008
        value += _cached_short(message.app_id)
    return flags, value


def _short(text: str) -> bytes:
    data = text.encode(errors="replace")
    if len(data) > SHORT_MAX:
        data = data[:SHORT_MAX].decode(errors="ignore").encode()
    return bytes((len(data),)) + data


_cached_short = lru_cache(maxsize=1024)(_short)


def _name(text: str) -> bytes:
    data = text.encode()
    if len(data) > SHORT_MAX:
        raise ValueError(f"an exchange or queue name is at most {SHORT_MAX} bytes: {text[:40]}…")
    return bytes((len(data),)) + data


def _table(headers: tuple[tuple[str, str], ...]) -> bytes:
    entries = b""
    for name, text in headers:
        data = text.encode(errors="replace")
        entries += _cached_short(name) + b"S" + _LONG.pack(len(data)) + data
    return _LONG.pack(len(entries)) + entries


def read_properties(raw: bytes) -> dict[str, bytes]:
    """The short-string properties by name, undecoded; {} where the bytes do not parse."""
    found: dict[str, bytes] = {}
    try:
        at = 2
        for name, width in _present(_FLAGS.unpack_from(raw)[0]):
            if width == 0:
                end = at + 1 + raw[at]
                found[name] = raw[at + 1 : end]
                at = end
            else:
                at += width if width > 0 else 4 + _LONG.unpack_from(raw, at)[0]
    except (struct.error, IndexError):
        return {}
    return found


@lru_cache(maxsize=256)
def _present(flags: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, width) for bit, name, width in _PROPERTIES if flags & bit)


class FrameReader:
    """Splits what comes in on one connection into events; keeps the incomplete rest for the next feed."""

    def __init__(self, channel: int, frame_max: int) -> None:
        self._channel, self._frame_max = channel, frame_max
        self._rest = b""
        self._method: tuple[int, bytes] | None = None  # id and arguments, while its body is to come
        self._properties = b""
        self._missing = 0  # bytes of the body
        self._body = bytearray()  # however small the frames in which it comes

    def feed(self, data: bytes) -> list[Event]:
        """All events that are complete with these bytes, in order."""
        if self._rest:
            data = self._rest + data
        events: list[Event] = []
        start, end = 0, len(data)
        while end - start >= OVERHEAD:
            kind, channel, size = _FRAME.unpack_from(data, start)
            after = start + OVERHEAD + size
            if after > end:
                if size > self._frame_max:  # waited for, it would never end, and heartbeats would say all is well
                    raise FrameError(f"a frame of {size} bytes is larger than was agreed")
                break
            if data[after - 1] != 0xCE:
                raise FrameError("a frame does not end where its size says")
            ours = channel == self._channel
            event = self._event(kind, data, start, after) if ours else Frame(data[start:after])
            if event is not None:
                events.append(event)
            start = after
        self._rest = data[start:]
        return events

    def _event(self, kind: int, data: bytes, start: int, after: int) -> Event | None:
        if self._method is None:
            return self._on_method(kind, data, start, after)
        if kind == BODY:
            self._body += data[start + 7 : after - 1]
            self._missing -= after - start - OVERHEAD
        elif kind == HEADER:
            self._properties = data[start + 19 : after - 1]
            self._missing = _SIZE.unpack_from(data, start + 11)[0]
            if self._missing > MOST_BODY:  # believed, its body would be kept until no memory is left
                raise FrameError(f"a message of {self._missing} bytes is larger than any of RabbitMQ's")
        else:
            raise FrameError("a method came before the body of the last one was complete")
        return self._content(*self._method) if self._missing <= 0 else None

    def _on_method(self, kind: int, data: bytes, start: int, after: int) -> Event | None:
        if kind != METHOD:
            raise FrameError(f"a frame of type {kind} came without its method")
        class_id, method = _METHOD_ID.unpack_from(data, start + 7)
        if class_id == BASIC and method in (DELIVER, RETURN):
            self._method = (method, data[start + 11 : after - 1])
            return None
        if class_id == BASIC and method in (ACK, NACK):
            tag, bits = _TAG.unpack_from(data, start + 11)
            return Confirm(tag, bool(bits & 1), method == ACK)
        return Frame(data[start:after])

    def _content(self, method: int, arguments: bytes) -> Event:
        body = bytes(self._body)
        self._method, self._body = None, bytearray()
        if method == DELIVER:
            return _delivered(arguments, self._properties, body)
        return _returned(arguments, self._properties)


def _delivered(arguments: bytes, properties: bytes, body: bytes) -> Delivered:
    at = 1 + arguments[0]  # past the consumer tag
    tag, redelivered = _TAG.unpack_from(arguments, at)
    size = arguments[at + 9]
    exchange = arguments[at + 10 : at + 10 + size].decode(errors="replace")
    return Delivered(tag, bool(redelivered & 1), exchange, properties, body)


def _returned(arguments: bytes, properties: bytes) -> Returned:
    at = 3 + arguments[2]  # past reply code and text
    exchange, at = _read_short(arguments, at)
    routing_key, at = _read_short(arguments, at)
    message_id = read_properties(properties).get("message_id", b"")
    return Returned(exchange, routing_key, message_id.decode(errors="replace"))


def _read_short(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(errors="replace"), end
