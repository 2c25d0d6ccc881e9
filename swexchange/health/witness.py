"""Judges how long a witness of the audit log has been away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from swexchange.health.problem import Danger, Problem

LONG = timedelta(hours=1)  # without a signature, while the log grew


def judge_witness(name: str, size: int, at: datetime | None, head: int, now: datetime) -> Iterator[Problem]:
    """A witness that has signed `size` entries at a time (None: never) of a log that has `head`."""
    if head > size and (at is None or now - at > LONG):
        since = f"since {at.isoformat(timespec='seconds')}: {size} entries of {head}" if at else "at all"
        why = "What nobody else has signed could be rewritten by who runs the database and has the log's key"
        do = "Is `swexchange witness run` running there? `swexchange audit witness` says what it answers"
        yield Problem(name, f"it has not signed {since}", do, why, Danger.RISK)
