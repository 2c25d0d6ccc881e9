"""Ctrl-C, SIGTERM and SIGHUP: they end the demo in good order, once, and never between a process and its note."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Turns the first signal into SystemExit with 128 + its number."""

    def __init__(self) -> None:
        self._held = False
        self._pending = 0

    def handle(self) -> None:
        """From now on."""
        for each in _ENDING:
            signal.signal(each, self._come)

    def ignore(self) -> None:
        """From now on, for good: what takes things down is not interrupted."""
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes inside takes effect at the end."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._pending:
                self._end(self._pending)

    def _come(self, number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._pending = number
        else:
            self._end(number)

    def _end(self, number: int) -> NoReturn:
        self.ignore()
        print("\nbin/demo: interrupted", file=sys.stderr)
        sys.exit(128 + number)
