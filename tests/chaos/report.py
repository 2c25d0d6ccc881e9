"""What a run tells: a line a fault while it runs, and the table that docs/reliability.md shows."""

from __future__ import annotations

import platform
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tests.chaos.faults import NOT_COVERED
from tests.chaos.frame import Fault, Row

MARKS = "<!-- from a run of bin/chaos -->\n", "<!-- end of the run -->"
HEAD = ("Fault", "Catalogue", "Database", "Attempted", "Acknowledged", "Lost", "Unexpected", "Duplicated", "Recovered")
SHOWN = 4  # broken invariants of a fault, in full


def line(row: Row) -> str:
    """One fault as a line for a person who watches."""
    v = row.verdict
    words = f"{v.attempted} attempted, {v.acknowledged} acknowledged, {v.lost} lost, {v.unexpected} unexpected"
    words += f", {v.duplicated} duplicated, {v.recovered} recovered"
    said = f"{'ok  ' if v.is_clean else 'FAIL'} {row.name}: {words}; at rest after {row.drained_in:.0f} s"
    more = [f"     {text}" for text in v.broken[:SHOWN]]
    if len(v.broken) > SHOWN:
        more.append(f"     and {len(v.broken) - SHOWN} more")
    return "\n".join([said, *more])


def table(rows: Sequence[Row], wanted: Sequence[str], seed: int) -> str:
    """The table in Markdown, with date, versions and what is not covered."""
    return "\n".join([*_head(rows, wanted, seed), *_cells(rows), "", *_not_covered(), ""])


def _head(rows: Sequence[Row], wanted: Sequence[str], seed: int) -> Iterator[str]:
    lost = sum(row.verdict.lost for row in rows)
    unexpected = sum(row.verdict.unexpected for row in rows)
    inputs = sum(row.verdict.acknowledged for row in rows)
    broken = sum(bool(row.verdict.broken) for row in rows)
    yield f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {_versions()}."
    yield ""
    yield f"{len(rows)} of {len(wanted)} rows were run, {inputs:,} acknowledged inputs:"
    yield f"**{lost} lost, {unexpected} unexpected**; rows with a broken invariant: {broken}."
    if missing := [name for name in wanted if name not in {row.name for row in rows}]:
        yield f"Not run: {', '.join(missing)}."
    yield ""
    yield "| " + " | ".join((*HEAD, "At rest after", "Invariants")) + " |"
    yield "|" + "---|" * 3 + "---:|" * 7 + "---|"


def _cells(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        v = row.verdict
        numbers = (v.attempted, v.acknowledged, v.lost, v.unexpected, v.duplicated, v.recovered)
        broken = ", ".join(sorted({text.partition(":")[0] for text in v.broken})) or "kept"
        first = (row.fault.name, row.fault.catalogue, row.database)
        yield "| " + " | ".join([*first, *map(str, numbers), f"{row.drained_in:.0f} s", broken]) + " |"


def _not_covered() -> Iterator[str]:
    yield "Not covered:"
    yield ""
    for numbers, why in NOT_COVERED:
        yield f"* {numbers}: {why}"


def listing(jobs: Sequence[tuple[Fault, str]]) -> str:
    """The faults of these rows with their databases, and all that is not covered."""
    databases: dict[Fault, list[str]] = {}
    for fault, database in jobs:
        databases.setdefault(fault, []).append(database)
    lines = [f"{f.name:26} {f.catalogue:12} {', '.join(on):20} {f.what}" for f, on in databases.items()]
    lines += ["", "Not covered:"]
    lines += [f"{numbers:16} {why}" for numbers, why in NOT_COVERED]
    return "\n".join(lines)


def into(page: Path, text: str) -> None:
    """Put the table in its place in a page."""
    begin, end = MARKS
    before, _, rest = page.read_text("utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")


def _versions() -> str:
    names = {"RabbitMQ": _package("rabbitmq-server"), "PostgreSQL": _package("postgresql")}
    names |= {"SQLite": sqlite3.sqlite_version, "Python": platform.python_version(), "pika": metadata.version("pika")}
    return ", ".join(f"{name} {version}" for name, version in names.items())


def _package(name: str) -> str:
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", name], capture_output=True, text=True, check=False
    )
    return asked.stdout.partition("-")[0].partition("+")[0] or "of unknown version"
