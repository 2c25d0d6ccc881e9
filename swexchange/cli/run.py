"""`swexchange run`: the daemon. One worker runs in this process (`work`); several run as children of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import click
import structlog

from swexchange.broker import management
from swexchange.broker.topology import Tenancy
from swexchange.cli.root import cli
from swexchange.cli.supervise import supervise
from swexchange.cli.topology import problems, wanted
from swexchange.cli.upstream_broker import upstream_management, upstream_server
from swexchange.core.rulebook import Upstream
from swexchange.errors import BrokerLost, ConfigFault
from swexchange.health.problem import Danger, Problem
from swexchange.observe import configure_logs, flush_logs
from swexchange.rules.load import load_upstreams
from swexchange.settings import Settings


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
    does not start: exit code 2. A worker that is replaced later is started without this. What is
    wrong at an upstream's broker is logged: it is not ours to mend, and no reason not to start.

    \b
    Examples:
      swexchange run
      swexchange run --workers 2
      swexchange run --number 1
      swexchange run --upstream province
    """
    # Until the rules are read there is nothing to read again; by default the signal would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    configure_logs(settings.log, settings.log_level)
    # One worker alone has no upstreams, and reads the whole file itself.
    upstreams = load_upstreams(Path(settings.routes)) if upstream or number is None else {}
    if upstream and upstream not in upstreams:
        raise ConfigFault(f"there is no upstream {upstream}", where=settings.routes, do="Name one that stands there")
    if not no_check:
        _refuse_losses(settings)
        for name in [upstream] if upstream else upstreams:
            _tell_losses(settings, upstreams[name])
    if upstream or number is not None or not (upstreams or workers > 1):
        from swexchange.cli.work import work  # noqa: PLC0415 - whoever supervises must not wait for all of it

        work(settings, number or 0, upstream)
    else:
        raise SystemExit(supervise(workers, list(upstreams)))


def _refuse_losses(settings: Settings) -> None:
    """Log what is wrong with the topology; raise ConfigFault where it would lose messages.

    A broker that cannot be asked is no reason not to start: the worker waits for it.
    """
    found = _logged(lambda: problems(settings, wanted(settings)) if settings.management_url else [])
    if losses := [problem for problem in found if problem.danger is Danger.LOSS]:
        more = f", and {len(losses) - 1} more" if len(losses) > 1 else ""
        raise ConfigFault(
            f"RabbitMQ would lose messages: {losses[0].name}: {losses[0].what}{more}",
            do="Correct it (`swexchange doctor` says more), or start with --no-check",
        )


def _tell_losses(settings: Settings, upstream: Upstream) -> None:
    """Log what is wrong with what we use at an upstream, where its management API shows it."""

    def found() -> list[Problem]:
        deeper = upstream_management(settings, upstream.name)
        vhost = upstream_server(settings, upstream.name).parameters().virtual_host
        return management.check(deeper, Tenancy(upstream), vhost) if deeper else []

    _logged(found, upstream.name)


def _logged(look: Callable[[], list[Problem]], upstream: str = "") -> list[Problem]:
    """What a look finds, one line each; [] where the broker cannot be asked."""
    log = structlog.get_logger()
    if upstream:
        log = log.bind(upstream=upstream)
    try:
        found = look()
    except BrokerLost as fault:
        log.warning("topology not checked", what=fault.what, where=fault.where, do=fault.do)
        found = []
    for problem in found:
        log.warning("topology", danger=problem.danger, name=problem.name, what=problem.what, do=problem.do)
    flush_logs()
    return found
