"""What a participant does: send to its own outbox, read its own queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pika.spec import BasicProperties

from swexchange.broker.frames import Delivered, Message
from swexchange.broker.link import Consumer
from swexchange.broker.topology import outbox


@dataclass(frozen=True, slots=True)
class Received:
    """A message from one of a participant's own queues."""

    tag: int  # for `Mailbox.ack_through`
    body: bytes
    redelivered: bool
    message_id: str
    type: str
    correlation_id: str  # of a receipt: the message it is about
    exchange_id: str  # the platform's number of the exchange
    timestamp: int  # seconds since 1970, when the platform sent it; 0 = unknown
    replay: str = ""  # the operator's replay that sent it; '' = ordinary traffic


class Mailbox(Consumer):
    """One of a participant's queues; `prefetch` bounds how many messages are held back from others."""

    def read(self, max_messages: int, max_bytes: int, wait: float) -> list[Received]:
        """As `Intake.take`, with the properties that the platform sets."""
        return [_received(raw) for raw in self._take(max_messages, max_bytes, wait)]


def submission(participant: str, body: bytes, message_id: str = "") -> Message:
    """A document as a message to the participant's own outbox, for `Outlet.publish_raw`."""
    return Message(outbox(participant), "", body, message_id=message_id, app_id="swexchange-client")


def submissions(participant: str, bodies: Sequence[bytes]) -> list[Message]:
    """Documents as messages to the participant's own outbox."""
    return [submission(participant, body) for body in bodies]


def _received(raw: Delivered) -> Received:
    properties = BasicProperties()
    properties.decode(raw.properties)
    headers = properties.headers or {}
    return Received(
        tag=raw.tag,
        body=raw.body,
        redelivered=raw.redelivered,
        message_id=properties.message_id or "",
        type=properties.type or "",
        correlation_id=properties.correlation_id or "",
        exchange_id=str(headers.get("swx-exchange", "")),
        timestamp=int(properties.timestamp or 0),
        replay=str(headers.get("swx-replay", "")),
    )
