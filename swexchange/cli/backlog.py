"""What waits for upstreams, as an operator sees it, and the one way to give up a copy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.operator import operator
from swexchange.cli.root import cli
from swexchange.cli.wiring_store import MB, disk_room, free_disk, watermarks
from swexchange.core.canonical import local_time
from swexchange.core.forecast import Sample, forecast
from swexchange.core.watermark import Standstill, standstill
from swexchange.errors import ConfigFault
from swexchange.observe import utc_now
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
    stored, found = audit_log.stored(), []
    for name in sorted(trails.keys() | {behind.get(recipient, recipient) for recipient in waiting}):
        mine = [waiting[recipient] for recipient in waiting if behind.get(recipient, recipient) == name]
        size, oldest = sum(count for count, _ in mine), min((at for _, at in mine), default=None)
        found.append(_told(settings, name, trails.get(name), size, oldest, stored, now))
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


def _told(
    settings: Settings,
    name: str,
    trail: UpstreamTrail | None,
    size: int,
    oldest: datetime | None,
    stored: int,
    now: datetime,
) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "backlog": size, "oldest": local_time(oldest) if oldest else ""}
    if trail is None:
        return {**told, "breaker": "", "reason": "no forwarder has run yet: start `swexchange run`"}
    standing = trail.standing
    if trail.sample:
        current = Sample(now, size, standing.sent, stored)
        room = disk_room(settings)()
        seen = forecast(trail.sample, current, standing.pace, room)
        told["growth_per_minute"] = round(seen.growth * 60, 1)
        for label, duration in (("drained_in", seen.drained_in), ("disk_full_in", seen.disk_full_in)):
            told[label] = "" if duration is None else str(duration).partition(".")[0]
        if room is None:
            told["disk_full_in"] = "not seen from here"  # PostgreSQL's disk
        told["database_mb_a_day"] = round(seen.filling * 86_400 / MB)
    away = now > trail.held_until
    return {
        **told,
        "breaker": str(standing.state),
        "open_since": local_time(standing.since) if standing.since else "",
        "reason": "no forwarder runs now" if away else standing.reason,
        "last_success": local_time(standing.last_success) if standing.last_success else "",
        "sent": standing.sent,
    }


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
