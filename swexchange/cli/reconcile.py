"""`swexchange audit reconcile`: every message of a day is accounted for, and a document says so."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from swexchange.cli import exits
from swexchange.cli.audit import audit as group
from swexchange.cli.output import emit, file_bytes, members, table, write_file
from swexchange.cli.progress import progress
from swexchange.cli.wiring_store import log_key, sealer
from swexchange.clock import utc_now
from swexchange.core.canonical import CHINA, local_time
from swexchange.core.reconcile import Account, Line, Side, Standing, compare, document, read_list
from swexchange.errors import ConfigFault
from swexchange.evidence.reconcile import covered, require_whole, signed_document
from swexchange.rules.load import load_parties
from swexchange.settings import Settings
from swexchange.store import Tally, open_tally

Lines = tuple[Side, Sequence[Line]]


@group.command()
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Received on this day, +08:00 [yesterday]."
)
@click.option("--participant", default="", help="This one alone, as a document.")
@click.option(
    "--side",
    type=click.Choice([side.value for side in Side]),
    default=Side.SENDER.value,
    show_default=True,
    help="Whose list: sent, or delivered.",
)
@click.option("--list", "listed", is_flag=True, help="With every message: exchange, digest, outcome, message id.")
@click.option("--against", type=click.Path(dir_okay=False), metavar="CSV", help="Compare with the participant's list.")
@click.option("--output", "-o", type=click.Path(file_okay=False), metavar="FOLDER", help="A document of each, here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def reconcile(settings: Settings, /, day: datetime | None, as_json: bool, **given: Any) -> None:
    """Account for every message of a day: what came in, what became of it, what is open.

    Received = accepted + rejected + waiting + held; accepted = delivered + owed + dropped; each has its
    receipt; of the copies for a participant, which are delivered. Without --participant a line for
    each; with it the document, signed with SWX_AUDIT_KEY under a checkpoint that covers the day:
    bin/verify-evidence checks it. --against takes a CSV file with a column message_id or digest
    (SHA-256 in hex), or one without heads, and says what only one of both sides has.
    Exit code 1: an equation does not hold, something is given up that nobody decided, or the lists differ;
    2: messages of the day are gone from the database, or not sealed yet.

    \b
    Examples:
      swexchange audit reconcile
      swexchange audit reconcile --day 2026-11-24 --output reconciliations
      swexchange audit reconcile --day 2026-11-24 --participant DXPENT0000012345 --list > proof.txt
      swexchange audit reconcile --day 2026-11-24 --participant DXPENT0000012345 --against theirs.csv
    """
    this = day.date() if day else utc_now().astimezone(CHINA).date() - timedelta(days=1)
    participant, side = given["participant"], Side(given["side"])
    if not 1970 <= this.year < 9999:
        raise click.BadParameter("a day between 1970 and 9998", param_hint="--day")
    if (given["against"] or given["listed"]) and not participant:
        raise click.UsageError("a list is of one participant: add --participant")
    with open_tally(settings.database_url) as tally:
        require_whole(tally, this)
        if given["against"]:
            raise SystemExit(_compare(tally, this, participant, side, given["against"], as_json))
        with progress("hours", 24) as advance:
            accounts = tally.accounts(this, participant, advance)
        if participant and not (accounts[0].received or accounts[0].addressed):
            _require_known(settings, participant)
        lines: Lines | None = (side, tally.lines(this, participant, side)) if given["listed"] else None
        if given["output"]:
            _write(settings, tally, accounts, lines, Path(given["output"]))
        shown = (lambda: _show(settings, tally, accounts[0], lines)) if participant else (lambda: _print(accounts))
        emit([_told(account, lines) for account in accounts], as_json, shown)
    raise SystemExit(exits.DONE if all(account.holds for account in accounts) else exits.PROBLEMS)


def _require_known(settings: Settings, participant: str) -> None:
    """Raise ConfigFault for a name that nobody has: of a slip of the pen no signed zero is made."""
    participants, _ = load_parties(Path(settings.routes))
    if participant not in participants:
        what = f"{participant!r} had no message on this day, and is no participant"
        raise ConfigFault(what, where=settings.routes, do="Look for its id there")


def _show(settings: Settings, tally: Tally, account: Account, lines: Lines | None) -> None:
    if settings.audit_key:
        click.echo(next(_signed(settings, tally, [account], lines)), nl=False)
        return
    click.echo(document(account, settings.audit_origin or "-", lines, utc_now()), nl=False)
    click.echo("not signed: SWX_AUDIT_KEY is not set", err=True)


def _signed(settings: Settings, tally: Tally, accounts: Sequence[Account], lines: Lines | None) -> Iterator[str]:
    """The documents of accounts of one day, under one checkpoint."""
    if not accounts:
        return
    sealer(settings, tally).check()  # nothing is signed about a log that was rolled back
    signed = covered(tally, accounts[0].day)
    for account in accounts:
        yield signed_document(signed, account, lines, *log_key(settings), utc_now())


def _write(settings: Settings, tally: Tally, accounts: list[Account], lines: Lines | None, folder: Path) -> None:
    for account, text in zip(accounts, _signed(settings, tally, accounts, lines), strict=True):
        path = folder / f"{account.day}-{quote(account.participant, safe='')}.txt"
        write_file(path, text.encode())
        click.echo(f"{path} written", err=True)


def _told(account: Account, lines: Lines | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "day": account.day.isoformat(),
        "participant": account.participant,
        "holds": account.holds,
        "equations": {e.name: {"total": e.total, **e.parts, "holds": e.holds} for e in account.equations},
        "items": [members(item) for item in account.items],
    }
    if lines:
        told["list"] = [{**members(line), "digest": line.digest.hex()} for line in lines[1]]
    return told


def _print(accounts: list[Account]) -> None:
    if not accounts:
        click.echo("nothing was received on this day", err=True)
    for account in accounts:
        click.echo(account.participant + ("" if account.holds else "  DOES NOT ADD UP"))
        for equation in account.equations:
            click.echo(f"  {equation}{'' if equation.holds else '  DOES NOT HOLD'}")
        counted = ", ".join(f"{account.count(standing)} {standing}" for standing in Standing)
        click.echo(f"  items: {counted}")
    if any(account.items for account in accounts):
        click.echo("--participant lists the items of one", err=True)


def _compare(tally: Tally, day: date, participant: str, side: Side, file: str, as_json: bool) -> int:
    """Print what only one of both sides has; the exit code."""
    found = compare(tally.lines(day, participant, side), _theirs(file))
    missing = {name: tally.elsewhere(participant, name) if side is Side.SENDER else () for name in found.theirs}
    told = {
        "theirs_only": [
            {"name": name, "elsewhere": [{"exchange": number, "received": local_time(at)} for number, at in others]}
            for name, others in missing.items()
        ],
        "ours_only": [{**members(line), "digest": line.digest.hex()} for line in found.ours],
    }
    emit(told, as_json, lambda: _print_difference(told))
    return exits.PROBLEMS if found.theirs or found.ours else exits.DONE


def _theirs(file: str) -> list[str]:
    try:
        text = file_bytes(file).decode("utf-8-sig")
        return list(read_list(csv.reader(io.StringIO(text, newline=""))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigFault(f"cannot read the list: {error}", where=file, do="Use CSV in UTF-8") from None


def _print_difference(told: dict[str, list[dict[str, Any]]]) -> None:
    for row in told["theirs_only"]:
        others = ", ".join(f"{other['exchange']} of {other['received']}" for other in row["elsewhere"])
        table([("theirs only", row["name"], f"came as {others}" if others else "never came here")])
    for row in told["ours_only"]:
        table([("ours only", row["message_id"] or row["digest"], f"{row['outcome']}, exchange {row['exchange']}")])
    if not any(told.values()):
        click.echo("both lists agree")
