"""An open-loop load, and when what comes of each message arrives.

Open loop: a late answer does not delay the next message, and waits count from when a message
was due, so that nothing is hidden when the sender itself falls behind.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika

from tests.bench.lab import Lab
from tests.bench.messages import message_id_of
from tests.bench.schedule import due
from tests.own_rules import ROOT

LEAD_SECONDS = 4.0  # for the generator to get ready
PATIENCE = 20.0  # seconds after the last message is due
WARM = 0.1  # share of the messages, the first ones, that is left out

Arrivals = dict[str, list[float]]
"""Monotonic times at which something about a message came, by the message's id."""


@dataclass(frozen=True, slots=True)
class Load:
    """Messages of the stock, due at random from a start on, so many a second."""

    first: int
    count: int
    rate: float
    start: float = field(default_factory=lambda: time.monotonic() + LEAD_SECONDS)

    def due(self) -> dict[str, float]:
        """When each message is due, on the monotonic clock."""
        offsets = enumerate(due(self.rate, self.count), self.first)
        return {message_id_of(number): self.start + offset for number, offset in offsets}

    @property
    def deadline(self) -> float:
        """When what has not come is given up."""
        return max(self.due().values()) + PATIENCE


@contextmanager
def offered(lab: Lab, load: Load) -> Iterator[None]:
    """Publish a load meanwhile, from a process of its own; at the end it has all been published."""
    command = [sys.executable, "-m", "tests.bench.generator", "--amqp", lab.node.url, "--stock", str(lab.stock.folder)]
    command += ["--first", str(load.first), "--count", str(load.count)]
    command += ["--rate", str(load.rate), "--start", str(load.start)]
    with subprocess.Popen(command, cwd=ROOT) as generator:
        yield
    if generator.returncode != 0:
        raise RuntimeError("the load generator failed")


def receive(url: str, queues: Sequence[str], count: int, deadline: float, arrived: Arrivals | None = None) -> Arrivals:
    """Empty queues until something about `count` different messages has come, or until a deadline.

    With `arrived`, goes on with what came before. Raises AMQPError when the connection is lost:
    what was not acknowledged comes once more then.
    """
    arrived = {} if arrived is None else arrived
    tags: list[int] = []

    def on_message(_channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        arrived.setdefault(properties.correlation_id, []).append(time.monotonic())
        tags.append(method.delivery_tag)

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for name in queues:
        channel.basic_consume(name, on_message)
    last = False
    while not last:  # once more at the end: what came twice comes now
        last = len(arrived) >= count or time.monotonic() > deadline
        connection.process_data_events(time_limit=0.2)
        if tags:
            channel.basic_ack(tags[-1], multiple=True)
            tags.clear()
    connection.close()
    return arrived


def waits_ms(due_at: Mapping[str, float], arrived: Arrivals, after: float, until: float = float("inf")) -> list[float]:
    """Milliseconds from due to arrived, of the messages that were due in a span of time and came."""
    return [(arrived[name][0] - at) * 1000 for name, at in due_at.items() if name in arrived and after <= at <= until]


def warm(due_at: Mapping[str, float]) -> float:
    """When the first messages, which are left out, are over."""
    times = sorted(due_at.values())
    return times[int(len(times) * WARM)]


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed; not a number without values."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)] if values else float("nan")
