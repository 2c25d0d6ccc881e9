"""`swexchange status` and `doctor`: what is open now, and what is wrong on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from swexchange.broker import Server, admin
from swexchange.cli import exits
from swexchange.cli.output import emit, table
from swexchange.cli.root import cli
from swexchange.cli.topology import problems, wanted
from swexchange.cli.wiring import load_rules, server
from swexchange.core.canonical import local_time
from swexchange.errors import Fault
from swexchange.explain import Explainer
from swexchange.observe import utc_now
from swexchange.rules.sheet import RulesInvalid
from swexchange.settings import Settings
from swexchange.store import migrate, open_archive
from swexchange.store.archive import Open
from swexchange.store.engine import folder_of


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def status(settings: Settings, as_json: bool) -> None:
    """Say what is open: waiting answers, copies still due and since when, batches in work."""
    with open_archive(settings.database_url) as archive:
        now = archive.open(utc_now())
    told = {
        **asdict(now),
        **{name: local_time(at) if at else "" for name, at in _times(now).items()},
    }
    emit(told, as_json, lambda: table([(name, _shown(value)) for name, value in told.items()]))


def _times(now: Open) -> dict[str, Any]:
    return {"waiting_since": now.waiting_since, "due_since": now.due_since, "last_received": now.last_received}


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count}" for name, count in value.items()) or "none"
    return str(value) if value != "" else "-"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the doctor looked at."""

    name: str
    well: bool
    said: str


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool) -> None:
    """Look at rules, keys, database, broker, topology and disk; say what could stop or lose messages.

    Exit code 1: something is wrong.
    """
    checks = [check for look in _LOOKS for check in _looked(look, settings)]
    rows = [("ok" if c.well else "WRONG", c.name, c.said) for c in checks]
    emit([asdict(c) for c in checks], as_json, lambda: table(rows))
    raise SystemExit(exits.DONE if all(c.well for c in checks) else exits.PROBLEMS)


def _looked(look: Callable[[Settings], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    name = look.__name__.strip("_")
    try:
        yield from look(settings)
    except RulesInvalid as invalid:
        yield from (Check(name, False, str(problem)) for problem in invalid.problems)
    except Fault as fault:
        yield Check(name, False, str(fault))


def _rules(settings: Settings) -> Iterator[Check]:
    with Explainer() as explainer:
        rules = load_rules(settings, explainer)
    yield Check("rules", True, f"{settings.routes}: {len(rules.routes)} routes, {len(rules.types)} types")
    now = utc_now()
    able = {key.participant for key in rules.keys.values() if not key.trouble(now)}
    for participant in rules.participants.values():
        if participant.sends and participant.id not in able:
            yield Check("keys", False, f"{participant.id} has no key in force: nothing it sends can be accepted")
    trouble = rules.keys[rules.platform.key.id].trouble(now)
    yield Check("keys", not trouble, trouble or f"receipts are signed with {rules.platform.key.id}")


def _database(settings: Settings) -> Iterator[Check]:
    found = migrate.check(settings.database_url)
    yield from (Check("database", False, problem) for problem in found)
    if not found:
        yield Check("database", True, f"version {migrate.newest()}, durable settings read back")


def _disk(settings: Settings) -> Iterator[Check]:
    folder = folder_of(settings.database_url) or Path.cwd()
    usage = shutil.disk_usage(folder)
    free = usage.free / 1e9
    yield Check("disk", free > 1 and usage.free > usage.total / 50, f"{free:.1f} GB free at {folder}")


def _broker(settings: Settings) -> Iterator[Check]:
    broker: Server = server(settings)
    version = admin.server_version(broker)
    yield Check("broker", True, f"RabbitMQ {version} at {broker.where}")
    found = problems(settings, wanted(settings))
    yield from (Check("topology", False, str(problem)) for problem in found)
    if not found:
        depth = "in depth" if settings.management_url else "that everything exists; set SWX_MANAGEMENT_URL for more"
        yield Check("topology", True, f"checked {depth}")


_LOOKS = (_rules, _database, _disk, _broker)
