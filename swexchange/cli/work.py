"""One worker's process: builds the objects of the exchange, runs them, takes them down."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from uuid import uuid4

from swexchange.broker import Intake
from swexchange.broker.topology import INTAKE
from swexchange.cli.supervise import again, on_signals
from swexchange.cli.upstream import connect, forwarding
from swexchange.cli.wiring import tested_rules
from swexchange.cli.wiring_broker import server, worker_outlet
from swexchange.cli.wiring_store import free_disk, refuse_rolled_back_log, watermarks
from swexchange.clock import utc_now
from swexchange.core.silence import SilentQueues
from swexchange.decider import FreshThreads, decide_each
from swexchange.observe.metrics import Metrics
from swexchange.observe.observer import Observer
from swexchange.quarantine import Quarantine
from swexchange.rules.reload import RulesFile
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from swexchange.store import Attempts, FullLedger, open_ledger
from swexchange.worker import Gate, Links, Worker

_MALLOC = {-8: 1, -1: 64 << 20, -2: 8 << 20, -3: 32 << 20}  # <malloc.h>: arenas, trim, top pad, mmap threshold


def work(settings: Settings, number: int, upstream: str) -> None:
    """Take messages until asked to stop: of the platform's own broker, or of an upstream's, forwarding to it too.

    A process that has grown too large becomes a fresh one. Raises ConfigFault for what no waiting can mend.
    """
    refuse_rolled_back_log(settings)  # before anything is taken
    metrics = Metrics()
    observer = Observer(metrics)
    with ExitStack() as stack:
        explainer = stack.enter_context(closing(Explainer(proven=settings.cache_folder)))
        ledger = stack.enter_context(open_ledger(settings.database_url, observer.damaged))
        attempts = stack.enter_context(closing(Attempts(settings.database_url, uuid4().hex)))
        load = partial(tested_rules, settings, explainer)
        rules_file = RulesFile(Path(settings.routes), load, observer.reloaded, observer.not_reloaded, time.monotonic)
        links = partial(_links, settings, rules_file, upstream, SilentQueues())
        worker = _worker(settings, links, ledger, attempts, rules_file, observer)
        stops: list[Callable[[], object]] = [worker.stop]
        stopping = _stop_on_signals(stops, observer, rules_file)
        if settings.metrics_port:
            metrics.serve(settings.metrics_port + number)
        _settle_memory()
        observer.started(rules_file.current(), number)
        if upstream:
            forward = forwarding(settings, upstream, lambda: rules_file.latest, observer, worker.stop)
            stops.append(stack.enter_context(forward).stop)  # side by side: each may have to wait for another broker
            if stopping:  # asked before it was there to be told
                stops[-1]()
        worker.run()
    if not stopping:
        observer.spent(_resident_mb())
        os.execv(sys.executable, again(sys.argv[1:]))  # noqa: S606


def _worker(
    settings: Settings,
    links: Callable[[], Links],
    ledger: FullLedger,
    attempts: Attempts,
    rules_file: RulesFile,
    observer: Observer,
) -> Worker:
    gate = Gate(watermarks(settings), ledger.owed, free_disk(settings), time.monotonic)
    return Worker(
        links,
        ledger,
        rules_file,
        observer,
        utc_now,
        max_messages=settings.batch,
        max_bytes=settings.batch_bytes,
        decide_all=Quarantine(FreshThreads(partial(decide_each, on_bug=observer.bug)), attempts),
        is_spent=lambda: _resident_mb() > settings.memory_mb,
        held_back=gate.closed,
    )


def _stop_on_signals(stops: Sequence[Callable[[], object]], observer: Observer, rules_file: RulesFile) -> list[bool]:
    """Connect the signals; the list is empty as long as nobody asked to stop."""
    asked: list[bool] = []

    def stop() -> None:
        asked.append(True)
        observer.stopping()
        for one in stops:
            one()

    on_signals(stop=stop, reload=rules_file.expire)
    return asked


def _resident_mb() -> int:
    """Memory of this process in MB; 0 while it cannot be known, for want of a file descriptor."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:  # asked again after the next step
        return 0
    return pages * resource.getpagesize() // 1_000_000


def _links(settings: Settings, rules_file: RulesFile, upstream: str, silent: SilentQueues) -> Links:
    if upstream:
        return connect(settings, rules_file.latest.upstreams[upstream], silent)
    outlet = worker_outlet(settings, silent)
    try:
        return Links(Intake(server(settings), INTAKE, prefetch=2 * settings.batch), outlet)
    except BaseException:
        outlet.close()
        raise


def _settle_memory() -> None:
    """What lives as long as the process is not searched for garbage again and again.

    And glibc keeps freed memory, in one arena: a batch's documents are made on one thread and
    freed on another, which otherwise costs some 5 % of all time.
    """
    libc = ctypes.CDLL(None)
    for parameter, value in _MALLOC.items():
        libc.mallopt(parameter, value)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
