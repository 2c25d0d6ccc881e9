"""`swexchange replay`: plans what would be sent again, shows it, follows it, gives it up. Sends nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.filters import filter_options, given
from swexchange.cli.judging import counted, judge_all, rules_of
from swexchange.cli.operator import operator
from swexchange.cli.output import emit, members, number_of, say, table
from swexchange.cli.progress import progress
from swexchange.cli.root import cli
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.replay import How, Scope
from swexchange.errors import Fault
from swexchange.replay.plan import Planning
from swexchange.settings import Settings
from swexchange.store import Filter, open_history, open_replays
from swexchange.store.replays import Plan, Replay, ReplayItem

_STATES = ("planned", "open", "sending", "sent", "failed", "left", "unknown")
_list_option = click.option(
    "--list", "listed", is_flag=True, help="Each exchange too, with its state and why it failed."
)


@cli.group()
def replay() -> None:
    """Send recorded exchanges again: plan, look, run; or give up."""


@replay.command()
@filter_options
@click.option(
    "--decide", is_flag=True, help="Decide again under today's rules, instead of sending the stored copies as they are."
)
@click.option("--to", "to", multiple=True, metavar="PARTICIPANT", help="Only to this destination (may be repeated).")
@click.option("--receipts", is_flag=True, help="The stored receipts too.")
@click.option("--only-new", is_flag=True, help="No copy that its receiver has already.")
@click.option(
    "--limit", default=0, type=click.IntRange(0), help="At most so many exchanges, the oldest (default: all)."
)
@_list_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def plan(
    settings: Settings, /, wanted: Filter, limit: int, listed: bool, as_json: bool, decide: bool, **narrowed: Any
) -> None:
    """Freeze which exchanges are sent again and to whom, and show what that would do. Sends nothing.

    What matches later is not part of the plan. `replay run` sends it. Exit code 1: nothing found, so nothing is
    planned; 4: you stopped it.

    \b
    Examples:
      swexchange replay plan --receiver DXPEDCDEC0000001 --to DXPEDCDEC0000001 --since 12h
      swexchange replay plan --outcome rejected --code 4204 --since 7d --decide
      swexchange replay plan --exchange 01a20c885df094d71dcd95d0d78f11f5 --receipts
    """
    how = How.DECIDE if decide else How.RESEND
    if decide and narrowed["receipts"]:
        raise click.UsageError("--receipts is for stored ones; --decide makes its own")
    scope = Scope(how, frozenset(narrowed["to"]), narrowed["receipts"], narrowed["only_new"])
    wanted = dataclasses.replace(wanted, until=wanted.until or utc_now())
    with open_history(settings.database_url) as history:
        total = counted(history, wanted)
    if not total:
        click.echo("nothing found: nothing is planned", err=True)
        raise SystemExit(exits.PROBLEMS)
    try:
        planned = _plan(settings, wanted, Planning(scope, limit), total)
    except KeyboardInterrupt:
        click.echo("stopped by its operator: nothing is planned; plan it again", err=True)
        raise SystemExit(exits.STOPPED) from None
    show(settings, planned, as_json, "" if listed else None)


def _plan(settings: Settings, wanted: Filter, planning: Planning, total: int) -> Replay:
    click.echo(f"loading the rules of {settings.routes} and their schemas, by which all is decided again", err=True)
    how, digest = planning.scope.how, rules_of(settings).digest
    asked = _asked(wanted, planning.scope, planning.limit)
    with open_replays(settings.database_url) as replays, progress("planning", total) as advance:
        number = replays.begin(Plan(how, asked, digest, operator()), utc_now())
        try:
            for part in judge_all(settings, wanted, list):
                choice = planning.choose(part, replays.held)
                replays.freeze(number, choice.items, choice.dropped)
                advance(len(part))
                if planning.is_full:
                    break
            return replays.seal(number, planning.effect(total), operator(), utc_now())
        except BaseException:  # half a plan is none
            with suppress(Fault):
                replays.abort(number, operator(), "planning broke off", utc_now())
            raise


def _asked(wanted: Filter, scope: Scope, limit: int) -> dict[str, Any]:
    """What was asked for, as JSON values; what was not is left out."""
    narrowed = {**dataclasses.asdict(scope), "to": sorted(scope.to), "limit": limit}
    return given(wanted) | {name: value for name, value in narrowed.items() if value and name != "how"}


@replay.command()
@click.argument("plan_id", metavar="PLAN")
@_list_option
@click.option("--only", type=click.Choice(_STATES), help="With --list: the exchanges in this state.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def status(settings: Settings, plan_id: str, listed: bool, only: str | None, as_json: bool) -> None:
    """Show one replay: what was asked for, what it does, how far it is, who did what and why.

    \b
    Examples:
      swexchange replay status 019cac2a9dc0-5f3e12ab
      swexchange replay status 019cac2a9dc0-5f3e12ab --list --only failed
    """
    if only and not listed:
        raise click.UsageError("--only narrows --list")
    with open_replays(settings.database_url) as replays:
        found = replays.get(plan_id)
    show(settings, found, as_json, (only or "") if listed else None)


@replay.command(name="list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(settings: Settings, limit: int, as_json: bool) -> None:
    """List the replays, the latest first."""
    with open_replays(settings.database_url) as replays:
        found = replays.list(limit)
    rows = [(r.id, local_time(r.planned_at), r.state, r.how, _counts(r), r.planned_by) for r in found]
    head = ("replay", "planned", "state", "how", "items", "by")
    emit([_told(r) for r in found], as_json, lambda: table([head, *rows]))


@replay.command()
@click.argument("plan_id", metavar="PLAN")
@click.option("--reason", required=True, help="Why; it stands in the record.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def abort(settings: Settings, plan_id: str, reason: str, as_json: bool) -> None:
    """Give a replay up for good: what it has not sent, it never will. A run at work ends within a second or so."""
    with open_replays(settings.database_url) as replays:
        found = replays.abort(plan_id, operator(), reason, utc_now())
    show(settings, found, as_json)


def show(settings: Settings, found: Replay, as_json: bool, listed: str | None = None) -> None:
    """Print one replay; with its exchanges in the state `listed`, all of them for ''."""
    with open_replays(settings.database_url) as replays:
        items = iter(()) if listed is None else replays.items(found.id, listed)
        if as_json:
            more = {} if listed is None else {"exchanges": [_item(one) for one in items]}
            emit({**_told(found), **more}, as_json, lambda: None)
            return
        _print(found)
        for one in items:
            told = _item(one)
            said = " ".join(part for part in (one.state, one.fate, told["at"]) if part)
            say(f"  {one.exchange_id or '(pruned)'}  {one.message_id or '-'}  {', '.join(one.to)}: {said}")


def _item(one: ReplayItem) -> dict[str, Any]:
    return {**members(one), "at": local_time(one.at) if one.at else ""}


def _told(found: Replay) -> dict[str, Any]:
    return {
        **dataclasses.asdict(found),
        "planned_at": local_time(found.planned_at),
        "lease_until": local_time(found.lease_until) if found.lease_until else "",
        "log": [(local_time(at), *rest) for at, *rest in found.log],
    }


def _counts(found: Replay) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in sorted(found.counts.items())) or "none"


def _asked_for(wanted: Mapping[str, Any]) -> Iterator[str]:
    """What was asked for in words: nobody should have to read JSON."""
    for name, value in wanted.items():
        if value is True:
            yield name.replace("_", "-")
        elif isinstance(value, dict):  # a business key, whose name may be empty
            yield f"{name} {'='.join(str(part) for part in value.values() if part)}"
        else:
            yield f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"


def _print(found: Replay) -> None:
    effect = found.effect
    silent = found.state == "running" and found.lease_until is not None and found.lease_until < utc_now()
    table(
        [
            ("replay", found.id),
            ("state", found.state + (" (no sign of life: its process is dead)" if silent else "")),
            ("how", found.how),
            ("asked for", ", ".join(_asked_for(found.wanted)) or "everything"),
            ("found", _found(effect)),
            ("items", _counts(found)),
            ("digest", found.digest),
            ("rules", found.rules_digest),
        ]
    )
    for send in effect.get("sends", ()):
        said = "which it has already" if send["repeats"] else "new to it"
        say(f"  {send['copies']:,} {send['kind']} to {send['to']}, {said}")
    if effect.get("accepted_anew"):
        click.echo(f"  accepted as new exchanges: {number_of(effect['accepted_anew'], 'refused message')}")
    for left in effect.get("left_out", ()):
        say(f"  left out: {left['exchanges']:,}, {left['why']}")
    for group in effect.get("today_differs", ()):
        say(
            f"  today's rules: {group['exchanges']:,} {group['type']} {group['change']}: "
            f"{group['then']} -> {group['today']}"
        )
    for fate, count in found.fates.items():
        say(f"  failed: {count:,} {fate}")
    table([(local_time(at), event, who, detail) for at, event, who, detail in found.log], indent="  ")
    if found.items and found.state in ("planned", "stopped"):
        click.echo(f"swexchange replay run {found.id} --reason '...' sends it", err=True)
    if found.fates:
        click.echo(f"swexchange replay status {found.id} --list --only failed lists what failed", err=True)


def _found(effect: Mapping[str, Any]) -> str:
    """How many exchanges, where a limit ended the plan before it saw all of them."""
    found = effect.get("found", 0)
    matching = effect.get("matching", found)
    return f"{found:,} of {number_of(matching, 'exchange')}" if found < matching else number_of(found, "exchange")
