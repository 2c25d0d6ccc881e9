"""A sealed log with archive files, and who prunes them: for contract tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from swexchange.core.keys import SigningKey
from swexchange.evidence.archiver import Archiver, Bounds
from swexchange.evidence.auditor import Findings, audit
from swexchange.evidence.pace import no_pause
from swexchange.evidence.pruner import Pruner
from swexchange.evidence.sealer import HighWater, Sealer
from swexchange.store import Evidence, FilePruning
from tests.contract.exchanges import NOW, after

KEY, ORIGIN = SigningKey.from_seed("audit", b"\7" * 32), "sw.example/audit"  # of the Merkle log
LATER = after(days=401)
AGE = timedelta(days=400)
OPERATOR = "alice@desk"


class Place:
    """A log, its sealer, its archive files, and who prunes."""

    def __init__(self, log: FilePruning, folder: Path) -> None:
        self.log, self.folder = log, folder / "archive"
        self.sealer = sealer_of(log, folder / "audit.head")

    def archive(self) -> None:
        """Seal and archive everything."""
        while self.sealer.seal():
            pass
        keys = [self.sealer.verifier]
        list(Archiver(self.log, self.folder, keys, lambda: NOW, no_pause, Bounds(10)).write_all(everything=True))

    def pruner(self, before: datetime = LATER, pause: Callable[[], object] = no_pause) -> Pruner:
        """Who prunes what came before a time."""
        return Pruner(self.log, self.folder, [self.sealer.verifier], OPERATOR, lambda: before + AGE, pause)

    def prune(self, before: datetime = LATER) -> int:
        """How many messages went."""
        return sum(self.pruner(before).prune(AGE))

    def prune_rows(self, before: datetime = LATER) -> int:
        """How many rows of exchanges and events went."""
        return sum(self.pruner(before).prune_rows(AGE))

    def remove_files(self, before: datetime = LATER) -> list[str]:
        """Which files went."""
        return [one.name for one in self.pruner(before).remove_files(AGE)]

    def prune_all(self, before: datetime = LATER) -> list[str]:
        """Class after class; which files went."""
        self.prune(before)
        self.prune_rows(before)
        return self.remove_files(before)

    def verify(self) -> Findings:
        """What an audit finds, which is nothing wrong."""
        found, last = Findings(), self.log.last_archive()
        archived, keys = last.end if last else 0, [self.sealer.verifier]
        problems = list(audit(self.log, keys, {}, found, archived=archived, gone=self.log.gone()))
        assert not problems, problems
        return found


def sealer_of(log: Evidence, head: Path) -> Sealer:
    """A sealer that remembers the log in a file."""
    return Sealer(log, ORIGIN, KEY, HighWater(head), lambda: NOW)
