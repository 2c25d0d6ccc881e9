"""Publishes messages when they are due, whatever becomes of them: an open-loop load, in a process of its own.

python -m tests.bench.generator --amqp URL --stock FOLDER --first N --count N --rate R --start T
T is on the monotonic clock, which all processes of a machine share. Exit code 0 when all are published.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import pika

from swexchange.broker import Message
from tests.bench.messages import Stock
from tests.bench.schedule import due


def publish(channel: pika.adapters.blocking_connection.BlockingChannel, message: Message) -> None:
    """Send, persistent; a confirm is waited for if the channel has them."""
    properties = pika.BasicProperties(delivery_mode=2, message_id=message.message_id, content_type="application/xml")
    channel.basic_publish(message.exchange, "", message.body, properties)


@click.command()
@click.option("--amqp", required=True)
@click.option("--stock", required=True, type=click.Path(path_type=Path))
@click.option("--first", required=True, type=int)
@click.option("--count", required=True, type=int)
@click.option("--rate", required=True, type=float)
@click.option("--start", required=True, type=float)
def main(amqp: str, stock: Path, first: int, count: int, rate: float, start: float) -> None:
    """Publish messages of a stock, from a first number on."""
    messages = Stock(stock).submissions(first, count)
    connection = pika.BlockingConnection(pika.URLParameters(amqp))
    channel = connection.channel()
    for number, (message, offset) in enumerate(zip(messages, due(rate, count), strict=True), 1):
        if number == count:
            channel.confirm_delivery()  # RabbitMQ may drop what it has not confirmed when the connection is closed
        connection.sleep(max(0.0, start + offset - time.monotonic()))
        publish(channel, message)
    connection.close()


if __name__ == "__main__":
    main()
