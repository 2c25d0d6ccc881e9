"""Starts what `swexchange run` was asked for: one worker in this process (`work`), or children (`supervise`)."""

from __future__ import annotations

from pathlib import Path

import structlog

from swexchange.broker import management
from swexchange.broker.topology import Tenancy
from swexchange.cli.supervise import SEALER, WORKER, supervise, upstream_role
from swexchange.cli.upstream_broker import upstream_management, upstream_server
from swexchange.core.rulebook import Upstream
from swexchange.errors import BrokerLost, ConfigFault
from swexchange.health.problem import Danger
from swexchange.observe.logs import flush_logs
from swexchange.rules.load import load_upstreams
from swexchange.settings import Settings


def start(settings: Settings, workers: int, number: int | None, upstream: str, *, no_check: bool) -> None:
    """Check what would lose messages, ask the witnesses, then run until asked to stop.

    Raises ConfigFault for what no waiting can mend.
    """
    # One worker alone has no upstreams, and reads the whole file itself.
    upstreams = load_upstreams(Path(settings.routes)) if upstream or number is None else {}
    if upstream and upstream not in upstreams:
        raise ConfigFault(f"there is no upstream {upstream}", where=settings.routes, do="Name one that stands there")
    if not no_check:
        _refuse_losses(settings)
        _refuse_other_history(settings)
        for name in [upstream] if upstream else upstreams:
            _tell_losses(settings, upstreams[name])
    sealers = [SEALER] if settings.audit_key else []
    roles = [WORKER] * workers + [upstream_role(name) for name in upstreams] + sealers
    if upstream or number is not None or roles == [WORKER]:
        from swexchange.cli.work import work  # noqa: PLC0415 - whoever supervises must not wait for all of it

        work(settings, number or 0, upstream)
    else:
        raise SystemExit(supervise(roles))


def _refuse_losses(settings: Settings) -> None:
    """Log what is not well; raise ConfigFault where accepted messages would be lost.

    A broker or a database that cannot be asked is no reason not to start: the worker waits for it.
    """
    from swexchange.cli.checks import before_start  # noqa: PLC0415 - a worker that is replaced does without

    found, log = before_start(settings), structlog.get_logger()
    for check in found:
        log.warning("check", about=check.name, danger=check.danger, name=check.where, what=check.said, do=check.do)
    flush_logs()
    if losses := [f"{check.where}: {check.said}" for check in found if check.danger is Danger.LOSS]:
        more = f", and {len(losses) - 1} more" if len(losses) > 1 else ""
        raise ConfigFault(
            f"messages would be lost: {losses[0]}{more}",
            do="Correct it (`swexchange doctor` says more), or start with --no-check",
        )


def _refuse_other_history(settings: Settings) -> None:
    """Raise ConfigFault where a witness of the audit log has seen another or a longer one; log who is away."""
    if not (settings.audit_key and settings.witnesses):
        return
    from swexchange.cli.asking import refuse_other_history  # noqa: PLC0415 - only who has witnesses needs all of it

    for fault in refuse_other_history(settings):
        structlog.get_logger().warning("witness not asked", what=fault.what, where=fault.where, do=fault.do)
    flush_logs()


def _tell_losses(settings: Settings, upstream: Upstream) -> None:
    """Log what is wrong with what we use at an upstream, where its management API shows it."""
    log = structlog.get_logger().bind(upstream=upstream.name)
    try:
        deeper = upstream_management(settings, upstream.name)
        vhost = upstream_server(settings, upstream.name).parameters().virtual_host
        for problem in management.check(deeper, Tenancy(upstream), vhost) if deeper else ():
            log.warning("topology", danger=problem.danger, name=problem.name, what=problem.what, do=problem.do)
    except BrokerLost as fault:
        log.warning("topology not checked", what=fault.what, where=fault.where, do=fault.do)
    flush_logs()
