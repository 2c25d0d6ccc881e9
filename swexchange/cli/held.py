"""`swexchange held`: messages that wait for an operator, and their release."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import uuid4

import click

from swexchange.broker import Outlet
from swexchange.cli import exits
from swexchange.cli.operator import operator
from swexchange.cli.output import emit, members, table
from swexchange.cli.root import cli
from swexchange.cli.wiring import tested_rules
from swexchange.cli.wiring_broker import server
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.codes import HELD
from swexchange.core.model import Decision
from swexchange.core.rulebook import Rulebook
from swexchange.decider import decide_each
from swexchange.errors import ConfigFault
from swexchange.quarantine import release
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from swexchange.store import Attempts, open_audit_log, open_ledger

LONGEST = 60  # seconds that a decision may take when it is tried


@cli.group()
def held() -> None:
    """Messages that could not be decided: list them, have one decided again."""


@held.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(settings: Settings, as_json: bool) -> None:
    """List the messages that wait for an operator, oldest first.

    \b
    Example:
      swexchange held list
    """
    with open_audit_log(settings.database_url) as audit_log:
        found = audit_log.held()
    told = [{**members(h), "received_at": local_time(h.received_at)} for h in found]
    emit(told, as_json, lambda: _print(told))


def _print(told: list[dict[str, Any]]) -> None:
    if told:
        names = ("exchange", "received_at", "submitter", "bytes", "cause")
        heads = ("exchange", "received", "submitter", "bytes", "cause")
        table([heads, *(tuple(str(row[name]) for name in names) for row in told)])
    else:
        click.echo("nothing is held", err=True)


@held.command("release")
@click.argument("exchange_id", metavar="EXCHANGE")
@click.option("--reason", required=True, help="Why; it is kept in the audit trail with your name.")
@click.option("--yes", is_flag=True, help="Do it. Without this, only say what would happen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def release_(settings: Settings, exchange_id: str, reason: str, yes: bool, as_json: bool) -> None:
    """Have a held message decided again, by today's rules, as if its sender sent it now.

    The decision is first tried in a process of its own. Exit code 1: it still cannot be decided,
    and nothing was done. Needs the daemon's keys, broker and database.

    \b
    Examples:
      swexchange held release 01a20c885df094d71dcd95d0d78f11f5 --reason "libxml2 upgraded"
      swexchange held release 01a20c885df094d71dcd95d0d78f11f5 --reason "libxml2 upgraded" --yes
    """
    message = _held_message(settings, exchange_id)
    with closing(Explainer(proven=settings.cache_folder)) as explainer:
        rules = tested_rules(settings, explainer)
        decision = _tried(message, rules)
        if yes:
            decision = _release(settings, message, f"{operator()}: {reason}", rules)
    told = {
        "exchange": exchange_id,
        "released": yes,
        "decided": decision.exchange_id if yes else "",
        "outcome": decision.outcome,
        "code": decision.code,
        "message_id": decision.message_id,
        "type": decision.type,
        "route": decision.route,
        "to": [copy.to for copy in decision.copies],
    }
    emit(told, as_json, lambda: table([(name, str(value)) for name, value in told.items()]))
    if not yes:
        click.echo("nothing was done; --yes does it", err=True)


def _held_message(settings: Settings, exchange_id: str) -> Decision:
    with open_audit_log(settings.database_url) as audit_log:
        trail = audit_log.show(exchange_id)
        if trail is None or exchange_id not in {h.exchange_id for h in audit_log.held()}:
            raise ConfigFault(f"{exchange_id} is not held", do="`swexchange held list` lists what is")
    return trail.decision


def _tried(message: Decision, rules: Rulebook) -> Decision:
    def decided() -> Decision:
        return decide_each((message.again,), rules, utc_now())[0]

    if not _is_survived(decided) or (tried := decided()).code == HELD:
        click.echo("it still cannot be decided: nothing was done", err=True)
        raise SystemExit(exits.PROBLEMS)
    return tried


def _is_survived(action: Callable[[], object]) -> bool:
    """Whether a process lives that does this: a copy of ours tries it, within LONGEST."""
    child = os.fork()
    if child == 0:
        signal.alarm(LONGEST)
        try:
            action()
        finally:
            os._exit(0)  # whatever it raised, it lives; nothing of ours must be cleaned up twice
    return os.WIFEXITED(os.waitpid(child, 0)[1])


def _release(settings: Settings, message: Decision, detail: str, rules: Rulebook) -> Decision:
    with (
        open_ledger(settings.database_url) as ledger,
        closing(Attempts(settings.database_url, uuid4().hex)) as attempts,
        closing(Outlet(server(settings), settings.confirm_seconds)) as outlet,
    ):
        report = release(message, detail, rules, ledger, attempts, outlet, utc_now)
    if not report.decided:  # the database still refuses it, or its bytes were decided a moment ago
        _, stored = report.repeated[0]
        click.echo(f"nothing new was recorded: exchange {stored.exchange_id} says {stored.code}", err=True)
        raise SystemExit(exits.PROBLEMS)
    return report.decided[0]
