"""How commands read files and print: JSON or text, aligned columns, texts from outside made safe."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from swexchange.clock import utc_now
from swexchange.core.envelope import moment
from swexchange.durable import replace_file
from swexchange.errors import ConfigFault, Rejected
from swexchange.plain import plain, plain_json

_LONGEST_LINE = 2000  # characters


def emit(data: Any, as_json: bool, as_text: Callable[[], None]) -> None:
    """Print data as one JSON document, or as text."""
    if as_json:
        click.echo(plain_json(json.dumps(data, ensure_ascii=False, indent=2, default=str)))
    else:
        as_text()


def members(one: Any) -> dict[str, Any]:
    """A dataclass as a JSON object. The number of an exchange is `exchange`, as in log lines and in evidence."""
    return {"exchange" if name == "exchange_id" else name: value for name, value in asdict(one).items()}


def say(line: str) -> None:
    """Print one line in which texts from outside stand."""
    click.echo(plain(line, _LONGEST_LINE))


def number_of(count: int, thing: str, things: str = "") -> str:
    """1 exchange, 2,000 exchanges; `things` where an s does not make it many."""
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


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
    """Write a file, with the folders that it needs; cut off, it is what it was before. Raises ConfigFault."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe, a terminal
            path.write_bytes(content)
        else:
            replace_file(path.resolve(), content, synced=False)
    except OSError as error:
        raise ConfigFault(f"cannot write {path}: {error.strerror}") from None


def write_stdout(content: bytes) -> None:
    """Write bytes to stdout as they are. Raises OSError, where they could not be written too: not at the very end."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


_AGO, _UNITS = re.compile(r"(\d{1,5})([dhm])"), {"d": "days", "h": "hours", "m": "minutes"}


class _Moment(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        if ago := _AGO.fullmatch(value):
            return utc_now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        try:
            found = moment(value)
        except Rejected:
            wanted = "a day (2026-11-24), a time (2026-11-24T08:00:00+08:00) or how long ago (7d, 12h, 30m)"
            self.fail(f"{value!r} is not {wanted}", param, ctx)
        if not 1 < found.year < 9999:  # in another zone it could be a year that no calendar has
            self.fail(f"{value}: the year is none between 2 and 9998", param, ctx)
        return found


def moment_option(flag: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes a date or a time (without a zone it is +08:00), or how long ago: 7d, 12h, 30m."""
    return click.option(flag, type=_Moment(), help=text)
