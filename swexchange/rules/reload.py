"""Hot reload: the rules in force of one file, swapped between batches and never for wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from swexchange.core.rulebook import Rulebook
from swexchange.errors import ConfigFault, Fault

LOOK_EVERY = 1.0  # seconds between two looks at the file
AGAIN_AFTER = 30.0  # seconds, where rules could not be read for another reason than what they say


class RulesFile:
    """The rules in force of one file; looks now and then whether the file has changed."""

    def __init__(
        self,
        path: Path,
        read: Callable[[], Rulebook],
        on_change: Callable[[Rulebook], None],
        on_fault: Callable[[Fault], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._path, self._read = path, read
        self._on_change, self._on_fault, self._monotonic = on_change, on_fault, monotonic
        self._seen = self._stamp()
        self._rules = read()
        self._look_at = monotonic() + LOOK_EVERY

    def current(self) -> Rulebook:
        """The rules now; on any error the old ones stay in force and the error is reported once a change."""
        if self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + LOOK_EVERY
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                self._reload()
        return self._rules

    @property
    def latest(self) -> Rulebook:
        """The rules as last read, without a look at the file: for other threads."""
        return self._rules

    def expire(self) -> None:
        """Read everything again at the next look, changed or not (SIGHUP: schemas and keys too)."""
        self._seen = None
        self._look_at = 0.0

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _reload(self) -> None:
        try:
            rules = self._read()
        except Fault as fault:
            if not isinstance(fault, ConfigFault):  # nothing is wrong with the rules, and a disk has room again
                self._seen, self._look_at = None, self._monotonic() + AGAIN_AFTER
            self._on_fault(fault)
            return
        if rules.digest != self._rules.digest:
            self._rules = rules
            self._on_change(rules)
