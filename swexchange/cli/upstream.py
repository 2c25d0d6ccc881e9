"""What the daemon does for an upstream: forward to it on a thread of its own, take what it sends as everything else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from swexchange.broker import Intake, LastingOutlet, Outlet
from swexchange.cli.upstream_broker import upstream_server
from swexchange.cli.wiring_broker import worker_outlet
from swexchange.cli.wiring_store import disk_room
from swexchange.clock import utc_now
from swexchange.core.rulebook import Rulebook, Upstream
from swexchange.core.silence import SilentQueues
from swexchange.observe.observer import Observer
from swexchange.settings import Settings
from swexchange.store import open_backlog
from swexchange.upstream import Forwarder
from swexchange.worker import InTurn, Links


def connect(settings: Settings, upstream: Upstream, silent: SilentQueues) -> Links:
    """The links of a worker for what an upstream sends: from its queues, to our own broker."""
    outlet = worker_outlet(settings, silent)
    sources: list[Intake] = []
    try:
        if upstream.queues:
            there = upstream_server(settings, upstream.name)
            prefetch = 2 * settings.batch
            sources.extend(Intake(there, queue.name, prefetch, queue.sender) for queue in upstream.queues)
        return Links(InTurn(sources, time.sleep), outlet)
    except BaseException:
        outlet.close()
        for source in sources:
            source.close()
        raise


@contextmanager
def forwarding(
    settings: Settings,
    name: str,
    rules: Callable[[], Rulebook],
    observer: Observer,
    on_end: Callable[[], object],
) -> Iterator[Forwarder]:
    """Forward to an upstream meanwhile, unless it is stopped before.

    `on_end` is called should that end by itself, and what ended it is raised.
    """
    there = upstream_server(settings, name)
    with (
        open_backlog(settings.database_url, observer.damaged) as backlog,
        ThreadPoolExecutor(1, f"forward {name}") as thread,
    ):
        forwarder = Forwarder(
            name,
            lambda upstream: LastingOutlet(partial(Outlet, there, settings.confirm_seconds, upstream.exchange)),
            backlog,
            rules,
            observer,
            utc_now,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            max_bytes=settings.batch_bytes,
            disk_room=disk_room(settings),
        )
        running = thread.submit(forwarder.run)
        running.add_done_callback(lambda _: on_end())
        try:
            yield forwarder
        finally:
            forwarder.stop()
        running.result()
