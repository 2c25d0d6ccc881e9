"""A steady load that goes on through the end of the broker, and what comes of it: as a careful participant does it."""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

from pika.exceptions import AMQPError

from swexchange.broker import Message, Outlet, Server
from swexchange.core.model import Fate
from swexchange.errors import BrokerLost
from tests.bench import arrivals
from tests.bench.arrivals import Arrivals

TICK = 0.02  # seconds between two looks at what is due, and between two attempts


@contextmanager
def steady(
    url: str, messages: Sequence[Message], due_at: Mapping[str, float], queues: Sequence[str], patience: float
) -> Iterator[Future[Arrivals]]:
    """Send messages when they are due; what came out of the queues until patience ended, in seconds after the last."""
    deadline = max(due_at.values()) + patience
    with ThreadPoolExecutor(2) as pool:
        arrived = pool.submit(_receive, url, queues, len(messages), deadline)
        sent = pool.submit(_send, Server(url), messages, sorted(due_at.values()), deadline)
        yield arrived
        sent.result()


def _send(server: Server, messages: Sequence[Message], times: Sequence[float], deadline: float) -> None:
    """What is due, with confirms; what was not confirmed goes once more, on a new link."""
    sent = 0
    while sent < len(messages) and time.monotonic() < deadline:
        with suppress(BrokerLost), closing(Outlet(server)) as outlet:
            while sent < len(messages):
                due = bisect(times, time.monotonic())
                if {*outlet.publish_raw(messages[sent:due])} <= {Fate.CONFIRMED}:
                    sent = due
                time.sleep(TICK)
        time.sleep(TICK)


def _receive(url: str, queues: Sequence[str], count: int, deadline: float) -> Arrivals:
    arrived: Arrivals = {}
    while len(arrived) < count and time.monotonic() < deadline:
        with suppress(AMQPError, OSError):
            arrivals.receive(url, queues, count, deadline, arrived)
        time.sleep(TICK)
    return arrived
