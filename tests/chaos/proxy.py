"""A TCP proxy on the way to a server, that can do to a connection what networks do.

One thread per direction. Faults set its attributes while connections are open.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


@dataclass(eq=False)
class _Line:
    """One connection through the proxy."""

    client: socket.socket
    server: socket.socket
    said: bytearray = field(default_factory=bytearray)  # the client's first bytes: its name among them

    def cut(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def via(url: str, proxy: Proxy) -> str:
    """The same URL through a proxy."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}").geturl()


class Proxy:
    """Listens on 127.0.0.1 and passes on to the first target that answers; `port` is where."""

    def __init__(self, targets: Sequence[tuple[str, int]], bind: str = "127.0.0.1") -> None:
        self.targets = list(targets)
        self.refusing = False  # new connections are reset at once
        self.swallow_to_server = self.swallow_to_client = False  # bytes vanish, connections stay
        self.mute = b""  # connections whose client said this get no answers
        self.delay = 0.0  # seconds before each piece is passed on
        self.piece = CHUNK  # bytes passed on at once
        self.on_client_bytes: Callable[[bytes], bool] | None = None  # True: pass these on, then lose the answer
        self.on_lost_answer: Callable[[], None] = lambda: None
        self._lines: list[_Line] = []
        self._listener = socket.create_server((bind, 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, in the middle of whatever it is doing."""
        lines, self._lines = self._lines, []
        for line in lines:
            line.cut()

    def heal(self) -> None:
        """Pass on everything again. What was swallowed is gone: those connections are cut."""
        was_swallowing = self.swallow_to_server or self.swallow_to_client or self.mute
        self.refusing = self.swallow_to_server = self.swallow_to_client = False
        self.mute, self.delay, self.piece, self.on_client_bytes = b"", 0.0, CHUNK, None
        self.on_lost_answer = lambda: None
        if was_swallowing:
            self.cut()

    def close(self) -> None:
        """End everything."""
        self.refusing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        server = None if self.refusing else self._server()
        if server is None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        line = _Line(client, server)
        for end in (client, server):
            with contextlib.suppress(OSError):  # gone already: the pumps will see it
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines.append(line)
        threading.Thread(target=self._pump, args=(line, server, client, False), daemon=True).start()
        self._pump(line, client, server, True)

    def _server(self) -> socket.socket | None:
        for target in list(self.targets):
            with contextlib.suppress(OSError):
                server = socket.create_connection(target, timeout=1.5)
                server.settimeout(None)
                return server
        return None

    def _pump(self, line: _Line, source: socket.socket, sink: socket.socket, to_server: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                if to_server and len(line.said) < CHUNK:
                    line.said += data
                self._pass(line, data, sink, to_server)
        except OSError:
            pass
        line.cut()
        with contextlib.suppress(ValueError):
            self._lines.remove(line)

    def _pass(self, line: _Line, data: bytes, sink: socket.socket, to_server: bool) -> None:
        if self.swallow_to_server if to_server else self._swallows_answer(line):
            return
        watch = self.on_client_bytes
        if to_server and watch and watch(data):
            self.swallow_to_client = True
            sink.sendall(data)
            time.sleep(0.05)  # so that the server has done it
            self.on_lost_answer()
            self.swallow_to_client = False
            self.cut()
            return
        piece = self.piece  # one size for all of it: it may be changed meanwhile
        for start in range(0, len(data), piece):
            if self.delay:
                time.sleep(self.delay)
            sink.sendall(data[start : start + piece])

    def _swallows_answer(self, line: _Line) -> bool:
        return self.swallow_to_client or bool(self.mute and self.mute in line.said)
