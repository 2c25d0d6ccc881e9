"""The broker of a demo: a private RabbitMQ node of its own, or the one that SWX_AMQP_URL names.

On a broker that is given, nobody else's messages may be touched: what is in use there is refused,
and what the demo had to declare is deleted at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import pika
from demo_folder import FOLDER, ROOT, State
from demo_trouble import Trouble
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from swexchange.broker import Server, Tls, Topology, admin
from swexchange.broker.server import explain
from swexchange.errors import Fault

_NODE = FOLDER / "rabbitmq"
_TOOL = [sys.executable, str(ROOT / "bin" / "rabbitmq-node")]
START_SECONDS = 20  # until a starting node has noted its processes


class Broker(Protocol):
    """Where the demo's messages go through."""

    def ready(self) -> tuple[Server, str]:
        """The server, once it can be used, and what it is. Raises Trouble."""

    def end(self) -> str:
        """Undo what the demo did to it, however far that came; what was done."""


class PrivateNode:
    """A node of Debian's package in the run folder; starts in the background when made."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C must not stop the start half way, between a process and its note.
        self._starting = subprocess.Popen(
            [*_TOOL, "start", "--dir", str(_NODE)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ready(self) -> tuple[Server, str]:
        """The started node."""
        url, complaint = self._starting.communicate()
        if self._starting.returncode:
            line = next(iter(complaint.splitlines()), "it said nothing").removeprefix("rabbitmq-node: ")
            raise Trouble(f"the private RabbitMQ does not start: {line} (logs: {_NODE}/log)")
        server = Server(url.strip())
        return server, f"RabbitMQ {_version(server)}, a private node on port {server.parameters().port}"

    def end(self) -> str:
        """Stop the node, a half started one too."""
        if self._starting.poll() is None:
            _wait(lambda: self._starting.poll() is not None or bool(_noted_server()), START_SECONDS)
            self._starting.kill()
            self._starting.communicate()
            # While it boots it does not listen to SIGTERM; it leads a process group of its own.
            with suppress(ProcessLookupError):
                os.killpg(_noted_server() or self._starting.pid, signal.SIGKILL)
        stop_private_node()
        return "broker ended"


def stop_private_node() -> None:
    """Stop the node in the run folder, if there is one."""
    if _NODE.exists():
        subprocess.run([*_TOOL, "stop", "--dir", str(_NODE)], check=False, timeout=120, start_new_session=True)
        shutil.rmtree(_NODE / "data", ignore_errors=True)  # large, and of no use without the node


def _noted_server() -> int:
    """The process of the server, as the tool has noted it; 0 = not yet."""
    with suppress(OSError, ValueError):
        return int((json.loads((_NODE / "node.json").read_text())["server"] or {}).get("pid", 0))
    return 0


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


class GivenBroker:
    """A broker that somebody else runs."""

    def __init__(self, topology: Topology, state: State) -> None:
        """Raises Trouble where it is not free for a demo; notes what the demo will have to delete."""
        self._server, self._state = given_server(state.given_url), state
        self._version = _version(self._server)
        with _connected(self._server) as connection:
            state.queues = [name for name in topology.queues() if not self._look(connection, name)]
            state.exchanges = [name for name in topology.exchanges() if not _exists(connection, name)]
        state.save()

    def ready(self) -> tuple[Server, str]:
        """The server, as it was found."""
        return self._server, f"RabbitMQ {self._version} at {self._server.where}"

    def _look(self, connection: Any, queue: str) -> bool:
        """Whether a queue is there. Raises Trouble when it is in use."""
        with suppress(ChannelClosedByBroker):
            found = connection.channel().queue_declare(queue, passive=True).method
            if found.message_count or found.consumer_count:
                held = f"{found.message_count} messages and {found.consumer_count} consumers"
                raise Trouble(
                    f"{self._server.where}: queue {queue} is in use ({held}); give the demo a vhost of its own"
                )
            return True
        return False

    def end(self) -> str:
        """Delete what the demo declared."""
        delete_declared(self._state)
        return "exchanges and queues deleted"


def delete_declared(state: State) -> None:
    """Delete from a given broker what the state says the demo declared there."""
    if not state.given_url or not (state.queues or state.exchanges):
        return
    with suppress(Trouble), _connected(given_server(state.given_url)) as connection:
        channel = connection.channel()
        for queue in state.queues:
            channel.queue_delete(queue)
        for exchange in state.exchanges:
            channel.exchange_delete(exchange)


def given_server(url: str) -> Server:
    """The server of SWX_AMQP_URL, with the TLS files of the environment."""
    files = (os.environ.get(f"SWX_AMQP_{name}", "") for name in ("CA", "CERT", "KEY"))
    return Server(url, Tls(*files))


def _version(server: Server) -> str:
    try:
        return admin.server_version(server)
    except Fault as fault:
        raise Trouble(str(fault)) from None
    except AMQPConnectorException as error:
        raise Trouble(str(explain(error, server.where))) from None


@contextmanager
def _connected(server: Server) -> Iterator[Any]:
    """A connection for looking and deleting; its errors come out as Trouble."""
    try:
        connection = pika.BlockingConnection(server.parameters("swexchange demo"))
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()
    except (AMQPError, AMQPConnectorException, OSError) as error:
        raise Trouble(str(explain(error, server.where))) from None


def _exists(connection: Any, exchange: str) -> bool:
    with suppress(ChannelClosedByBroker):
        connection.channel().exchange_declare(exchange, passive=True)
        return True
    return False
