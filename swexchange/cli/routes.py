"""`swexchange routes`: checks the file, explains where a message would go, runs the tests beside the routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.output import emit, file_bytes, moment_option, say, table
from swexchange.cli.root import cli
from swexchange.cli.wiring import checked_rules, rules_file
from swexchange.clock import utc_now
from swexchange.core.decide import examine
from swexchange.core.model import Decision, Delivery
from swexchange.core.parse import parse
from swexchange.core.routing import Facts, why_not
from swexchange.core.rulebook import Rulebook
from swexchange.core.signature import verify
from swexchange.errors import ConfigFault, Rejected
from swexchange.rules import samples
from swexchange.rules.structure import json_schema
from swexchange.settings import Settings


@cli.group()
def routes() -> None:
    """Check, explain and test routes.yaml."""


@routes.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def check(settings: Settings, as_json: bool) -> None:
    """Check the whole file, its schemas and its tests; says every problem with file and line.

    The platform's private key is not needed. Exit code 0: the daemon will take this file;
    1: tests differ; 2: the file is wrong.

    \b
    Examples:
      swexchange routes check
      swexchange --routes routes.yaml.new routes check
    """
    file = rules_file(settings)
    with checked_rules(settings, file) as rules:
        results = list(samples.run(file, rules, utc_now()))
    failed = [result for result in results if result.difference]
    counts = {
        "participants": len(rules.participants),
        "types": len(rules.types),
        "routes": len(rules.routes),
        "tests": len(results),
        "failed": len(failed),
        "digest": rules.digest,
    }
    emit(counts, as_json, lambda: click.echo(", ".join(f"{value} {name}" for name, value in counts.items())))
    _say_failed(settings, failed)
    raise SystemExit(exits.PROBLEMS if failed else exits.DONE)


@routes.command()
@click.pass_obj
def test(settings: Settings) -> None:
    """Run the tests that stand beside the routes, and show each."""
    file = rules_file(settings)
    with checked_rules(settings, file) as rules:
        results = list(samples.run(file, rules, utc_now()))
    for result in results:
        say(f"{'FAILED' if result.difference else 'ok':6}  {result.name}")
    failed = [result for result in results if result.difference]
    _say_failed(settings, failed)
    click.echo(f"{len(results) - len(failed)} ok, {len(failed)} failed")
    raise SystemExit(exits.PROBLEMS if failed else exits.DONE)


def _say_failed(settings: Settings, failed: list[samples.Result]) -> None:
    for result in failed:
        click.echo(f"{settings.routes}:{result.line}: {result.name}: {result.difference}", err=True)


@routes.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--sender", help="Who submits it; needed for a message that is not signed.")
@click.option("--receiver", "receivers", multiple=True, help="A receiver named in its envelope (may be repeated).")
@moment_option("--at", "Decide as of this time (default: now).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def explain(
    settings: Settings, file: str, sender: str | None, receivers: tuple[str, ...], at: Any, as_json: bool
) -> None:
    """Say what would become of a message and why; nothing is sent or recorded.

    FILE is a message (- for standard input): signed as it would be sent, or, with --sender, an
    unsigned one or a bare business document, explained as if that sender had signed it.

    \b
    Examples:
      swexchange routes explain message.xml
      swexchange routes explain schemas/dec/4.9.7/samples/DecMessage.valid.export.xml \\
          --sender DXPENT0000012345
    """
    when = at or utc_now()
    with checked_rules(settings) as rules:
        delivery, trusting, signed = _delivery(file_bytes(file), sender, receivers, rules, when)
        decision, facts = examine(delivery, trusting, when)
        tried = list(_tried(rules, facts)) if facts else []
    explained = _explained(decision, facts, tried, signed, settings)
    emit(explained, as_json, lambda: _print(explained))


def _delivery(
    body: bytes, sender: str | None, receivers: tuple[str, ...], rules: Rulebook, when: Any
) -> tuple[Delivery, Rulebook, bool]:
    try:
        owner = verify(parse(body, rules.limits.message_bytes), rules.keys).participant
        return Delivery(1, sender or owner, body), rules, True
    except Rejected as refusal:
        if sender is None:
            if refusal.findings[0].code == "4101":
                raise ConfigFault("the message is not signed", do="Say with --sender who would send it") from None
            return Delivery(1, "", body), rules, True
    try:
        return *samples.as_if_signed(body, sender, rules, when, receivers), False
    except Rejected:
        return Delivery(1, sender, body), rules, True


def _tried(rules: Rulebook, facts: Facts) -> Iterator[tuple[str, int, str]]:
    """Each route tried: name, line, why it did not match ('' when it did)."""
    for route in rules.routes:
        reason = why_not(route, facts)
        yield route.name, route.line, reason
        if not reason and not rules.match_all:
            return


def _explained(
    decision: Decision, facts: Facts, tried: list[tuple[str, int, str]], signed: bool, settings: Settings
) -> dict[str, Any]:
    return {
        "outcome": decision.outcome,
        "code": decision.code,
        "findings": [asdict(finding) for finding in decision.findings],
        "signed": signed,
        "sender": decision.sender or decision.submitter,
        "message_id": decision.message_id,
        "type": decision.type,
        "key": decision.key_id if signed else "",
        "envelope": decision.envelope_edition,
        "edition": decision.edition,
        "route": decision.route,
        "copies": [{"kind": copy.kind, "to": copy.to} for copy in decision.copies],
        "receivers": [asdict(result) for result in decision.results],
        "facts": {name: sorted(values) for name, values in sorted(facts.items())},
        "tried": [{"route": n, "where": f"{settings.routes}:{line}", "why_not": why} for n, line, why in tried],
        "rules": decision.rules_digest,
    }


def _print(explained: dict[str, Any]) -> None:
    if not explained["signed"]:
        click.echo("The message is not signed; explained as if its sender had signed it.", err=True)
    names = ("outcome", "code", "sender", "message_id", "type", "key", "envelope", "edition", "route", "rules")
    table([(name, str(explained[name])) for name in names if explained[name]])
    for finding in explained["findings"]:
        line = f":{finding['line']}" if finding["line"] else ""
        say(f"  {finding['code']}  {finding['path']}{line}  {finding['detail']}")
    for copy in explained["copies"]:
        say(f"  {copy['kind']:8} to {copy['to']}")
    for result in explained["receivers"]:
        say(f"  receiver {result['receiver']}: {result['code']} {result['detail']}")
    if explained["tried"]:
        click.echo("routes tried:")
        rows = [(t["where"], t["route"], t["why_not"] or "matches") for t in explained["tried"]]
        table(rows, indent="  ")


@routes.command()
def schema() -> None:
    """Print the JSON Schema of routes.yaml, for editors."""
    click.echo(json_schema(), nl=False)
