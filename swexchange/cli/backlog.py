"""What waits for upstreams, as an operator sees it, and the one way to give up a copy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.operator import operator
from swexchange.cli.root import cli
from swexchange.cli.wiring_store import MB, disk_room, free_disk, watermarks
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.forecast import Sample, forecast
from swexchange.core.watermark import Standstill, standstill
from swexchange.errors import ConfigFault
from swexchange.rules.load import load_remote
from swexchange.settings import Settings
from swexchange.store import open_audit_log, open_backlog
from swexchange.store.audit_log import AuditLog, UpstreamTrail

Queued = Mapping[str, tuple[int, datetime]]
"""Copies that wait for upstreams, by recipient: how many, and when the oldest was received."""


def upstreams(settings: Settings, audit_log: AuditLog, waiting: Queued, now: datetime) -> list[dict[str, Any]]:
    """Each upstream that was ever forwarded to or that something waits for, with its forecast."""
    behind = behind_upstreams(settings)
    trails = {trail.name: trail for trail in audit_log.upstreams()}
    stored, room, found = audit_log.stored(), disk_room(settings)(), []
    for name in sorted(trails.keys() | {behind.get(recipient, recipient) for recipient in waiting}):
        mine = [waiting[recipient] for recipient in waiting if behind.get(recipient, recipient) == name]
        size, oldest = sum(count for count, _ in mine), min((at for _, at in mine), default=None)
        told: dict[str, Any] = {"name": name, "backlog": size, "oldest": _time(oldest)}
        if trail := trails.get(name):
            told |= _growth(trail, Sample(now, size, trail.standing.sent, stored), room) | _standing(trail, now)
        else:
            told |= {"breaker": "", "reason": "no forwarder has run yet: start `swexchange run`"}
        found.append(told)
    return found


def intake_standstill(settings: Settings, due: Mapping[str, int], queued: Queued) -> Standstill | None:
    """Whether a watermark holds the intake back, by what is due and queued and the disk; None = it runs."""
    owed = sum(due.values()) + sum(count for count, _ in queued.values())
    return standstill(watermarks(settings), owed, free_disk(settings)())


def behind_upstreams(settings: Settings) -> dict[str, str]:
    """The upstream of each participant behind one; with wrong rules none is known, which is said."""
    try:
        return load_remote(Path(settings.routes))
    except ConfigFault as fault:
        click.echo(f"{fault}: who is behind an upstream is not known", err=True)
        return {}


def _growth(trail: UpstreamTrail, current: Sample, room: int | None) -> dict[str, Any]:
    """What becomes of backlog and disk, by an earlier look of the forwarder; {} before there was one."""
    if trail.sample is None:
        return {}
    seen = forecast(trail.sample, current, trail.standing.pace, room)
    return {
        "growth_per_minute": round(seen.growth * 60, 1),
        "drained_in": _duration(seen.drained_in),
        # PostgreSQL's disk is not seen.
        "disk_full_in": "not seen from here" if room is None else _duration(seen.disk_full_in),
        "database_mb_a_day": round(seen.filling * 86_400 / MB),
    }


def _standing(trail: UpstreamTrail, now: datetime) -> dict[str, Any]:
    """How the upstream stands, as its forwarder last said."""
    standing = trail.standing
    return {
        "breaker": str(standing.state),
        "open_since": _time(standing.since),
        "reason": "no forwarder runs now" if now > trail.held_until else standing.reason,
        "last_success": _time(standing.last_success),
        "sent": standing.sent,
    }


def _time(at: datetime | None) -> str:
    return local_time(at) if at else ""


def _duration(duration: timedelta | None) -> str:
    return "" if duration is None else str(duration).partition(".")[0]


@cli.group()
def backlog() -> None:
    """Copies that wait for an upstream."""


@backlog.command()
@click.argument("exchange")
@click.argument("participant")
@click.option("--reason", required=True, help="Why; it stands in the audit log for good.")
@click.option("--yes", is_flag=True, help="Do it; without this it only says what would be dropped.")
@click.pass_obj
def drop(settings: Settings, exchange: str, participant: str, reason: str, yes: bool) -> None:
    """Give up what is owed to PARTICIPANT because of EXCHANGE, so that its lane goes on.

    Nothing but this ever drops a copy. Who did it, when and why becomes an event of the exchange.
    A copy that was sent already cannot be dropped. Exit code 1: there is nothing to drop.

    \b
    Example:
      swexchange backlog drop 019cac2a9dc017bb841883fa7d7020a8 DXPGDP4400000001 --reason "withdrawn by phone"
    """
    with open_audit_log(settings.database_url) as audit_log:
        trail = audit_log.show(exchange)
    owed = [c for c in trail.copies if c.to == participant and c.state in ("queued", "due")] if trail else []
    if not owed:
        click.echo(f"nothing is owed to {participant} because of {exchange}", err=True)
        raise SystemExit(exits.PROBLEMS)
    if not yes:
        shown = ", ".join(f"{c.kind} {c.id} ({c.state}, {c.tries} tries)" for c in owed)
        click.echo(f"would drop: {shown}; add --yes to do it")
        return
    with open_backlog(settings.database_url) as store:
        count = store.drop(exchange, participant, f"{operator()}: {reason}", utc_now())
    click.echo(f"{count} dropped")
    raise SystemExit(exits.DONE if count else exits.PROBLEMS)
