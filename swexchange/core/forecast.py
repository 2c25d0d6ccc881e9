"""What becomes of a backlog: how it grows, when it is drained, when the disk is full. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FAR = timedelta(days=3650)  # further than this nobody looks


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at a backlog."""

    at: datetime
    backlog: int  # copies waiting
    sent: int  # copies confirmed ever since
    stored: int  # bytes that the database holds


@dataclass(frozen=True, slots=True)
class Forecast:
    """Derived from two samples."""

    growth: float  # copies a second; negative: it drains
    drained_in: timedelta | None  # None: never, or not known
    filling: float  # bytes a second by which the database grows
    disk_full_in: timedelta | None  # until the intake has to stop; None: not in sight, or the disk is not seen


def forecast(before: Sample, now: Sample, pace: float, room: int | None) -> Forecast:
    """`pace`: copies a second that the upstream took when it was busy, 0 = not known.

    A backlog that shrinks is drained at the rate at which it shrinks; one that does not yet, at the pace
    less what arrives. `room`: bytes of disk until the intake has to stop, None where it cannot be seen;
    the database alone fills it: what other programs write goes on for a minute, and says nothing.
    """
    seconds = max(1.0, (now.at - before.at).total_seconds())
    growth = (now.backlog - before.backlog) / seconds
    arriving = max(0.0, growth + (now.sent - before.sent) / seconds)
    draining = -growth if growth < 0 else pace - arriving
    filling = max(0.0, (now.stored - before.stored) / seconds)
    disk_full_in = None if room is None else _in(max(0, room), filling)
    return Forecast(growth, _in(now.backlog, draining), filling, disk_full_in)


def _in(amount: float, pace: float) -> timedelta | None:
    if amount == 0:
        return timedelta(0)
    if pace <= 0 or amount / pace > FAR.total_seconds():
        return None
    return timedelta(seconds=amount / pace)
