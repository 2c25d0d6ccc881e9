"""The load: a thread that sends a mix at a steady rate, one message at a time, and writes the history.

It sends as a careful integrator does: mandatory, with confirms, and after no answer the same
bytes again; now and then it gives up, as a program does that is ended.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pika
from pika.exceptions import AMQPError, NackError, UnroutableError

from tests.chaos.history import History
from tests.chaos.proxy import Proxy
from tests.chaos.traffic import Message, Mix

PATIENCE = 8.0  # seconds without a confirm after which the sender cuts its line
GIVES_UP = 0.3  # share of messages without an answer that are not sent again


class Sender:
    """Sends until stopped; `line` is its own way to the broker."""

    def __init__(self, url: str, line: Proxy, mix: Mix, history: History, rate: float, seed: str) -> None:
        parts = urlsplit(url)
        self._url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{line.port}").geturl()
        self._line, self._mix, self._history = line, mix, history
        self.rate = rate  # messages per second; 0 = none
        self._random = random.Random(seed)
        self._posted: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._busy_since = 0.0
        self._ended_by: Exception | None = None
        self._connection: Any = None
        self._channel: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def post(self, messages: Sequence[Message]) -> None:
        """Send these too, before the mix goes on."""
        for one in messages:
            self._posted.put(one)

    def flush(self) -> None:
        """Wait until everything posted was attempted."""
        while not self._posted.empty() and self._thread.is_alive():
            time.sleep(0.02)

    def stop(self) -> None:
        """Send what was posted, finish the message in hand, and end. Raises what ended it before."""
        self._stopping.set()
        self._thread.join()
        self._disconnect()
        if self._ended_by is not None:
            raise self._ended_by

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - `stop` raises it
            self._ended_by = error

    def _send_all(self) -> None:
        due = time.monotonic()
        while not (self._stopping.is_set() and self._posted.empty()):
            if not self._posted.empty():
                self._send(self._posted.get())
            elif (rate := self.rate) and time.monotonic() >= due:  # once: another thread sets it
                self._send(self._mix.next())
                due = max(due + 1 / rate, time.monotonic() - 0.5)  # what an outage delayed comes no faster
            else:
                time.sleep(0.004)

    def _send(self, message: Message) -> None:
        while not self._attempt(message):
            if self._stopping.is_set() or self._random.random() < GIVES_UP:
                return
            time.sleep(0.2)

    def _attempt(self, message: Message) -> bool:
        self._history.invoke(message.input)
        try:
            self._busy_since = time.monotonic()
            if self._channel is None or not self._channel.is_open:
                self._connect()
            self._publish(message)
        except UnroutableError:
            self._history.fail(message.input, "returned")
            return False
        except (AMQPError, NackError, OSError, ValueError) as error:  # pika: ValueError for a reset while connecting
            self._history.info(message.input, type(error).__name__)
            self._disconnect()
            return False
        finally:
            self._busy_since = 0.0
        self._history.ok(message.input)
        if message.input.expect == "claims" and not message.input.answers and not message.input.lane:
            self._mix.known.append(message)
        return True

    def _publish(self, message: Message) -> None:
        properties = pika.BasicProperties(
            **{
                "delivery_mode": 2,
                "message_id": message.input.message_id or None,
                "content_type": "application/xml",
                **(message.properties or {}),
            }
        )
        exchange = f"swx.outbox.{message.input.submitter}"
        self._channel.basic_publish(exchange, "", message.body, properties, mandatory=True)

    def _connect(self) -> None:
        self._disconnect()
        parameters = pika.URLParameters(self._url)
        parameters.heartbeat = 10
        parameters.socket_timeout, parameters.stack_timeout = 5, 8
        parameters.blocked_connection_timeout = 5
        self._connection = pika.BlockingConnection(parameters)
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def _disconnect(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None and connection.is_open:
            with suppress(AMQPError, OSError):
                connection.close()

    def _watch(self) -> None:
        """pika waits for a confirm without end; the sender does not."""
        while self._thread.is_alive():
            since = self._busy_since
            if since and time.monotonic() - since > PATIENCE:
                self._line.cut()
            time.sleep(0.5)
