"""`swexchange schemas`: the editions that routes.yaml names, and whether they and their samples hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from swexchange.cli import exits
from swexchange.cli.output import emit, file_bytes, table
from swexchange.cli.root import cli
from swexchange.cli.wiring import checked_rules
from swexchange.clock import utc_now
from swexchange.core.canonical import local_time
from swexchange.core.parse import parse
from swexchange.core.rulebook import Edition, MessageType, Rulebook
from swexchange.errors import Rejected
from swexchange.settings import Settings


@cli.group()
def schemas() -> None:
    """List and check the schemas of all message types."""


@schemas.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def list_(settings: Settings, as_json: bool) -> None:
    """List every type with its editions and when each is in force."""
    with checked_rules(settings) as rules:
        rows = list(_rows(rules))
    emit(rows, as_json, lambda: table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))


def _rows(rules: Rulebook) -> Iterator[dict[str, str]]:
    for edition in rules.envelopes:
        yield _row("(envelope)", "DxpMsg, DxpMsgSv", edition)
    for kind in rules.types.values():
        for edition in kind.editions:
            yield _row(kind.id, kind.root, edition)


def _row(kind: str, root: str, edition: Edition) -> dict[str, str]:
    return {
        "type": kind,
        "edition": edition.label,
        "from": local_time(edition.valid_from),
        "to": local_time(edition.valid_to) if edition.valid_to else "-",
        "now": "in force" if edition.in_force(utc_now()) else "not in force",
        "root": root,
    }


@schemas.command()
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def check(settings: Settings, files: tuple[str, ...], as_json: bool) -> None:
    """Compile every schema, and validate FILES, or the samples that lie beside the schemas.

    A file named `*.invalid.*` must be refused, any other must pass. Signatures are not looked at.
    Exit code 1: a file's verdict is not the expected one.

    \b
    Examples:
      swexchange schemas check
      swexchange schemas check my-declaration.xml
    """
    with checked_rules(settings) as rules:
        rows = [row for file in files for row in _verdicts(file, rules.types.get(_root(file)), "")]
        rows += [] if files else list(_samples(Path(settings.schemas), rules))
    wrong = [row for row in rows if not row["as_expected"]]
    shown = rows if files else wrong
    emit(rows, as_json, lambda: _print(shown, len(rows), len(wrong)))
    raise SystemExit(exits.PROBLEMS if wrong else exits.DONE)


def _print(shown: list[dict[str, Any]], total: int, wrong: int) -> None:
    table([(row["verdict"], row["edition"], row["file"], row["why"]) for row in shown])
    click.echo(f"{total} verdicts, {wrong} not as expected")


def _samples(folder: Path, rules: Rulebook) -> Iterator[dict[str, Any]]:
    for kind in rules.types.values():
        for edition in kind.editions:
            for sample in sorted((folder / edition.label / "samples").glob("*.xml")):
                if _root(str(sample)) == kind.root:
                    yield from _verdicts(str(sample), kind, edition.label)


def _root(file: str) -> str:
    try:
        return parse(file_bytes(file), 2**30).name
    except Rejected:
        return ""


def _verdicts(file: str, kind: MessageType | None, label: str) -> Iterator[dict[str, Any]]:
    """A verdict by each edition, or by the one of this label."""
    expected = ".invalid." not in Path(file).name
    if kind is None:
        yield _verdict(file, "-", "unknown type", expected, "no type of routes.yaml has this root, or it is not XML")
        return
    tree = parse(file_bytes(file), 2**30).root.getroottree()
    for edition in kind.editions:
        if label in ("", edition.label):
            found = edition.check(tree, 3)
            why = "; ".join(f"{f.path}:{f.line} {f.detail}" for f in found)
            yield _verdict(file, edition.label, "refused" if found else "valid", expected, why)


def _verdict(file: str, edition: str, verdict: str, expected: bool, why: str) -> dict[str, Any]:
    as_expected = (verdict == "valid") == expected
    return {"file": file, "edition": edition, "verdict": verdict, "as_expected": as_expected, "why": why}
