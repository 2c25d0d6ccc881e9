"""What the log keeps of a pruning: who took what away, by which retention. docs/reference/evidence.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from swexchange.core.log import Archived
from swexchange.core.model import Event


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """One event of the log itself, about what lies in one archive file or about the file."""

    at: datetime
    event: Event  # PRUNING, PRUNED or REMOVED
    retention: str  # the class, with its age: 'body 400 days'
    by: str  # user@machine
    file: str  # the archive file's name
    sha256: str  # of the file, in hex
    first: int  # its first leaf
    last: int
    count: int  # messages, exchanges with their events, or entries
    since: int | None = None  # of a removed file: all files of the leaves from here to its last are removed

    @classmethod
    def of(cls, one: Archived, at: datetime, event: Event, retention: str, by: str, count: int) -> PruneRecord:
        """The record about an archive file."""
        return cls(at, event, retention, by, one.name, one.digest.hex(), one.first, one.end - 1, count)

    def detail(self) -> str:
        """The event's detail, as JSON."""
        told = {name: value for name, value in asdict(self).items() if name not in ("at", "event")}
        return json.dumps({name: value for name, value in told.items() if value is not None}, ensure_ascii=False)

    @classmethod
    def read(cls, at: datetime, event: str, detail: str) -> PruneRecord | None:
        """The record of an event; None where it is none."""
        try:
            told = json.loads(detail)
            retention, by, file, sha256 = (str(told[name]) for name in ("retention", "by", "file", "sha256"))
            first, last, count = (int(told[name]) for name in ("first", "last", "count"))
            since = int(told["since"]) if "since" in told else None
            return cls(at, Event(event), retention, by, file, sha256, first, last, count, since)
        except (ValueError, TypeError, LookupError, RecursionError):
            return None


def removed_runs(removed: Iterable[PruneRecord]) -> Iterator[list[PruneRecord]]:
    """Runs of removed archive files that follow each other."""
    run: list[PruneRecord] = []
    for record in sorted(removed, key=lambda one: one.first):
        if run and run[-1].last + 1 != record.first:
            yield run
            run = []
        run.append(record)
    if run:
        yield run
