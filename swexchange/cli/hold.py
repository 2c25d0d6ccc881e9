"""`swexchange hold`: legal holds, what may not be pruned."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.filters import lasting_filter_options
from swexchange.cli.operator import operator
from swexchange.cli.output import emit, number_of, table
from swexchange.cli.root import cli
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.search import Filter
from swexchange.settings import Settings
from swexchange.store import open_holds
from swexchange.store.holds import Hold


@cli.group()
def hold() -> None:
    """Legal holds: what they find is not pruned, whatever its age."""


@hold.command()
@lasting_filter_options
@click.option("--reason", required=True, help="Why; it is kept with your name.")
@click.pass_obj
def add(settings: Settings, wanted: Filter, reason: str) -> None:
    """Hold what the filter finds, today and later, until the hold is lifted. Prints the hold's number.

    \b
    Examples:
      swexchange hold add --sender DXPENT0000012345 --since 2026-11-01 --reason "case 2026-117"
      swexchange hold add --key EntryId=530420261000000017 --reason "customs inquiry"
    """
    with open_holds(settings.database_url) as holds:
        number = holds.add(wanted, operator(), reason, utc_now())
        count = holds.count(wanted)
    click.echo(str(number))
    click.echo(f"under it now: {number_of(count, 'exchange')}", err=True)


@hold.command("list")
@click.option("--all", "lifted", is_flag=True, help="Lifted ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(settings: Settings, lifted: bool, as_json: bool) -> None:
    """List the holds, the latest first. Exit code 1: there is none."""
    with open_holds(settings.database_url) as holds:
        found = [one for one in holds.list() if lifted or one.lifted_at is None]
    told = [_told(one) for one in found]
    emit(told, as_json, lambda: _print(told))
    raise SystemExit(exits.DONE if found else exits.PROBLEMS)


@hold.command()
@click.argument("number", type=click.IntRange(1, 2**63 - 1))
@click.option("--reason", required=True, help="Why; it is kept with your name.")
@click.pass_obj
def lift(settings: Settings, number: int, reason: str) -> None:
    """End a hold; what it alone held may be pruned from now on. Its record stays.

    \b
    Example:
      swexchange hold lift 1 --reason "case 2026-117 closed"
    """
    with open_holds(settings.database_url) as holds:
        holds.lift(number, operator(), reason, utc_now())


def _told(one: Hold) -> dict[str, Any]:
    wanted = {name: value for name, value in asdict(one.wanted).items() if value and name != "limit"}
    times = {name: local_time(wanted[name]) for name in ("since", "until") if name in wanted}
    return {
        **asdict(one),
        "wanted": {**wanted, **times},
        "placed_at": local_time(one.placed_at),
        "lifted_at": local_time(one.lifted_at) if one.lifted_at else "",
    }


def _print(told: list[dict[str, Any]]) -> None:
    if not told:
        click.echo("there is no hold", err=True)
        return
    rows = [
        (
            str(one["id"]),
            one["placed_at"],
            one["placed_by"],
            one["lifted_at"] or "in force",
            ", ".join(f"{name} {value}" for name, value in one["wanted"].items()) or "everything",
            one["why"],
        )
        for one in told
    ]
    table([("hold", "placed", "by", "lifted", "what", "why"), *rows])
