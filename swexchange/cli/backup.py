"""`swexchange backup`: everything that cannot be had again, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from swexchange import __version__
from swexchange.backup import DATABASE, Manifest, Taken, new_folder, write_manifest
from swexchange.cli.backup_files import HEAD, LOG_KEY, WITNESS_KEYS, sources
from swexchange.cli.output import emit, table
from swexchange.cli.pausing import fast_option
from swexchange.cli.progress import progress
from swexchange.cli.root import cli
from swexchange.cli.wiring_store import audit_verifier
from swexchange.clock import utc_now
from swexchange.core.checkpoint import size_of
from swexchange.crashpoint import crashpoint
from swexchange.durable import create_file
from swexchange.evidence.sealer import HighWater
from swexchange.settings import Settings
from swexchange.store.engine import parse_url, where
from swexchange.store.snapshot import open_snapshot


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--with-private-keys", "private_keys", is_flag=True, help="Also the secrets of SWX_KEYS, as they are.")
@fast_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def backup(settings: Settings, folder: Path, private_keys: bool, pause: Callable[[], object], as_json: bool) -> None:
    """Write a backup into a new folder, while the daemon works.

    It holds the database as it is at one moment, as an SQLite file whatever the database is;
    routes.yaml, filters and schemas; the public keys of log and witnesses; the remembered
    checkpoint; and a list of all files with their digests. It is written with pauses, so that messages
    do not wait for it. It holds every message: keep it like the database. Private keys are not in it
    unless you ask. What waits in the broker is not either.

    The folder has its name only when it is complete and on disk.

    \b
    Examples:
      swexchange backup /backup/2026-11-25
      swexchange backup /safe/before-moving --with-private-keys --fast
    """
    with new_folder(folder) as partial:
        manifest = _fill(partial, settings, private_keys, pause)
    taken = manifest.taken
    told = {"folder": str(folder), "bytes": manifest.bytes, **asdict(taken), "log_entries": size_of(taken.checkpoint)}
    rows = [
        ("folder", str(folder)),
        ("bytes", f"{manifest.bytes:,}"),
        ("exchanges", f"{taken.rows['exchange']:,}"),
        ("log", f"{told['log_entries']:,} entries" if taken.checkpoint else "not sealed"),
        ("seconds", f"{(taken.ended_at - taken.begun_at).total_seconds():.1f}"),
        ("private keys", "in it: keep it as you keep the keys" if private_keys else "not in it: keep copies elsewhere"),
    ]
    emit(told, as_json, lambda: table(rows))


def _fill(folder: Path, settings: Settings, private_keys: bool, pause: Callable[[], object]) -> Manifest:
    begun_at = utc_now()
    # Before the rows: the sealer writes the database first, so a checkpoint remembered by now is among them.
    for name, text in _texts(settings):
        create_file(folder / name, text.encode())
    with open_snapshot(settings.database_url) as snapshot:
        with progress("rows", sum(snapshot.rows.values())) as advance:
            snapshot.save(folder / DATABASE, _both(advance, pause))
        rows, checkpoint, version = snapshot.rows, snapshot.checkpoint, snapshot.version
    crashpoint("backup-rows")
    # After the rows: keys are only ever added, so every key that the rows speak of is in this routes.yaml.
    for name, path in sources(settings, private_keys=private_keys):
        create_file(folder / name, path.read_bytes())
    place = where(parse_url(settings.database_url))
    taken = Taken(__version__, place, version, rows, checkpoint, begun_at, utc_now(), private_keys)
    return write_manifest(folder, taken)


def _both(advance: Callable[[int], object], pause: Callable[[], object]) -> Callable[[int], object]:
    def go_on(rows: int) -> None:
        advance(rows)
        pause()

    return go_on


def _texts(settings: Settings) -> Iterator[tuple[str, str]]:
    """What proves where the log was: the remembered checkpoint, and the public keys to check it with."""
    if remembered := HighWater(Path(settings.audit_head)).read():
        yield HEAD, remembered
    if settings.audit_key:
        yield LOG_KEY, f"{audit_verifier(settings)}\n"
    if settings.witnesses:
        yield WITNESS_KEYS, settings.witnesses + "\n"
