"""`swexchange restore`: what a backup holds, in an empty place, and whether it is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from swexchange.backup import DATABASE, Manifest, read_manifest, verify
from swexchange.cli import exits
from swexchange.cli.auditing import comparing
from swexchange.cli.backup_files import HEAD, LOG_KEY, is_secret, target
from swexchange.cli.evidence import verifiers
from swexchange.cli.output import emit, file_bytes, table
from swexchange.cli.progress import progress
from swexchange.cli.root import cli
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.checkpoint import BadNote, Verifier, size_of
from swexchange.durable import create_file, sync
from swexchange.errors import ConfigFault
from swexchange.evidence.auditor import Findings, audit, audit_unsealed
from swexchange.evidence.sealer import HighWater
from swexchange.evidence.tree_check import Problem
from swexchange.settings import Settings
from swexchange.store import open_evidence, version
from swexchange.store import restore as store

key_option = click.option(
    "--key", "keys", multiple=True, metavar="VKEY", help="A key of the log [default: audit key, else the backup's]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
folder_argument = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@cli.command()
@folder_argument
@click.option("--database-only", is_flag=True, help="Leave rules, schemas and keys of this machine as they are.")
@key_option
@click.option(
    "--checkpoint",
    "kept",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="A checkpoint that somebody kept: what it has seen beyond the backup is lost.",
)
@json_option
@click.pass_obj
def restore(
    settings: Settings, folder: Path, database_only: bool, keys: tuple[str, ...], kept: tuple[str, ...], as_json: bool
) -> None:
    """Restore a backup into an empty place, and verify what was restored.

    The database is that of SWX_DATABASE_URL, of either kind; files go where the settings say. A
    database that holds anything, or a file that is there and differs, is refused before anything
    is done. After a crash run it again: the database has everything or nothing. One that has everything
    is refused: what was left to do is what `audit verify` does.

    Then the whole log is compared with the rows, and with whoever remembers how far it went: the
    file of SWX_AUDIT_HEAD, if this machine still has it, and each --checkpoint. Exit code 1:
    something that was restored does not fit. What is lost is no error, but is told.

    \b
    Examples:
      swexchange restore /backup/2026-11-25
      SWX_DATABASE_URL=postgresql://swx@127.0.0.1/swx swexchange restore /backup/2026-11-25
    """
    seen = {file: file_bytes(file).decode("utf-8", "replace") for file in kept}
    if remembered := HighWater(Path(settings.audit_head)).read():
        seen[settings.audit_head] = remembered
    longest = max((_size(note, name) for name, note in seen.items()), default=0)
    store.require_empty(settings.database_url)
    manifest = checked(folder)
    files = {} if database_only else _targets(settings, folder, manifest)
    # Before the database: after a crash in between they are there and equal. What is remembered of the log comes
    # after it: a restore that is run again must not take the backup's memory for one of this machine.
    _put_all(folder, {name: path for name, path in files.items() if name != HEAD})
    fill(folder, manifest, settings.database_url)
    _put_all(folder, {name: path for name, path in files.items() if name == HEAD})
    found, problems = audited(settings.database_url, folder, backup_verifiers(settings, folder, keys), seen)
    told = {
        "taken": str(manifest.taken.begun_at),
        "exchanges": manifest.taken.rows["exchange"],
        "files": [str(path) for path in files.values()],
        **log_as_json(found, problems),
        "log_entries_lost": max(0, longest - found.size) if seen else None,
    }
    emit(told, as_json, lambda: _print(told, manifest, found, problems))
    raise SystemExit(exits.PROBLEMS if problems else exits.DONE)


def _print(told: Mapping[str, Any], manifest: Manifest, found: Findings, problems: Sequence[Problem]) -> None:
    rows = [
        ("backup of", local_time(manifest.taken.begun_at)),
        ("exchanges", f"{told['exchanges']:,}"),
        ("files", f"{len(told['files']):,} in their places"),
        *log_as_rows(found, problems),
    ]
    lost = told["log_entries_lost"]
    if lost is None and found.size:
        rows.append(("UNKNOWN", "what the log lost: nothing here remembers how far it went; ask its witnesses"))
    elif lost:
        rows.append(("LOST", f"the log had {found.size + lost:,} entries: {lost:,} are not in this backup"))
    table(rows)
    click.echo("next: docs/how-to/backup.md#after-a-restore", err=True)


def checked(folder: Path) -> Manifest:
    """The manifest of a backup whose every file was read and is as listed. Raises ConfigFault."""
    manifest = read_manifest(folder)
    with progress("bytes", manifest.bytes) as advance:
        verify(folder, manifest, advance)
    return manifest


def fill(folder: Path, manifest: Manifest, url: str) -> None:
    """The backup's rows in an empty database. Raises ConfigFault, StoreDown."""
    with progress("rows", sum(manifest.taken.rows.values())) as advance:
        store.restore(folder / DATABASE, url, utc_now(), advance)


def audited(
    url: str, folder: Path, keys: Sequence[Verifier], seen: Mapping[str, str]
) -> tuple[Findings, list[Problem]]:
    """What is wrong with a restored database; that it ends before a checkpoint that was seen is not."""
    found, remembered = Findings(), HighWater(folder / HEAD).read()
    with open_evidence(url) as log:
        head = log.head()
        size = head.size if head else 0
        known = {name: note for name, note in seen.items() if _size(note, name) <= size}
        known |= {HEAD: remembered} if remembered else {}
        with progress("leaves", size) as advance:
            problems = list(audit(log, keys, known, found, advance, compare=comparing(url)))
            problems += audit_unsealed(log, found)
    return found, [*(Problem("database", what) for what in version.check(url)), *problems]


def log_as_json(found: Findings, problems: Sequence[Problem]) -> dict[str, Any]:
    """What an audit has found, for programs."""
    return {
        "log_entries": found.size,
        "not_sealed": found.unsealed,
        "problems": [{"place": problem.place, "what": problem.what} for problem in problems],
    }


def log_as_rows(found: Findings, problems: Sequence[Problem]) -> list[tuple[str, str]]:
    """What an audit has found, for people."""
    said = f"{len(problems):,} problems" if problems else "all well"
    rows = [("log", f"{said}: {found.size:,} entries, {found.unsealed:,} rows not sealed yet")]
    return [*rows, *((problem.place, problem.what) for problem in problems)]


def backup_verifiers(settings: Settings, folder: Path, given: tuple[str, ...]) -> list[Verifier]:
    """As `evidence.verifiers`; where this machine has no key of the log, the one in the backup. Raises ConfigFault."""
    path = folder / LOG_KEY
    if not given:
        with suppress(ConfigFault):  # a new machine may not have its keys yet
            return verifiers(settings, ())
        if not path.exists():
            return []
    return verifiers(settings, given or (path.read_text("utf-8"),))


def _size(note: str, name: str) -> int:
    try:
        return size_of(note)
    except BadNote as error:
        raise ConfigFault(str(error), where=name) from None


def _targets(settings: Settings, folder: Path, manifest: Manifest) -> dict[str, Path]:
    """Where each file of the backup belongs. Raises ConfigFault where another one is."""
    found = {}
    for name in manifest.files:
        path = target(settings, name)
        if path is None or (name == HEAD and path.exists()):
            continue  # what this machine remembers may be newer, and says what is lost
        if path.exists() and file_bytes(str(path)) != (folder / name).read_bytes():
            do = "Move it away, or restore with --database-only and compare by hand"
            raise ConfigFault(f"it is not the {name} of the backup", where=str(path), do=do)
        found[name] = path
    return found


def _put_all(folder: Path, files: Mapping[str, Path]) -> None:
    for name, path in files.items():
        put(folder / name, path, secret=is_secret(name))
    for inside in {path.parent for path in files.values()}:
        sync(inside)


def put(source: Path, path: Path, *, secret: bool = True) -> None:
    """Copy a file to its place, unless it is there. Raises ConfigFault."""
    try:
        if not path.exists():
            create_file(path, source.read_bytes(), secret=secret)
    except OSError as error:
        raise ConfigFault(f"cannot write the file: {error.strerror}", where=str(path)) from None
