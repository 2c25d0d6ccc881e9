"""`swexchange audit`: answers "where is my declaration?"."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.backlog import behind_upstreams
from swexchange.cli.filters import filter_options
from swexchange.cli.output import emit, members, table, write_stdout
from swexchange.cli.root import cli
from swexchange.core import etsi
from swexchange.core.canonical import CHINA, local_time
from swexchange.core.model import Kind
from swexchange.settings import Settings
from swexchange.store import AuditLog, Filter, open_audit_log
from swexchange.store.audit_log import CopyTrail, Summary, Trail


@cli.group()
def audit() -> None:
    """Search the audit log, show one exchange in full."""


@audit.command()
@filter_options
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("--after", default="", metavar="EXCHANGE", help="Continue behind this exchange, towards older ones.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def search(settings: Settings, wanted: Filter, limit: int, after: str, as_json: bool) -> None:
    """Find exchanges, newest first. Exit code 1: nothing found.

    \b
    Examples:
      swexchange audit search --key EntryId=530420261000000017
      swexchange audit search --sender DXPENT0000012345 --outcome rejected --since 2026-11-24
      swexchange audit search --message-id NHW20250311-0027
    """
    with open_audit_log(settings.database_url) as audit_log:
        found = audit_log.search(replace(wanted, limit=limit, after=after))
        elsewhere = _elsewhere(audit_log) if len(found) < limit else ""
    emit([_flat(s) for s in found], as_json, lambda: _print_found(found))
    if elsewhere:
        click.echo(f"this is what the database has{elsewhere}", err=True)
    raise SystemExit(exits.DONE if found else exits.PROBLEMS)


def _flat(summary: Summary) -> dict[str, Any]:
    told = {**members(summary), "received_at": _time(summary.received_at)}
    return {**told, "etsi": etsi.of_decision(summary.outcome, summary.code) or ""}


def _print_found(found: list[Summary]) -> None:
    rows = [
        (
            s.exchange_id,
            local_time(s.received_at),
            s.outcome,
            s.code,
            s.type,
            s.sender or f"({s.submitter})",
            s.message_id,
        )
        for s in found
    ]
    if rows:
        table([("exchange", "received", "outcome", "code", "type", "sender", "message id"), *rows])
    else:
        click.echo("nothing found", err=True)


@audit.command()
@click.argument("exchange_id", metavar="EXCHANGE")
@click.option("--body", is_flag=True, help="Write the message's exact bytes to stdout instead.")
@click.option("--receipt", is_flag=True, help="Write the receipt's exact bytes to stdout instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def show(settings: Settings, exchange_id: str, body: bool, receipt: bool, as_json: bool) -> None:
    """Show everything recorded of one exchange. Exit code 1: there is none of this id.

    `etsi` is what happened in the words of ETSI EN 319 522; who is behind an upstream is what routes.yaml says now.

    \b
    Examples:
      swexchange audit show 01a20c885df094d71dcd95d0d78f11f5
      swexchange audit show 01a20c885df094d71dcd95d0d78f11f5 --receipt > receipt.xml
    """
    with open_audit_log(settings.database_url) as audit_log:
        trail = audit_log.show(exchange_id)
        elsewhere = "" if trail else _elsewhere(audit_log)
    if trail is None:
        click.echo(f"there is no exchange of this id; search finds ids{elsewhere}", err=True)
        raise SystemExit(exits.PROBLEMS)
    if body and trail.archive:
        click.echo(_lies_in(exchange_id, trail.archive), err=True)
        raise SystemExit(exits.PROBLEMS)
    if body or receipt:
        write_stdout(trail.decision.body if body else trail.receipt or b"")
        return
    told = _told(trail, set(behind_upstreams(settings)))
    if trail.archive:
        click.echo(_lies_in(exchange_id, trail.archive), err=True)
    emit(told, as_json, lambda: _print(told))


def _elsewhere(audit_log: AuditLog) -> str:
    """Where older exchanges lie, if any was pruned."""
    return "; older ones may lie in archives: `swexchange archive search`" if audit_log.has_pruned() else ""


def _lies_in(exchange_id: str, archive: str) -> str:
    return f"its bytes lie in the archive {archive}; `swexchange archive show {exchange_id}` finds them"


def _told(trail: Trail, remote: Set[str]) -> dict[str, Any]:
    decision = trail.decision
    return {
        "exchange": decision.exchange_id,
        "outcome": decision.outcome,
        "code": decision.code,
        "etsi": etsi.of_decision(decision.outcome, decision.code) or "",
        "sender": decision.sender,
        "submitter": decision.submitter,
        "message_id": decision.message_id,
        "type": decision.type,
        "bytes": len(decision.body),
        "archive": trail.archive,
        "sha256": decision.digest.hex(),
        "key": decision.key_id,
        "envelope": decision.envelope_edition,
        "edition": decision.edition,
        "route": decision.route,
        "rules": decision.rules_digest,
        "parent": trail.parent.exchange_id if trail.parent else "",
        "keys": {key.name: key.value for key in decision.keys},
        "findings": [asdict(finding) for finding in decision.findings],
        "receivers": [asdict(result) for result in decision.results],
        "copies": [_copy(copy, is_remote=copy.to in remote) for copy in trail.copies],
        "timeline": _timeline(trail, remote),
    }


def _copy(copy: CopyTrail, *, is_remote: bool) -> dict[str, Any]:
    return {**asdict(copy), "at": _time(copy.at), "etsi": _etsi_of_copy(copy, is_remote=is_remote)}


def _etsi_of_copy(copy: CopyTrail, *, is_remote: bool) -> str:
    return etsi.of_copy(copy.kind, copy.state, is_remote=is_remote) or ""


def _timeline(trail: Trail, remote: Set[str]) -> list[tuple[str, str, str, str]]:
    """Ordinary times stand in the rows; events are what happened beside. The last of each is its name of ETSI."""
    decision = trail.decision
    decided = etsi.of_decision(decision.outcome, decision.code) or ""
    found = [(decision.received_at, "received", "", ""), (trail.committed_at, "decided and committed", "", decided)]
    if trail.settled_at:
        found.append((trail.settled_at, "batch settled", "", ""))
    found += [  # of other sent copies, the batch's settling is the time
        (copy.at, f"copy {copy.state}", f"{copy.kind} {copy.to}", _etsi_of_copy(copy, is_remote=copy.to in remote))
        for copy in trail.copies
        if copy.at and copy.state in ("sent", "dropped") and copy.at != trail.settled_at
    ]
    found += [(at, what, detail, _etsi_of(what, detail, trail, remote)) for at, what, detail in trail.events]
    return [(_time(at), what, detail, name) for at, what, detail, name in sorted(found, key=lambda e: e[0])]


def _etsi_of(event: str, detail: str, trail: Trail, remote: Set[str]) -> str:
    """What an event is that is about the copy of a message, whose recipient begins its detail; '' for all others."""
    recipient = detail.partition(":")[0]
    is_about_message = any(copy.to == recipient and copy.kind == Kind.MESSAGE for copy in trail.copies)
    return (etsi.of_event(event, is_remote=recipient in remote) or "") if is_about_message else ""


def _time(at: datetime | None) -> str:
    return at.astimezone(CHINA).isoformat(timespec="milliseconds") if at else ""


def _print(told: dict[str, Any]) -> None:
    lists = ("keys", "findings", "receivers", "copies", "timeline")
    table([(name, str(value)) for name, value in told.items() if value and name not in lists])
    for name, value in told["keys"].items():
        table([(name, value)], indent="  key ")
    for finding in told["findings"]:
        table([(finding["code"], f"{finding['path']}:{finding['line']}", finding["detail"])], indent="  finding ")
    for result in told["receivers"]:
        table([(result["receiver"], result["code"], result["detail"])], indent="  receiver ")
    table([(c["kind"], c["to"], c["state"], c["at"], c["etsi"], c["id"]) for c in told["copies"]], indent="  copy ")
    table(told["timeline"], indent="  ")
