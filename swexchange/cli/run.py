"""`swexchange run`: the daemon. One worker runs in this process; several run as children of it."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import click
import structlog

from swexchange.broker import Intake, Outlet
from swexchange.broker.topology import INTAKE
from swexchange.cli import exits
from swexchange.cli.root import cli
from swexchange.cli.topology import problems, wanted
from swexchange.cli.upstream import connect, forwarding
from swexchange.cli.wiring import free_disk, sealer, server, tested_rules, watermarks
from swexchange.core.rulebook import Rulebook
from swexchange.decider import FreshThreads, decide_each
from swexchange.errors import BrokerLost, ConfigFault
from swexchange.explain import Explainer
from swexchange.health.problem import Danger
from swexchange.observe import Metrics, Observer, configure_logs, flush_logs, utc_now
from swexchange.quarantine import Quarantine
from swexchange.rules.load import load_upstreams
from swexchange.rules.reload import RulesFile
from swexchange.sealer import SealingThread
from swexchange.settings import Settings
from swexchange.store import Attempts, open_evidence, open_ledger
from swexchange.worker import Gate, Links, Worker

_MALLOC = {-8: 1, -1: 64 << 20, -2: 8 << 20, -3: 32 << 20}  # <malloc.h>: arenas, trim, top pad, mmap threshold
_PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


@cli.command()
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that share the work."
)
@click.option("--number", type=click.IntRange(0), help="Be this one worker alone, without upstreams.")
@click.option("--upstream", default="", help="Serve this upstream alone: forward to it, take what it sends.")
@click.option("--no-check", is_flag=True, help="Start even where RabbitMQ is set up so that it loses messages.")
@click.pass_obj
def run(settings: Settings, workers: int, number: int | None, upstream: str, no_check: bool) -> None:
    """Take messages until SIGTERM or Ctrl-C: the batch in hand is finished first.

    SIGHUP reads routes.yaml, schemas and keys again; a changed routes.yaml is noticed without it.
    The database must be at the current version (`swexchange db upgrade`) and the topology must
    exist (`swexchange topology apply`).

    Each upstream of routes.yaml gets a process of its own beside the workers; one that is added
    later gets it at the next start, and what is for it waits until then.

    With SWX_MANAGEMENT_URL it looks first whether queues or policies would lose messages, and if so
    does not start: exit code 2. A worker that is replaced later is started without this.

    \b
    Examples:
      swexchange run
      swexchange run --workers 2
      swexchange run --number 1
      swexchange run --upstream province
    """
    configure_logs(settings.log, settings.log_level)
    upstreams = load_upstreams(Path(settings.routes))
    if upstream and upstream not in upstreams:
        raise ConfigFault(f"there is no upstream {upstream}", where=settings.routes, do="Name one that stands there")
    if not no_check:
        _refuse_losses(settings)
    if upstream or number is not None or not (upstreams or workers > 1):
        _work(settings, number or 0, upstream)
    else:
        raise SystemExit(_supervise(workers, list(upstreams)))


def _refuse_losses(settings: Settings) -> None:
    """Log what is wrong with the topology; raise ConfigFault where it would lose messages.

    A broker that cannot be asked is no reason not to start: the worker waits for it.
    """
    log = structlog.get_logger()
    try:
        found = problems(settings, wanted(settings)) if settings.management_url else []
    except BrokerLost as fault:
        log.warning("topology not checked", what=fault.what, where=fault.where, do=fault.do)
        found = []
    for problem in found:
        log.warning("topology", danger=problem.danger, name=problem.name, what=problem.what, do=problem.do)
    flush_logs()
    if losses := [problem for problem in found if problem.danger is Danger.LOSS]:
        more = f", and {len(losses) - 1} more" if len(losses) > 1 else ""
        raise ConfigFault(
            f"RabbitMQ would lose messages: {losses[0].name}: {losses[0].what}{more}",
            do="Correct it (`swexchange doctor` says more), or start with --no-check",
        )


def _work(settings: Settings, number: int, upstream: str) -> None:
    metrics = Metrics()
    observer = Observer(metrics)
    marks, disk = watermarks(settings), free_disk(settings)
    with (
        closing(Explainer()) as explainer,
        open_ledger(settings.database_url) as ledger,
        closing(Attempts(settings.database_url, uuid4().hex)) as attempts,
        _sealing(settings, number, observer) as know,
    ):

        def reloaded(rules: Rulebook) -> None:
            observer.reloaded(rules)
            know(rules)

        rules_file = RulesFile(
            Path(settings.routes),
            lambda: tested_rules(settings, explainer),
            reloaded,
            observer.not_reloaded,
            time.monotonic,
        )
        worker = Worker(
            lambda: connect(settings, rules_file.latest.upstreams[upstream]) if upstream else _connect(settings),
            ledger,
            rules_file,
            observer,
            utc_now,
            max_messages=settings.batch,
            max_bytes=settings.batch_bytes,
            decide_all=Quarantine(FreshThreads(partial(decide_each, on_bug=observer.bug)), attempts),
            is_spent=lambda: _resident_mb() > settings.memory_mb,
            held_back=Gate(marks, ledger.owed, disk, time.monotonic).closed,
        )
        stopping = _stop_on_signals(worker, observer, rules_file)
        if settings.metrics_port:
            metrics.serve(settings.metrics_port + number)
        know(rules_file.current())
        _settle_memory()
        observer.started(rules_file.current(), number)
        with ExitStack() as beside:
            if upstream:
                rules = lambda: rules_file.latest  # noqa: E731
                beside.enter_context(forwarding(settings, upstream, rules, observer, worker.stop))
            worker.run()
    if not stopping:
        observer.spent(_resident_mb())
        os.execv(sys.executable, _again(sys.argv[1:]))  # noqa: S606


@contextmanager
def _sealing(settings: Settings, number: int, observer: Observer) -> Iterator[Callable[[Rulebook], None]]:
    """Worker 0 seals the audit log, where it has a key; it is to be told of the rules in force.

    Raises ConfigFault where the log was rolled back.
    """
    if number or not settings.audit_key:
        yield lambda _: None
        return
    with open_evidence(settings.database_url) as log:
        sealing = sealer(settings, log)
        sealing.check()
        thread = SealingThread(sealing, settings.seal_seconds, observer)
        thread.start()
        try:
            yield thread.know
        finally:
            thread.stop()


def _stop_on_signals(worker: Worker, observer: Observer, rules_file: RulesFile) -> list[bool]:
    """Connect the signals; the list is empty as long as nobody asked to stop."""
    asked: list[bool] = []

    def stop() -> None:
        asked.append(True)
        observer.stopping()
        worker.stop()

    _on_signals(stop=stop, reload=rules_file.expire)
    return asked


def _resident_mb() -> int:
    """Memory of this process in MB; 0 while it cannot be known, for want of a file descriptor."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:  # asked again after the next step
        return 0
    return pages * resource.getpagesize() // 1_000_000


def _connect(settings: Settings) -> Links:
    broker = server(settings)
    outlet = Outlet(broker, settings.confirm_seconds)
    try:
        return Links(Intake(broker, INTAKE, prefetch=2 * settings.batch), outlet)
    except BaseException:
        outlet.close()
        raise


def _on_signals(stop: Callable[[], object], reload: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    signal.signal(signal.SIGHUP, lambda *_: reload())


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


def _supervise(workers: int, upstreams: Sequence[str]) -> int:
    """Run workers and upstreams as children: pass signals on, replace one that dies, end when asked to."""
    log = structlog.get_logger()
    roles = dict(enumerate(("",) * workers + tuple(upstreams)))
    children: dict[int, subprocess.Popen[bytes]] = {n: _start(n, roles[n]) for n in roles}
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True
        _pass_on(children, signal.SIGTERM)

    _on_signals(stop=stop, reload=lambda: _pass_on(children, signal.SIGHUP))
    started = dict.fromkeys(children, time.monotonic())
    while children:
        time.sleep(0.2)
        for number, child in list(children.items()):
            if child.poll() is None:
                continue
            del children[number]
            if stopping:
                continue
            if child.returncode == exits.USAGE:  # a wrong setting or file: starting again cannot help
                stop()
                return exits.USAGE
            log.error("worker died, starting another", worker=number, upstream=roles[number], exit=child.returncode)
            flush_logs()
            time.sleep(1.0 if time.monotonic() - started[number] < 5 else 0.0)
            children[number], started[number] = _start(number, roles[number]), time.monotonic()
    return exits.DONE


def _start(number: int, upstream: str) -> subprocess.Popen[bytes]:
    arguments = [a for i, a in enumerate(sys.argv[1:]) if not _is_workers(i)]
    command = [*_again(arguments), "--number", str(number)]
    environment = dict(os.environ)
    if upstream:
        command += ["--upstream", upstream]
        # Readiness and watchdog are the workers' to tell: an upstream must not speak for them.
        environment.pop("NOTIFY_SOCKET", None)
    return subprocess.Popen(command, preexec_fn=_end_with_parent, env=environment)  # noqa: S603, PLW1509 - no threads


def _again(arguments: list[str]) -> list[str]:
    """The command line of a worker whose start was checked already."""
    once = [] if "--no-check" in arguments else ["--no-check"]
    return [sys.executable, "-m", "swexchange", *arguments, *once]


def _end_with_parent() -> None:
    """A worker whose supervisor was killed is told to stop, as by SIGTERM (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _is_workers(i: int) -> bool:
    argument, before = sys.argv[1 + i], sys.argv[i]
    return argument.startswith("--workers") or before == "--workers"


def _pass_on(children: dict[int, subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for child in children.values():
        if child.poll() is None:
            child.send_signal(number)
