"""`swexchange archive prune`, `log`: what may go by its age, and who had it go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.archive import archive
from swexchange.cli.evidence import verifiers
from swexchange.cli.operator import operator
from swexchange.cli.output import emit, table
from swexchange.cli.progress import progress
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.prune_record import PruneRecord
from swexchange.errors import ConfigFault
from swexchange.evidence.pace import Pace
from swexchange.evidence.pruner import Pruner
from swexchange.rules.load import load_retention
from swexchange.rules.retention import Retention
from swexchange.settings import Settings
from swexchange.store import FilePruning, open_archives, open_pruning


@archive.command()
@click.option("--yes", is_flag=True, help="Do it. Without this, only say what would be pruned.")
@click.option("--key", "keys", multiple=True, metavar="VKEY", help="A key of the log [default: audit key].")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def prune(settings: Settings, yes: bool, keys: tuple[str, ...], as_json: bool) -> None:
    """Take messages out of the database that are older than `retention` in routes.yaml says and lie in archive files.

    Each file is read back and proved first. What is still to be done, and what is under a hold, stays.
    Where retention says when, whole exchanges follow later; what they took stays taken; and last the
    archive files themselves, of which nothing is in the database any more. Who did it stands in the
    log: `swexchange archive log`. It may be stopped at any time. The daemon goes on. Exit code 2: an
    archive file is not what it should be; of it nothing is pruned.

    \b
    Examples:
      swexchange archive prune
      swexchange archive prune --yes
    """
    retention = load_retention(Path(settings.routes))
    if retention.body is None:
        raise ConfigFault("retention.body is not set: messages are kept for good", where=settings.routes)
    with open_pruning(settings.database_url) as log:
        pruner = Pruner(log, Path(settings.archive), verifiers(settings, keys), operator(), utc_now, Pace(time.sleep))
        told = _planned(log, retention, retention.body)
        if retention.evidence and not yes:  # a run proves them as it comes to them
            told["files"] = [one.name for one, _ in pruner.removable(retention.evidence)]
        try:
            if yes:
                with pruner.alone():
                    _prune(pruner, retention, retention.body, told)
        finally:
            emit(told, as_json, lambda: _print(told))
    if not yes:
        click.echo("nothing was done; --yes does it", err=True)


def _planned(log: FilePruning, retention: Retention, body: timedelta) -> dict[str, Any]:
    """What would go of the database; nothing has yet."""
    now = utc_now()
    found = [log.prunable(one, now - body) for one in log.full_archives(now - body)]
    rows = now - retention.metadata if retention.metadata else None
    return {
        "before": local_time(now - body),
        **{name: sum(getattr(one, name) for one in found) for name in ("messages", "bytes", "open", "held")},
        "pruned": 0,
        "exchanges": sum(log.old_rows(one, rows) for one in log.archives_with_rows(rows)) if rows else 0,
        "rows_pruned": 0,
        "files_removed": [],
    }


def _prune(pruner: Pruner, retention: Retention, body: timedelta, told: dict[str, Any]) -> None:
    """Class after class; `told` is kept up, whatever ends it."""
    with progress("messages", told["messages"]) as advance:
        for count in pruner.prune(body):
            told["pruned"] += count
            advance(count)
        for count in pruner.prune_rows(retention.metadata) if retention.metadata else ():
            told["rows_pruned"] += count
        for removed in pruner.remove_files(retention.evidence) if retention.evidence else ():
            told["files_removed"].append(removed.name)


def _print(told: dict[str, Any]) -> None:
    lists = {name: ", ".join(value) or "none" for name, value in told.items() if isinstance(value, list)}
    table([(name, str(value)) for name, value in (told | lists).items()])


@archive.command("log")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def log_(settings: Settings, as_json: bool) -> None:
    """Show who pruned what, when and by which retention, the latest last. Exit code 1: nothing was pruned.

    `pruning` says how many may go now of what lies in an archive file, `pruned` how many went; where a
    run was stopped or died, the second is missing. `removed` says that the file goes itself. Each is an
    entry of the log, which `swexchange audit verify` proves.

    \b
    Example:
      swexchange archive log
    """
    with open_archives(settings.database_url) as log:
        found = log.prune_records()
    emit([{**asdict(one), "at": local_time(one.at)} for one in found], as_json, lambda: _print_log(found))
    raise SystemExit(exits.DONE if found else exits.PROBLEMS)


def _print_log(found: Sequence[PruneRecord]) -> None:
    rows = [(local_time(one.at), str(one.event), one.file, str(one.count), one.retention, one.by) for one in found]
    if rows:
        table([("time", "what", "file", "count", "retention", "by"), *rows])
    else:
        click.echo("nothing was pruned yet", err=True)
