"""How commands read files and print: JSON or text, aligned columns, texts from outside made safe."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from swexchange.core.envelope import moment
from swexchange.errors import ConfigFault, Rejected
from swexchange.plain import plain


def emit(data: Any, as_json: bool, as_text: Callable[[], None]) -> None:
    """Print data as one JSON document, or as text."""
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))
    else:
        as_text()


def table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows in aligned columns; the last one takes what is left."""
    clean = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in list(zip(*clean, strict=True))[:-1]]
    for row in clean:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo(indent + "  ".join([*padded, row[-1]]).rstrip())


def file_bytes(path: str) -> bytes:
    """The bytes of a file, or of standard input for `-`. Raises ConfigFault."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise ConfigFault(f"cannot read {path}: {error.strerror}") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file, with the folders that it needs. Raises ConfigFault."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ConfigFault(f"cannot write {path}: {error.strerror}") from None


class _Moment(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return moment(value)
        except Rejected as refusal:
            self.fail(refusal.findings[0].detail, param, ctx)


def moment_option(flag: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes a date or a time; without a zone it is +08:00."""
    return click.option(flag, type=_Moment(), help=text)


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar on stderr, where that is a terminal; what it gives is told how much is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
