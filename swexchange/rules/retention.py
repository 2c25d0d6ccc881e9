"""How long things are kept in the database once they lie in archive files, and how long those."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from swexchange.rules.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Retention:
    """The least ages at which things may be pruned; None = they are kept for good."""

    body: timedelta | None = None  # the messages' bytes
    metadata: timedelta | None = None  # whole exchanges, whose messages are gone
    evidence: timedelta | None = None  # archive files, of which nothing is in the database


def read_retention(sheet: Sheet) -> Retention:
    """What `retention` says. The JSON Schema has checked its form: `400 days`."""
    given = sheet.data.get("retention") or {}
    found = Retention(**{name: timedelta(days=int(text.split()[0])) for name, text in given.items()})
    if found.metadata and (found.body is None or found.body > found.metadata):
        do = "Give body an age that is not above it: a message goes before its exchange"
        sheet.problem("retention.metadata is younger than retention.body", ("retention", "metadata"), do)
    if found.evidence and (found.metadata is None or found.metadata >= found.evidence):
        do = "Give metadata an age below it: an exchange goes before the file that proves it"
        sheet.problem("retention.evidence is not older than retention.metadata", ("retention", "evidence"), do)
    return found
