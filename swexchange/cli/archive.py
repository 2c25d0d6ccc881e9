"""`swexchange archive`: files of sealed leaves, each of which proves itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.evidence import removed_lines, verifiers
from swexchange.cli.output import emit, number_of, table
from swexchange.cli.pausing import fast_option
from swexchange.cli.progress import progress
from swexchange.cli.root import cli
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.checkpoint import Verifier
from swexchange.core.log import Archived
from swexchange.core.prune_record import PruneRecord
from swexchange.evidence.archive_file import ArchiveFile, Damaged
from swexchange.evidence.archive_folder import gaps, strangers, unknown_removals
from swexchange.evidence.archiver import Archiver, Bounds
from swexchange.evidence.claims import added, lost
from swexchange.settings import Settings
from swexchange.store import Archives, open_archives
from swexchange.store.rows import moment


@cli.group()
def archive() -> None:
    """Archive files of the audit log: write, check and search them, prune the database of what lies in them."""


@archive.command()
@click.option("--all", "everything", is_flag=True, help="Also the last entries, which do not fill a file.")
@click.option(
    "--entries", default=Bounds().entries, show_default=True, type=click.IntRange(1), help="So many fill a file."
)
@fast_option
@click.pass_obj
def write(settings: Settings, everything: bool, entries: int, pause: Callable[[], object]) -> None:
    """Write what is sealed and not yet archived into files, oldest first, into the folder SWX_ARCHIVE.

    Each file holds entries with their messages, receipts and details, compressed, and proves itself; it
    names the file before it. It may be stopped at any time, and goes on where it was. Nothing is
    deleted. The daemon goes on; files are written with pauses, so that messages do not wait for it.

    \b
    Examples:
      swexchange archive write
      swexchange archive write --all
    """
    count = 0
    with open_archives(settings.database_url) as log:
        head, last = log.head(), log.last_archive()
        archiver = Archiver(log, Path(settings.archive), verifiers(settings, ()), utc_now, pause, Bounds(entries))
        done, size = last.end if last else 0, head.size if head else 0
        with progress("entries", size - done) as advance:
            for made in archiver.write_all(everything=everything):
                count += 1
                advance(made.leaves)
                click.echo(str(Path(settings.archive, made.name)))
        left = size - (last.end if (last := log.last_archive()) else 0)
    click.echo(f"{number_of(count, 'file')} written; in none yet: {number_of(left, 'entry', 'entries')}", err=True)


@archive.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(settings: Settings, as_json: bool) -> None:
    """List the archive files that the database knows, oldest first. Exit code 1: there is none."""
    with open_archives(settings.database_url) as log:
        found, removed = log.archives(), log.removed()
    told = [_told(settings, one, removed.get(one.name)) for one in found]
    emit(told, as_json, lambda: _print(told))
    raise SystemExit(exits.DONE if found else exits.PROBLEMS)


def _told(settings: Settings, one: Archived, removed: PruneRecord | None) -> dict[str, Any]:
    return {
        **asdict(one),
        "digest": one.digest.hex(),
        "since": local_time(moment(one.since)) if one.since else "",
        "until": local_time(moment(one.until)) if one.until else "",
        "there": "yes" if Path(settings.archive, one.name).exists() else "no",
        "removed": f"{local_time(removed.at)} by {removed.by}, {removed.retention}" if removed else "",
    }


def _print(told: list[dict[str, Any]]) -> None:
    names = ("name", "first", "leaves", "since", "until", "size", "there", "removed")
    heads = ("file", "first leaf", "entries", "from", "to", "bytes", "there", "removed")
    rows = [tuple(str(one[name]) for name in names) for one in told]
    if rows:
        table([heads, *rows])
    else:
        click.echo("nothing is archived yet", err=True)


@archive.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--key", "keys", multiple=True, metavar="VKEY", help="A key of the log [default: audit key].")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def verify(settings: Settings, names: tuple[str, ...], keys: tuple[str, ...], as_json: bool) -> None:
    """Read archive files back, all or these: each byte, and that they follow each other. Exit code 1: one is wrong.

    A file that went by retention is not missed where the log says so, of this very file: any other is.
    Any other archive file in the folder is one too many. What accepted messages took has to be taken
    still, else they could take effect a second time.

    \b
    Examples:
      swexchange archive verify
      swexchange archive verify 000000000000-000000009999.zip
    """
    trusted, folder = verifiers(settings, keys), Path(settings.archive)
    with open_archives(settings.database_url) as log:
        known, removed, records = log.archives(), log.removed(), log.prune_records()
        if unknown := set(names) - {one.name for one in known}:
            raise click.UsageError(f"the database knows no archive {min(unknown)}; `swexchange archive list` shows all")
        chosen = [one for one in known if not names or one.name in names]
        problems = [*gaps(known), *unknown_removals(known, records)]
        problems += () if names else strangers(folder, known)
        left = [one for one in chosen if one.name not in removed or Path(folder, one.name).exists()]
        with progress("files", len(left)) as advance:
            for one in left:
                problems += _problems(log, folder, one, trusted)
                advance(1)
        if not problems and len(left) == len(known):
            problems += (("-", what) for what in added(log, _opened(log, folder)))
    gone = [removed[one.name] for one in chosen if one not in left]
    told = {
        "files": len(left),
        "removed": [{"file": one.file, "at": local_time(one.at), "by": one.by} for one in gone],
        "problems": [{"file": name, "what": what} for name, what in problems],
    }
    emit(told, as_json, lambda: _print_problems(len(left), gone, problems))
    raise SystemExit(exits.PROBLEMS if problems else exits.DONE)


def _problems(log: Archives, folder: Path, one: Archived, keys: Sequence[Verifier]) -> Iterator[tuple[str, str]]:
    try:
        with closing(ArchiveFile(folder / one.name)) as file:
            file.require(one, keys)
            yield from ((one.name, what) for what in lost(log, file))
    except Damaged as fault:
        yield one.name, fault.what


def _opened(log: Archives, folder: Path) -> Iterator[ArchiveFile]:
    for one in log.archives():
        with closing(ArchiveFile(folder / one.name)) as file:
            yield file


def _print_problems(count: int, removed: Sequence[PruneRecord], problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        table(problems)
    else:
        click.echo(f"all well: {number_of(count, 'archive file')}")
    for line in removed_lines(removed):
        click.echo(line)
