"""The two links to RabbitMQ: `Intake` takes messages from a queue, `Outlet` publishes with confirms.

Each has a connection of its own, since an alarm of the broker blocks a publishing one. A lost
link raises BrokerLost at every later call and is never revived: the caller makes a new one, so
an old delivery tag never reaches a new channel. Retry and backoff are the caller's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial

from swexchange.broker.confirms import Confirms
from swexchange.broker.connection import Link
from swexchange.broker.frames import (
    Confirm,
    Delivered,
    Event,
    Message,
    Returned,
    encode,
    read_properties,
)
from swexchange.broker.server import Server
from swexchange.broker.topology import queue, submitter
from swexchange.core.model import Copy, Delivery, Fate, Properties
from swexchange.crashpoint import crashpoint
from swexchange.errors import BrokerLost, Unconfirmed

PREFETCH = 600  # unacknowledged messages: a batch in work, and the next ones already here
BUFFER_BYTES = 64 * 1024 * 1024  # of messages not taken yet, after which reading pauses
DELIVERED_BYTES = 500  # about, of a message beside its body and properties
CONFIRM_SECONDS = 30
WRITE_BYTES = 128 * 1024  # of frames joined into one write
IN_FLIGHT = 1000  # messages handed over before the confirms of the ones before are waited for
IN_FLIGHT_BYTES = 16 * 1024 * 1024


class Consumer(Link):
    """Messages of one queue, in its order, each to be acknowledged."""

    def __init__(self, server: Server, queue: str, prefetch: int = PREFETCH) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._buffer: deque[Delivered] = deque()
        self._bytes = 0  # of the messages in the buffer
        self._paused = False
        super().__init__(server, "swexchange intake")

    def ack_through(self, tag: int) -> None:
        """Acknowledge this delivery and all taken before it. Raises BrokerLost."""
        self.check()
        self._call(partial(self._ack, tag))

    def _take(self, max_messages: int, max_bytes: int, wait: float) -> list[Delivered]:
        self._wait(lambda: bool(self._buffer), wait)
        self.check()
        return self._cut(max_messages, max_bytes)

    def _cut(self, max_messages: int, max_bytes: int) -> list[Delivered]:
        taken: list[Delivered] = []
        size = 0
        with self._changed:
            while self._buffer and len(taken) < max_messages:
                size += len(self._buffer[0].body)
                if taken and size > max_bytes:
                    break
                taken.append(self._buffer.popleft())
            self._bytes -= sum(map(_size, taken))
            if self._paused and self._bytes <= BUFFER_BYTES:
                self._paused = False
                self._call(self._connection.resume)
        return taken

    def _start(self) -> None:
        self._channel.add_on_cancel_callback(self._on_cancel)
        self._channel.basic_qos(prefetch_count=self._prefetch, callback=self._consume)

    def _consume(self, _frame: object) -> None:
        self._channel.basic_consume(self._queue, _unexpected, callback=self._set_ready)

    def _on_cancel(self, _frame: object) -> None:
        self._give_up(
            BrokerLost(
                f"RabbitMQ ended the consumer of queue {self._queue}",
                where=self._where,
                do="The queue was deleted or has moved; on our own broker `swexchange topology apply` declares it",
            )
        )

    def _on_events(self, events: list[Event]) -> None:
        arrived = [event for event in events if isinstance(event, Delivered)]
        if not arrived:
            return
        with self._changed:
            self._buffer.extend(arrived)
            self._bytes += sum(map(_size, arrived))
            self._changed.notify()
            if self._bytes > BUFFER_BYTES and not self._paused:
                self._paused = True
                self._call(self._connection.pause)  # after this read, which sets its own watchers

    def _ack(self, tag: int) -> None:
        if self._channel.is_open:
            self._channel.basic_ack(tag, multiple=True)


class Intake(Consumer):
    """The daemon's consumer. `sender`: whose messages the queue brings; '' = the exchange they came through says it."""

    def __init__(self, server: Server, queue: str, prefetch: int = PREFETCH, sender: str = "") -> None:
        self._sender = sender
        super().__init__(server, queue, prefetch)

    def take(self, max_messages: int, max_bytes: int, wait: float) -> list[Delivery]:
        """The messages that are here: wait up to `wait` seconds for the first, never for more.

        At most `max_bytes` of bodies, but always one message when there is one; [] when none
        came. Raises BrokerLost.
        """
        return [_delivery(raw, self._sender) for raw in self._take(max_messages, max_bytes, wait)]


class Outlet(Link):
    """Publishes persistent, mandatory messages and waits for the broker's word on each.

    Copies go to the queues of their participants, or to `exchange` with the participant as routing key.
    """

    def __init__(self, server: Server, confirm_seconds: float = CONFIRM_SECONDS, exchange: str = "") -> None:
        self._exchange = exchange
        self._confirm_seconds = confirm_seconds
        self._next_tag = 1
        self._confirms = Confirms(1, ())
        self._enough = 0  # open confirms at which the waiting caller wakes
        self._blocked = False
        super().__init__(server, "swexchange outlet")

    def publish(self, copies: Sequence[Copy]) -> list[Fate]:
        """Send copies; see `publish_raw`."""
        return self.publish_raw([_message(copy, self._exchange) for copy in copies])

    @property
    def blocked(self) -> bool:
        """Whether an alarm of the broker holds publishers back."""
        return self._blocked

    def publish_raw(self, messages: Sequence[Message]) -> list[Fate]:
        """Publish all, confirms in flight; one fate per message, in order.

        A message without a word when the link is lost, or when `confirm_seconds` pass without
        one, is UNKNOWN. Raises BrokerLost when the link was lost before, or before any word came.
        """
        self.check()
        with self._changed:
            self._confirms = confirms = Confirms(self._next_tag, messages)
        unsent = len(messages)
        for part in _parts(messages):
            if not self._await_room(unsent):
                break
            self._hand_over(part)
            unsent -= len(part)
        else:
            self._await_confirms(0)
        if messages and confirms.open == len(messages):
            self.check()
        return confirms.fates()

    def _await_room(self, unsent: int) -> bool:
        """True when the next part may go: few enough are in flight and the broker takes messages."""
        if not self._await_confirms(unsent + IN_FLIGHT // 2):
            return False
        return self._wait(lambda: not self._blocked, self._confirm_seconds) and self._lost is None

    def _await_confirms(self, enough: int) -> bool:
        """Wait until no more than `enough` are without a fate; False, and the link's end, when overdue."""
        self._enough = enough
        if self._wait(lambda: self._confirms.open <= enough, self._confirm_seconds):
            return self._lost is None
        if not self._blocked:  # a blocked broker may go on with this link later
            what = f"RabbitMQ did not confirm within {self._confirm_seconds:g} seconds: {self._confirms.overdue()}"
            do = "Check its load, and whether these queues have a leader"
            self._fail(Unconfirmed(what, where=self._where, do=do))
            self._call(self._shut)
        return False

    def _hand_over(self, messages: Sequence[Message]) -> None:
        """Give frames to the I/O thread, a few large writes at a time."""
        with self._changed:
            self._next_tag += len(messages)
            self._confirms.hand_over(len(messages))
        now = int(time.time())
        channel, frame_max = self._channel.channel_number, self._connection.params.frame_max
        pieces: list[bytes] = []
        size = 0
        for message in messages:
            pieces += encode(message, channel, frame_max, now)
            size += len(message.body)
            if size > WRITE_BYTES:
                self._send([b"".join(pieces)])
                pieces, size = [], 0
            crashpoint("copy-handed-over")
        if pieces:
            self._send([b"".join(pieces)])

    def _start(self) -> None:
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._channel.confirm_delivery(_unexpected, callback=self._set_ready)

    def _on_blocked(self, *_: object) -> None:
        self._set_blocked(True)

    def _on_unblocked(self, *_: object) -> None:
        self._set_blocked(False)

    def _set_blocked(self, blocked: bool) -> None:
        with self._changed:
            self._blocked = blocked
            self._changed.notify_all()

    def _on_events(self, events: list[Event]) -> None:
        with self._changed:
            for event in events:
                if isinstance(event, Confirm):
                    self._confirms.on_confirm(event)
                elif isinstance(event, Returned):
                    self._confirms.on_returned(event)
            if self._confirms.open <= self._enough:
                self._changed.notify_all()


def _unexpected(*_: object) -> None:
    raise AssertionError("a frame that the reader takes came through pika")


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Slices of half of what may be in flight, by number and bytes."""
    start = size = 0
    for index, message in enumerate(messages):
        size += len(message.body)
        if index - start == IN_FLIGHT // 2 or (size > IN_FLIGHT_BYTES // 2 and index > start):
            yield messages[start:index]
            start, size = index, len(message.body)
    if start < len(messages):
        yield messages[start:]


def _message(copy: Copy, exchange: str) -> Message:
    replay = (("swx-replay", copy.replay),) if copy.replay else ()
    return Message(
        exchange=exchange,
        routing_key=copy.to if exchange else queue(copy.kind, copy.to),
        body=copy.body,
        message_id=copy.id,
        type=copy.type,
        correlation_id=copy.correlation_id,
        headers=(("swx-exchange", copy.exchange_id), *replay),
    )


def _size(raw: Delivered) -> int:
    """Bytes of memory: what has no body takes some too, and a broker that ignores the prefetch may send any number."""
    return len(raw.body) + len(raw.properties) + DELIVERED_BYTES


def _delivery(raw: Delivered, sender: str) -> Delivery:
    found = read_properties(raw.properties)
    properties = Properties(
        message_id=_clean(found.get("message_id", b"")),
        type=_clean(found.get("type", b"")),
        content_type=_clean(found.get("content_type", b"")),
        user_id=_clean(found.get("user_id", b"")),
    )
    return Delivery(raw.tag, sender or submitter(raw.exchange), raw.body, properties, raw.redelivered)


def _clean(raw: bytes) -> str:
    """A claim as harmless text: no control or formatting characters, at most 255 characters."""
    text = raw.decode(errors="replace")
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())
