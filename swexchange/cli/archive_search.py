"""`swexchange archive search`, `show`, `prove`: what lies in archive files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.archive import archive
from swexchange.cli.evidence import schemas_in, tell_left_out
from swexchange.cli.filters import lasting_filter_options
from swexchange.cli.output import emit, table, write_file, write_stdout
from swexchange.core.canonical import local_time
from swexchange.core.search import Filter
from swexchange.evidence import archive_search
from swexchange.evidence.archive_folder import holes
from swexchange.evidence.archive_search import Found, Hit
from swexchange.settings import Settings


@archive.command()
@lasting_filter_options
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("--after", default="", metavar="EXCHANGE", help="Continue behind this exchange, towards older ones.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def search(settings: Settings, wanted: Filter, limit: int, after: str, as_json: bool) -> None:
    """Find exchanges in the archive files, newest first; it reads every file whose time fits, and no database.

    Of files that are missing between those that are there, stderr tells. Exit code 1: nothing found.

    \b
    Examples:
      swexchange archive search --key EntryId=530420261000000017
      swexchange archive search --sender DXPENT0000012345 --since 2026-11-01 --until 2026-12-01
    """
    folder, wanted = Path(settings.archive), replace(wanted, limit=limit, after=after)
    found = list(archive_search.search(folder, wanted))
    emit([_told(hit) for hit in found], as_json, lambda: _print(found))
    _tell_holes(folder)
    raise SystemExit(exits.DONE if found else exits.PROBLEMS)


def _tell_holes(folder: Path) -> None:
    """What lies in a missing file is not found: not as if it had never been."""
    what = "in no file of this folder, by retention or because it is missing; what lies there is not found"
    for first, last in holes(folder):
        click.echo(f"leaves {first} to {last}: {what}", err=True)


def _told(hit: Hit) -> dict[str, Any]:
    return {"archive": hit.archive, **hit.said, "received_at": local_time(hit.received_at)}


def _print(found: list[Hit]) -> None:
    names = ("outcome", "code", "type", "sender", "message_id")
    rows = [
        (hit.said["exchange"], local_time(hit.received_at), *(str(hit.said[name]) for name in names), hit.archive)
        for hit in found
    ]
    if rows:
        table([("exchange", "received", "outcome", "code", "type", "sender", "message id", "archive"), *rows])
    else:
        click.echo("nothing found", err=True)


@archive.command()
@click.argument("exchange_id", metavar="EXCHANGE")
@click.option("--body", is_flag=True, help="Write the message's exact bytes to stdout instead.")
@click.option("--receipt", is_flag=True, help="Write the receipt's exact bytes to stdout instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show(settings: Settings, exchange_id: str, body: bool, receipt: bool, as_json: bool) -> None:
    """Show what the archive files hold of one exchange. Exit code 1: it lies in none.

    \b
    Example:
      swexchange archive show 01a20c885df094d71dcd95d0d78f11f5 --body > message.xml
    """
    found = _found(settings, exchange_id)
    if body or receipt:
        write_stdout(found.stored.parts["messages" if body else "receipts"])
        return
    told = {"archive": found.archive.name, "leaf": found.stored.leaf, **found.said}
    emit(told, as_json, lambda: table([(name, str(value)) for name, value in told.items()]))


@archive.command()
@click.argument("exchange_id", metavar="EXCHANGE")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write here [EXCHANGE.zip].")
@click.pass_obj
def prove(settings: Settings, exchange_id: str, output: str | None) -> None:
    """Write one file that proves an exchange to anybody, as `audit prove` does, of archive files alone.

    Its events are looked for in that file and in all that follow. Exit code 1: it lies in none.

    \b
    Example:
      swexchange archive prove 019cac2a9dc017bb841883fa7d7020a8 -o evidence.zip
    """
    found = _found(settings, exchange_id)
    _tell_holes(found.archive.parent)  # events of it may lie there
    made = archive_search.prove(found, schemas_in(settings), tell_left_out)
    path = Path(output or f"{exchange_id}.zip")
    write_file(path, made)
    click.echo(str(path))


def _found(settings: Settings, exchange_id: str) -> Found:
    folder = Path(settings.archive)
    found = archive_search.find(folder, exchange_id)
    if found is None:
        _tell_holes(folder)
        click.echo("no archive file holds this exchange; `swexchange archive search` finds ids", err=True)
        raise SystemExit(exits.PROBLEMS)
    return found
