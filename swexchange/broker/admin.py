"""Declares the topology, and checks what exists against it, over AMQP.

AMQP shows what is missing, not how a queue is set up: `management` sees that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from swexchange.broker.server import Server, explain, require_release
from swexchange.broker.topology import Topology, queue_arguments
from swexchange.errors import ConfigFault
from swexchange.health.broker import Needs
from swexchange.health.problem import Problem


def apply(server: Server, topology: Topology) -> None:
    """Declare all exchanges, queues and bindings; what exists as it should is left alone.

    The user of the URL needs configure, write and read permissions on these names. Raises
    ConfigFault where something of the same name differs, BrokerLost for any other trouble.
    """
    with _connected(server) as connection:
        version = _version(connection)
        channel = connection.channel()
        for exchange in topology.exchanges():
            _declare(server, exchange, lambda n: channel.exchange_declare(n, "fanout", durable=True))
        for queue in topology.queues():
            _declare(
                server,
                queue,
                lambda n: channel.queue_declare(n, durable=True, arguments=dict(queue_arguments(version))),
            )
        for exchange, queue in topology.bindings():
            channel.queue_bind(queue, exchange)


def _declare(server: Server, name: str, declare: Callable[[str], object]) -> None:
    try:
        declare(name)
    except ChannelClosedByBroker as error:
        if error.reply_code != 406:
            raise
        raise ConfigFault(
            f"{name} exists already, but set up otherwise: {error.reply_text}",
            where=server.where,
            do="Delete it once it is empty and declare again, or change it where RabbitMQ allows",
        ) from error


def check(server: Server, topology: Needs) -> list[Problem]:
    """What is missing; changes nothing. Raises BrokerLost when the server cannot be asked."""
    with _connected(server) as connection:
        exchanges = (
            _missing(connection, "exchange", name, lambda c, n: c.exchange_declare(n, passive=True))
            for name in topology.exchanges()
        )
        queues = (
            _missing(connection, "queue", name, lambda c, n: c.queue_declare(n, passive=True))
            for name in topology.queues()
        )
        return [problem for found in (*exchanges, *queues) for problem in found]


def _missing(connection: Any, kind: str, name: str, ask: Callable[[Any, str], object]) -> tuple[Problem, ...]:
    channel = connection.channel()
    try:
        ask(channel, name)
        channel.close()
    except ChannelClosedByBroker as error:
        if error.reply_code != 404:
            return (Problem(name, f"RabbitMQ said {error.reply_code}: {error.reply_text}", "See its log"),)
        return (Problem(name, f"the {kind} does not exist", "Declare the topology"),)
    return ()


def server_version(server: Server) -> str:
    """The version of the server, as it says on connecting."""
    with _connected(server) as connection:
        return _version(connection)


def _version(connection: Any) -> str:
    properties = connection._impl.server_properties or {}  # pika's blocking connection hides it
    return str(properties.get("version", ""))


@contextmanager
def _connected(server: Server) -> Iterator[Any]:
    """A blocking connection; its errors come out as BrokerLost."""
    parameters = server.parameters("swexchange admin")
    parameters.blocked_connection_timeout = 30
    try:
        connection = pika.BlockingConnection(parameters)
        try:
            require_release(_version(connection), server.where)
            yield connection
        finally:
            if connection.is_open:
                connection.close()
    except (AMQPError, AMQPConnectorException, OSError) as error:
        raise explain(error, server.where) from error
