"""`swexchange status`: what is open now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from swexchange.cli.backlog import intake_standstill, upstreams
from swexchange.cli.output import emit, table
from swexchange.cli.root import cli
from swexchange.cli.witness import witnesses_of
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.log import LogState
from swexchange.core.watermark import Standstill
from swexchange.settings import Settings
from swexchange.store import open_audit_log, open_evidence
from swexchange.store.audit_log import Open


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def status(settings: Settings, as_json: bool) -> None:
    """Say what holds the intake back and what is open: waiting answers, copies due, batches in work, each upstream.

    Of an upstream: how many copies wait, how they grow, when they will be sent and the disk be full
    at this rate, the breaker, and the last success. Of the audit log: how far it is sealed, the newest
    archive file, and what each witness has signed last.
    """
    with open_audit_log(settings.database_url) as audit_log:
        now = audit_log.open(utc_now())
        queued = audit_log.queued()
        above = upstreams(settings, audit_log, queued, utc_now())
        standstill = intake_standstill(settings, now.due, queued)
    with open_evidence(settings.database_url) as log:
        state = log.state()
    told = {
        **asdict(now),
        **{name: local_time(at) if at else "" for name, at in _times(now).items()},
    }
    rows = [("intake", _intake_shown(standstill, told["last_received"]))]
    rows += [(name, _shown(value)) for name, value in told.items()]
    rows += [
        (f"{one['name']}: {name}", _shown(value)) for one in above for name, value in one.items() if name != "name"
    ]
    rows += list(_log_rows(state)) if state.sealed_at else []
    seen = {name: asdict(last) if last else None for name, last in witnesses_of(settings).items()}
    rows += [
        (f"witness {name}", f"{last['size']} entries, {local_time(last['at'])}" if last else "has not signed")
        for name, last in seen.items()
    ]
    intake = {"intake": asdict(standstill) if standstill else None}
    emit(
        {**intake, **told, "upstreams": above, "log": _log_told(state), "witnesses": seen}, as_json, lambda: table(rows)
    )


def _times(now: Open) -> dict[str, Any]:
    return {"waiting_since": now.waiting_since, "due_since": now.due_since, "last_received": now.last_received}


def _intake_shown(found: Standstill | None, since: str) -> str:
    if found is None:
        return "runs"
    stands = "stands still" if found.is_sure else "between its marks, stands still if it had stopped"
    return f"{stands}: {found.why}; the last message came {since or 'never'}; resumes when {found.until}"


def _log_told(state: LogState) -> dict[str, Any]:
    times = {"sealed_at": state.sealed_at, "archived_at": state.archived_at, "unarchived_since": state.unarchived_since}
    return {**asdict(state), **{name: local_time(at) if at else "" for name, at in times.items()}}


def _log_rows(state: LogState) -> Iterator[tuple[str, str]]:
    assert state.sealed_at
    yield "log", f"{state.sealed} entries, sealed {local_time(state.sealed_at)}; {state.unsealed} exchanges since"
    if state.archived_at:
        behind = state.sealed - state.archived
        yield "archive", f"{state.archive}, made {local_time(state.archived_at)}; {behind} entries are in no file yet"
    else:
        yield "archive", "no file yet"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count}" for name, count in value.items()) or "none"
    return str(value) if value != "" else "-"
