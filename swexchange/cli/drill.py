"""`swexchange drill`: restores a backup somewhere else: that it can be done, how long it takes, what it lacks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from swexchange.backup import DATABASE, Manifest
from swexchange.cli import exits
from swexchange.cli.backup_files import target
from swexchange.cli.output import emit, table
from swexchange.cli.restore import (
    audited,
    backup_verifiers,
    checked,
    fill,
    folder_argument,
    json_option,
    key_option,
    log_as_json,
    log_as_rows,
    put,
)
from swexchange.cli.root import cli, say_fault
from swexchange.cli.wiring import checked_rules, rules_file
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.errors import ConfigFault, Fault, RulesInvalid
from swexchange.evidence.auditor import Findings
from swexchange.evidence.sealer import HighWater
from swexchange.evidence.tree_check import Problem
from swexchange.rules import samples
from swexchange.settings import Settings
from swexchange.store import restore as store
from swexchange.store.lost import Lost, lost
from swexchange.store.snapshot import open_saved, open_snapshot


@dataclass(slots=True)
class Drill:
    """What a drill has found; seconds by step."""

    manifest: Manifest
    age: timedelta
    seconds: dict[str, float] = field(default_factory=dict)
    found: Findings = field(default_factory=Findings)
    problems: list[Problem] = field(default_factory=list)
    lost: Lost | None = None
    not_compared: str = ""  # why the live database could not be compared

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take the time of a step."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)


@cli.command()
@folder_argument
@click.option("--into", metavar="URL", default="", help="Restore into this empty database [a temporary SQLite file].")
@key_option
@json_option
@click.pass_obj
def drill(settings: Settings, folder: Path, into: str, keys: tuple[str, ...], as_json: bool) -> None:
    """Restore a backup into a temporary place, verify it, and say what would be lost if it were needed now.

    Verified are all files, the whole log, the bytes of every message, and that the daemon would
    take these rules. Compared is the database of SWX_DATABASE_URL, which is only read. How long it
    took is how long a restore takes on this machine; --into takes the time of a PostgreSQL, in an
    empty database made for this. Nothing is left behind. The temporary place is below $TMPDIR and
    needs the room of the database.

    Exit code 1: the backup cannot be relied on; 3: it can, but the database could not be compared.

    \b
    Examples:
      swexchange drill /backup/2026-11-25
      swexchange drill /backup/2026-11-25 --into postgresql://swx@127.0.0.1/drill
    """
    if into == settings.database_url:
        raise ConfigFault("this is the live database", where="--into", do="Name an empty one that is made for this")
    with TemporaryDirectory(prefix="swx-drill-") as temporary:
        url = into or f"sqlite:///{temporary}/drill.db"
        store.require_empty(url)
        drilled = _restored(settings, folder, url, Path(temporary), keys)
    try:
        with open_saved(folder / DATABASE) as saved, open_snapshot(settings.database_url) as live:
            drilled.lost = lost(saved, live)
    except Fault as fault:
        drilled.not_compared = str(fault)
    if drilled.lost and drilled.lost.unknown:
        what = f"{drilled.lost.unknown:,} exchanges and events of this backup are not in the live database"
        drilled.problems.append(Problem("live database", what))
    emit(_as_json(drilled), as_json, lambda: table(list(_as_rows(drilled))))
    unsure = exits.UNAVAILABLE if drilled.not_compared else exits.DONE
    raise SystemExit(exits.PROBLEMS if drilled.problems else unsure)


def _restored(settings: Settings, folder: Path, url: str, temporary: Path, keys: tuple[str, ...]) -> Drill:
    """Restore and verify; what was restored is removed again."""
    started = time.monotonic()
    try:
        manifest = checked(folder)
    except ConfigFault as fault:
        say_fault(fault)
        raise SystemExit(exits.PROBLEMS) from None
    drilled = Drill(manifest, utc_now() - manifest.taken.begun_at)
    drilled.seconds["check files"] = round(time.monotonic() - started, 1)
    with drilled.step("restore"):
        fill(folder, manifest, url)
    try:
        with drilled.step("verify"):
            remembered = HighWater(Path(settings.audit_head)).read()
            seen = {settings.audit_head: remembered} if remembered else {}
            drilled.found, drilled.problems = audited(url, folder, backup_verifiers(settings, folder, keys), seen)
            drilled.problems += _wrong_rules(folder, manifest, temporary)
    finally:
        store.remove(url)
    return drilled


def _wrong_rules(folder: Path, manifest: Manifest, temporary: Path) -> list[Problem]:
    """Why a daemon would not take the rules of the backup, its private keys apart."""
    moved = Settings(routes=str(temporary / "routes.yaml"), schemas=str(temporary / "schemas"))
    for name in manifest.files:
        path = target(moved, name)
        if path is not None and path.is_relative_to(temporary):  # the rest says nothing of rules
            put(folder / name, path)
    try:
        file = rules_file(moved)
        with checked_rules(moved, file) as rules:
            samples.require(file, rules, utc_now())
    except RulesInvalid as invalid:
        return [Problem("rules", str(problem)) for problem in invalid.problems]
    except ConfigFault as fault:
        return [Problem("rules", str(fault))]
    return []


def _as_json(drilled: Drill) -> dict[str, Any]:
    return {
        "taken": str(drilled.manifest.taken.begun_at),
        "age_seconds": round(drilled.age.total_seconds()),
        "bytes": drilled.manifest.bytes,
        "exchanges": drilled.manifest.taken.rows["exchange"],
        "seconds": {**drilled.seconds, "all": round(sum(drilled.seconds.values()), 1)},
        **log_as_json(drilled.found, drilled.problems),
        "lost": asdict(drilled.lost) if drilled.lost else None,
        "not_compared": drilled.not_compared,
    }


def _as_rows(drilled: Drill) -> Iterator[tuple[str, str]]:
    taken = drilled.manifest.taken
    yield "backup of", f"{local_time(taken.begun_at)}, {_ago(drilled.age)} ago"
    yield "holds", f"{taken.rows['exchange']:,} exchanges, {drilled.manifest.bytes:,} bytes"
    steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in drilled.seconds.items())
    yield "restored in", f"{sum(drilled.seconds.values()):.1f} s: {steps}"
    yield from log_as_rows(drilled.found, drilled.problems)
    if drilled.lost is None:
        yield "not compared", drilled.not_compared
        return
    gone = drilled.lost
    yield "would be lost", f"{gone.exchanges:,} exchanges, {gone.receipts:,} receipts, {gone.events:,} events"
    for sender, count in gone.senders.items():
        yield "", f"{count:,} of {sender or 'nobody known'}"
    if gone.first:
        yield "the first", " ".join(gone.first)


def _ago(age: timedelta) -> str:
    return str(timedelta(seconds=max(0, int(age.total_seconds()))))
