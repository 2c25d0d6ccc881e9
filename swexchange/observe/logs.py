"""Logs to stderr, for people or machines; a line waits for `flush_logs`: one write a batch."""

from __future__ import annotations

import json
import logging
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog

from swexchange.errors import ConfigFault
from swexchange.plain import plain


def configure_logs(style: str, level: str) -> None:
    """Logs to stderr: `console` for people, `json` (one object a line) for machines. Raises ConfigFault."""
    lowest = logging.getLevelNamesMapping().get(level.upper())
    if lowest is None or style not in ("console", "json"):
        raise ConfigFault(
            f"SWX_LOG={style} or SWX_LOG_LEVEL={level} is unknown",
            where="environment",
            do="Use console or json; debug, info, warning or error",
        )
    # JSON escapes what is not ASCII, so no character of a message can play tricks there.
    safe: list[Any] = [_as_json]
    if style != "json":
        safe = [_clean, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *safe,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=lambda *_: _LINES,
        cache_logger_on_first_use=True,
    )


_encode = json.JSONEncoder(default=str).encode


def _as_json(_: Any, __: str, event: Mapping[str, Any]) -> str:
    """Structlog's own renderer makes an encoder for every line, which costs as much as the encoding."""
    return _encode(event)


class _Lines:
    """A logger to stderr whose lines wait for `flush_logs`: one write a batch, not one a message.

    Several threads may log and flush: a line is taken out by one of them, and by one only.
    """

    def __init__(self) -> None:
        self._lines: deque[str] = deque()

    def msg(self, line: str) -> None:
        """Keep a line."""
        self._lines.append(line + "\n")

    debug = info = warning = error = msg

    def flush(self) -> None:
        """Write what was kept. A closed or full stderr must not stop the traffic."""
        lines: list[str] = []
        with suppress(IndexError):  # empty, perhaps by another thread
            while True:
                lines.append(self._lines.popleft())
        with suppress(OSError, ValueError):
            sys.stderr.write("".join(lines))
            sys.stderr.flush()


_LINES = _Lines()


def flush_logs() -> None:
    """Write the log lines that wait."""
    _LINES.flush()


def _clean(_: Any, __: str, event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, str) else value for name, value in event.items()}
