"""`swexchange routes diff`: what a candidate file would have made of the past."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.filters import filter_options
from swexchange.cli.judging import counted, judge_all, rules_of
from swexchange.cli.output import emit, number_of, table
from swexchange.cli.progress import progress
from swexchange.cli.routes import routes
from swexchange.clock import utc_now
from swexchange.core.canonical import CHINA, local_time
from swexchange.core.compare import Judged
from swexchange.replay.whatif import Tally, tally
from swexchange.settings import Settings
from swexchange.store import Filter, open_history


@routes.command()
@click.option("--candidate", required=True, type=click.Path(dir_okay=False), help="The file to try.")
@filter_options
@click.option("--limit", default=100, show_default=True, type=click.IntRange(0, 10_000), help="List so many at most.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def diff(settings: Settings, candidate: str, wanted: Filter, limit: int, as_json: bool) -> None:
    """Decide the recorded past again under a candidate file; say what would go elsewhere or be refused.

    Each exchange is compared with what was decided then, and decided as of its time of receipt:
    keys, editions and freshness are those in force then. Uses all cores; nothing is sent or
    recorded. Exit code 0: nothing would change; 1: something would.

    \b
    Examples:
      swexchange routes diff --candidate routes.yaml.new --since 7d
      swexchange routes diff --candidate routes.yaml.new --since 30d --type DecMessage --json
    """
    trial = dataclasses.replace(settings, routes=candidate)
    digest = rules_of(trial).digest
    wanted = dataclasses.replace(wanted, until=wanted.until or utc_now())
    with open_history(settings.database_url) as history:
        total = counted(history, wanted)
    found = Tally(limit)
    with progress("deciding again", total) as advance:
        for part in judge_all(trial, wanted, partial(tally, keep=limit)):
            found.merge(part)
            advance(part.decided)
    told = _told(found, digest)
    emit(told, as_json, lambda: _print(found, told))
    raise SystemExit(exits.PROBLEMS if found.groups else exits.DONE)


def _told(found: Tally, digest: str) -> dict[str, Any]:
    return {
        "candidate": digest,
        "decided": found.decided,
        "changed": found.groups.total(),
        "groups": [{**dataclasses.asdict(group), "exchanges": n} for group, n in found.groups.most_common()],
        "exchanges": [_flat(one) for one in found.changed],
    }


def _flat(one: Judged) -> dict[str, Any]:
    return {
        "exchange": one.exchange_id,
        "received_at": one.received_at.astimezone(CHINA).isoformat(timespec="milliseconds"),
        "sender": one.sender,
        "message_id": one.message_id,
        "type": one.type,
        "change": one.change,
        "then": str(one.then),
        "now": str(one.now),
    }


def _print(found: Tally, told: dict[str, Any]) -> None:
    click.echo(f"{number_of(told['decided'], 'exchange')} decided again, {told['changed']:,} would change")
    rows = [(g.change, f"{n:,}", g.type, g.then, g.now) for g, n in found.groups.most_common()]
    if rows:
        table([("change", "exchanges", "type", "then", "candidate"), *rows], indent="  ")
    listed = [
        (o.exchange_id, local_time(o.received_at), o.change, o.sender, o.message_id, str(o.then), str(o.now))
        for o in found.changed
    ]
    if listed:
        table([("exchange", "received", "change", "sender", "message id", "then", "candidate"), *listed])
    if len(listed) < told["changed"]:
        click.echo(f"and {told['changed'] - len(listed):,} more; --limit lists them", err=True)
