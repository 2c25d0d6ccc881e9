"""A RabbitMQ in bad hands: it speaks AMQP 0-9-1 well enough to be connected to, then does as a test tells it.

One thread per connection. What it does with a published message is a function of the test's, which
answers through the line, or not, or later, or with something that was never asked.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pika import frame, spec

FRAME_MAX = 131_072
CAPABILITIES = ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked")


@dataclass(frozen=True, slots=True)
class Published:
    """A message that somebody published."""

    tag: int  # its number on its channel, from 1
    message_id: str
    correlation_id: str
    routing_key: str
    body: bytes


@dataclass(eq=False)
class Line:
    """One connection, once it is open."""

    link: socket.socket
    channel: int = 1
    tag: int = 0  # of the last message published here
    consumer: str = ""
    writing: threading.Lock = field(default_factory=threading.Lock)

    def send(self, method: Any, channel: int | None = None) -> None:
        """A method; nothing once the connection has ended."""
        self.write(frame.Method(self.channel if channel is None else channel, method).marshal())

    def write(self, data: bytes) -> None:
        """Any bytes; nothing once the connection has ended."""
        with self.writing, contextlib.suppress(OSError):
            self.link.sendall(data)

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Confirm."""
        self.send(spec.Basic.Ack(tag, multiple))

    def nack(self, tag: int, *, multiple: bool = False) -> None:
        """Refuse."""
        self.send(spec.Basic.Nack(tag, multiple))

    def give_back(self, published: Published, exchange: str = "") -> None:
        """Return a message as unroutable; its confirm is a word of its own."""
        self.content(spec.Basic.Return(312, "NO_ROUTE", exchange, published.routing_key), published.message_id, b"")

    def deliver(self, tag: int, body: bytes, **properties: Any) -> None:
        """Bring a message to the consumer."""
        self.content(spec.Basic.Deliver(self.consumer, tag, False, "", ""), "", body, **properties)

    def content(self, method: Any, message_id: str, body: bytes, **properties: Any) -> None:
        """A method with its content."""
        about = spec.BasicProperties(message_id=message_id or None, **properties)
        frames = [frame.Method(self.channel, method), frame.Header(self.channel, len(body), about)]
        if body:
            frames.append(frame.Body(self.channel, body))
        self.write(b"".join(one.marshal() for one in frames))

    def close_channel(self, code: int = 541) -> None:
        """End the channel, as RabbitMQ does for an error."""
        self.send(spec.Channel.Close(code, "BECAUSE", 60, 40))

    def cut(self) -> None:
        """End the connection without a word."""
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)


def confirm(line: Line, published: Published) -> None:
    """What an honest broker does."""
    line.ack(published.tag)


class Foe:
    """Listens on 127.0.0.1. Its attributes may be changed while it runs; close it."""

    def __init__(self, on_publish: Callable[[Line, Published], object] = confirm) -> None:
        self.on_publish = on_publish
        self.on_open: Callable[[Line], object] = lambda _: None  # confirms are on, or a consumer is there
        self.greets = True  # else it takes connections and says nothing
        self.drip = 0.0  # seconds before each byte of its greeting
        self.frame_max = FRAME_MAX
        self.lets_go = True  # else it does not answer consumers who want to close
        self.published: list[Published] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"amqp://guest:guest@127.0.0.1:{self._listener.getsockname()[1]}/%2F"
        self._lines: list[Line] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            line.cut()

    def __enter__(self) -> Foe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self.connections += 1
                self._lines.append(Line(link))
                threading.Thread(target=self._serve, args=(self._lines[-1],), daemon=True).start()

    def _serve(self, line: Line) -> None:
        with line.link, contextlib.suppress(OSError):
            data = line.link.recv(8)
            if self.greets:
                self._greet(line)
            data = b""
            content: list[Any] = []
            while more := line.link.recv(1 << 20):
                data += more
                while data:
                    used, found = frame.decode_frame(data)
                    if found is None:
                        break
                    data = data[used:]
                    self._take(line, found, content)

    def _greet(self, line: Line) -> None:
        about = {"version": "3.10.8", "capabilities": dict.fromkeys(CAPABILITIES, True)}
        start = spec.Connection.Start(server_properties=about, mechanisms=b"PLAIN", locales=b"en_US")
        said = frame.Method(0, start).marshal()
        for piece in [said[n : n + 1] for n in range(len(said))] if self.drip else [said]:
            time.sleep(self.drip)
            line.write(piece)

    def _take(self, line: Line, found: Any, content: list[Any]) -> None:
        if isinstance(found, frame.Method) and not isinstance(found.method, spec.Basic.Publish):
            self._answer(line, found)
            return
        if isinstance(found, frame.Heartbeat):
            return
        content.append(found)
        size = sum(len(part.fragment) for part in content[2:])
        if len(content) < 2 or size < content[1].body_size:
            return
        method, head, *parts = content
        content.clear()
        line.tag += 1
        about = head.properties
        body = b"".join(part.fragment for part in parts)
        ids = about.message_id or "", about.correlation_id or ""
        self.published.append(Published(line.tag, *ids, method.method.routing_key, body))
        self.on_publish(line, self.published[-1])

    def _answer(self, line: Line, asked: Any) -> None:
        match asked.method:
            case spec.Connection.StartOk():
                line.send(spec.Connection.Tune(2047, self.frame_max, 60), 0)
            case spec.Connection.Open():
                line.send(spec.Connection.OpenOk(), 0)
            case spec.Channel.Open():
                line.channel = asked.channel_number
                line.send(spec.Channel.OpenOk())
            case spec.Confirm.Select():
                line.send(spec.Confirm.SelectOk())
                self.on_open(line)
            case spec.Basic.Qos():
                line.send(spec.Basic.QosOk())
            case spec.Basic.Consume():
                line.consumer = asked.method.consumer_tag
                line.send(spec.Basic.ConsumeOk(line.consumer))
                self.on_open(line)
            case spec.Channel.Close() | spec.Connection.Close() if line.consumer and not self.lets_go:
                pass
            case spec.Channel.Close():
                line.send(spec.Channel.CloseOk())
            case spec.Connection.Close():
                line.send(spec.Connection.CloseOk(), 0)
                line.cut()
