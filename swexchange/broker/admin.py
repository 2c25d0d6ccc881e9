"""Declares the topology, and checks what exists against it, over AMQP.

AMQP shows what is missing, not how a queue is set up: `management` sees that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from swexchange.broker.server import Server, explain, require_release
from swexchange.broker.topology import Topology, queue_arguments
from swexchange.errors import ConfigFault
from swexchange.health.broker import DECLARE, Needs
from swexchange.health.problem import Danger, Problem
from swexchange.health.queues import REDECLARE

PRECONDITION_FAILED = 406
_KIND = ("x-queue-type", "durable", "auto_delete", "exclusive")  # as RabbitMQ names what differs
_ONE_DISK = "A restart, or the loss of one disk, takes what is in it"


def apply(server: Server, topology: Topology) -> None:
    """Declare all exchanges, queues and bindings; what exists as it should is left alone.

    The user of the URL needs configure, write and read permissions on these names. Raises
    ConfigFault where something of the same name differs, BrokerLost for any other trouble.
    """
    with _connected(server) as connection:
        version = _version(connection)
        channel = connection.channel()
        # An exchange without its queue drops what is sent to it: cut off in between, as few as can be are so.
        for queue in topology.queues():
            _declare(
                server,
                queue,
                lambda n: channel.queue_declare(n, durable=True, arguments=dict(queue_arguments(version))),
            )
        for exchange in topology.exchanges():
            _declare(server, exchange, lambda n: channel.exchange_declare(n, "fanout", durable=True))
            for queue in (queue for bound, queue in topology.bindings() if bound == exchange):
                channel.queue_bind(queue, exchange)


def _declare(server: Server, name: str, declare: Callable[[str], object]) -> None:
    try:
        declare(name)
    except ChannelClosedByBroker as error:
        if error.reply_code != PRECONDITION_FAILED:
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
        queues = (_missing(connection, "queue", name, _look_at_queue) for name in topology.queues())
        return [problem for found in (*exchanges, *queues) for problem in found]


def _look_at_queue(channel: Any, name: str) -> object:
    return channel.queue_declare(name, passive=True)


def _missing(connection: Any, kind: str, name: str, ask: Callable[[Any, str], object]) -> tuple[Problem, ...]:
    channel = connection.channel()
    try:
        ask(channel, name)
        channel.close()
    except ChannelClosedByBroker as error:
        if error.reply_code != 404:
            return (Problem(name, f"RabbitMQ said {error.reply_code}: {error.reply_text}", "See its log"),)
        return (Problem(name, f"the {kind} does not exist", DECLARE),)
    return ()


def check_settings(server: Server, topology: Topology) -> list[Problem]:
    """What AMQP shows of how existing queues are set up: RabbitMQ compares, when one is declared once more.

    Changes nothing. Only whoever may configure them is told; others find nothing. Raises BrokerLost.
    """
    with _connected(server) as connection:
        arguments = queue_arguments(_version(connection))
        there = (name for name in topology.queues() if not _missing(connection, "queue", name, _look_at_queue))
        return [problem for name in there for problem in _otherwise(connection, name, arguments)]


def _otherwise(connection: Any, name: str, arguments: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Whether a queue is not as we declare it: of another kind it may lose messages, the rest a policy may mend."""
    said, left = "", dict(arguments)
    while refusal := _refusal(connection, name, left):
        said = said or refusal
        if any(f"'{kind}'" in refusal for kind in _KIND):
            return (Problem(name, f"the queue is of another kind: {refusal}", REDECLARE, _ONE_DISK, Danger.LOSS),)
        # RabbitMQ names one argument at a time, and the kind last: without that one it names the next.
        differs = next((argument for argument in left if f"'{argument}'" in refusal), None)
        if differs is None:
            break
        del left[differs]
    return (Problem(name, f"the queue is set up otherwise: {said}", REDECLARE, danger=Danger.RISK),) if said else ()


def _refusal(connection: Any, name: str, arguments: Mapping[str, Any]) -> str:
    """Why RabbitMQ does not take an existing queue for one with these arguments; '' = it does, or we may not ask."""
    channel = connection.channel()
    try:
        channel.queue_declare(name, durable=True, arguments=dict(arguments))
        channel.close()
    except ChannelClosedByBroker as error:
        return str(error.reply_text) if error.reply_code == PRECONDITION_FAILED else ""
    return ""


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
