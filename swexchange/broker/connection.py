"""One connection with one channel, and the one thread that runs them: a link that dies once.

pika's SelectConnection does the protocol; the frequent frames go past its objects through
`frames`. This relies on a few private names of pika 1.4 (see `LeanConnection`), so pika is
pinned below 1.5. Knows nothing of queues or messages: `link` builds on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop
from pika.frame import decode_frame

from swexchange.broker.frames import Event, Frame, FrameReader
from swexchange.broker.server import Server, explain, require_release
from swexchange.errors import BrokerLost

RECEIVE_BYTES = 256 * 1024  # at once; pika's own 4096 costs a system call and a turn of the lock each
CHANNEL_SECONDS = 10  # to open the channel and start, once connected
CLOSE_SECONDS = 5


class LeanConnection(pika.SelectConnection):  # type: ignore[misc]  # pika is not typed
    """pika's connection with a short way in and out for the frequent frames.

    Private names of pika used: `_on_data_available`, `_frame_buffer`, `_process_frame`,
    `_output_marshaled_frames`, `_transport` with `_MAX_RECV_BYTES`, `_sock`, `_nbio` and the
    readable actions. All methods belong to the I/O thread.
    """

    _reader: FrameReader | None = None
    _frame_buffer: bytes

    def shorten(self, channel: int, on_events: Callable[[list[Event]], None]) -> None:
        """From now on, events of this channel go to `on_events`, once per read; other frames to pika."""
        self._reader = FrameReader(channel, self.params.frame_max)
        self._on_events = on_events
        self._transport._MAX_RECV_BYTES = RECEIVE_BYTES

    def _on_data_available(self, data: bytes) -> None:
        if self._reader is None:
            super()._on_data_available(data)
            return
        self.bytes_received += len(data)  # what the heartbeat check looks at
        if self._frame_buffer:  # left by pika when the reader took over
            data, self._frame_buffer = self._frame_buffer + data, b""
        events = self._reader.feed(data)
        self._on_events(events)  # before pika, which may find the end of the link in the same read
        for frame in events:
            if isinstance(frame, Frame):
                self._process_frame(decode_frame(frame)[1])

    def write(self, chunks: Sequence[bytes]) -> None:
        """Send marshalled frames; nothing once the connection is closing."""
        if self.is_open:
            self._output_marshaled_frames(chunks)

    def discard(self) -> None:
        """Close the socket where an abrupt end of the loop has left it open."""
        if self._transport is not None:
            self._transport._sock.close()

    def pause(self) -> None:
        """Stop reading, so that TCP holds the broker back."""
        if self._transport is not None:
            self._transport._nbio.remove_reader(self._transport._sock.fileno())
            if hasattr(self._transport, "_ssl_readable_action"):
                self._transport._ssl_readable_action = None

    def resume(self) -> None:
        """Read on."""
        transport = self._transport
        if transport is not None:
            if hasattr(transport, "_ssl_readable_action"):
                transport._ssl_readable_action = transport._consume
            transport._nbio.set_reader(transport._sock.fileno(), transport._on_socket_readable)
            self._adapter_add_callback_threadsafe(transport._on_socket_readable)  # TLS may hold bytes


class Link:
    """An open channel; whatever ends it, ends the link: every waiter wakes, every later call raises."""

    def __init__(self, server: Server, name: str) -> None:
        self._where = server.where
        self._changed = threading.Condition()  # guards all that both threads touch
        self._lost: BrokerLost | None = None
        self._ready = False
        self._channel: Any = None
        try:
            self._loop = IOLoop()
        except OSError as error:  # no file descriptor is left: worth another try, like any lost link
            raise explain(error, self._where) from error
        self._connection = LeanConnection(
            server.parameters(name),
            on_open_callback=self._on_connection_open,
            on_open_error_callback=self._on_end,
            on_close_callback=self._on_end,
            custom_ioloop=self._loop,
        )
        self._thread = threading.Thread(target=self._run, name=f"amqp {name}", daemon=True)
        self._thread.start()
        self._await_ready(server.connect_seconds + CHANNEL_SECONDS)

    def close(self) -> None:
        """End the link; what was not acknowledged or confirmed stays so."""
        self._call(self._shut)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():  # the broker does not answer
            self._call(self._loop.stop)
            self._thread.join(CLOSE_SECONDS)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Raise BrokerLost when the link has ended."""
        if self._lost is not None:
            raise self._lost.with_traceback(None)

    # -- for the thread that uses the link

    def _await_ready(self, seconds: float) -> None:
        if not self._wait(lambda: self._ready, seconds):
            self._fail(BrokerLost("RabbitMQ did not open a channel in time", where=self._where))
        if self._lost is not None:
            self.close()
            raise self._lost

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until the condition holds or the link is lost; False when neither came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._lost is not None or condition(), seconds)

    def _call(self, action: Callable[[], object]) -> None:
        """Have the I/O thread do something soon; nothing when it has ended."""
        self._loop.add_callback_threadsafe(action)

    # -- for the I/O thread

    def _start(self) -> None:
        """The channel is open: set it up and call `_set_ready`."""
        raise NotImplementedError

    def _on_events(self, events: list[Event]) -> None:
        """What one read brought."""
        raise NotImplementedError

    def _set_ready(self, *_: object) -> None:
        with self._changed:
            self._ready = True
            self._changed.notify_all()

    def _fail(self, fault: BrokerLost) -> None:
        """The link is lost, for this reason unless an earlier one stands."""
        with self._changed:
            self._lost = self._lost or fault
            self._changed.notify_all()

    def _run(self) -> None:
        fault = BrokerLost("the link was closed", where=self._where, do="Make a new one")
        try:
            self._loop.start()
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody may go on waiting
            fault = explain(error, self._where)
        finally:
            self._fail(fault)
            self._connection.discard()
            self._loop.close()

    def _on_connection_open(self, connection: LeanConnection) -> None:
        version = (connection.server_properties or {}).get("version", "")
        try:
            require_release(str(version), self._where)
        except BrokerLost as fault:
            self._give_up(fault)
            return
        connection.channel(on_open_callback=self._on_channel_open)

    def _on_channel_open(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_close)
        self._connection.shorten(channel.channel_number, self._on_events)
        self._start()

    def _on_channel_close(self, _channel: object, reason: BaseException) -> None:
        self._give_up(explain(reason, self._where))

    def _on_end(self, _connection: object, reason: BaseException) -> None:
        self._fail(explain(reason, self._where))
        self._loop.stop()

    def _give_up(self, fault: BrokerLost) -> None:
        self._fail(fault)
        self._shut()

    def _shut(self) -> None:
        if self._connection.is_closed:
            self._loop.stop()
        elif not self._connection.is_closing:
            self._connection.close()

    def _send(self, chunks: Sequence[bytes]) -> None:
        self._call(partial(self._connection.write, chunks))
