"""What becomes of a backlog: how it grows, when it is drained, when the disk is full. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FAR = timedelta(days=3650)  # further than this nobody looks
FLOOR = 16_000_000  # bytes between two looks: less may be one checkpoint of SQLite's WAL, or anybody's file


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at a backlog."""

    at: datetime
    backlog: int  # copies waiting
    sent: int  # copies confirmed ever since
    free: int | None  # bytes of disk; None where it cannot be seen


@dataclass(frozen=True, slots=True)
class Forecast:
    """Derived from two samples."""

    growth: float  # copies a second; negative: it drains
    drained_in: timedelta | None  # None: never, or not known
    disk_full_in: timedelta | None  # until the intake has to stop; None: not in sight, or no traffic that fills it


def forecast(before: Sample, now: Sample, pace: float, disk_stop: int) -> Forecast:
    """`pace`: copies a second that the upstream took when it was busy, 0 = not known.

    A backlog that shrinks is drained at the rate at which it shrinks; one that does not yet, at the pace
    less what arrives.
    """
    seconds = max(1.0, (now.at - before.at).total_seconds())
    growth = (now.backlog - before.backlog) / seconds
    arriving = max(0.0, growth + (now.sent - before.sent) / seconds)
    draining = -growth if growth < 0 else pace - arriving
    # Without traffic it is other programs that move the disk: that goes on for a minute, and says nothing.
    disk_full_in = _disk(before, now, seconds, disk_stop) if arriving else None
    return Forecast(growth, _in(now.backlog, draining), disk_full_in)


def _disk(before: Sample, now: Sample, seconds: float, disk_stop: int) -> timedelta | None:
    if now.free is None or before.free is None:
        return None
    used = before.free - now.free
    return _in(max(0, now.free - disk_stop), used / seconds if used >= FLOOR else 0.0)


def _in(amount: float, pace: float) -> timedelta | None:
    if amount == 0:
        return timedelta(0)
    if pace <= 0 or amount / pace > FAR.total_seconds():
        return None
    return timedelta(seconds=amount / pace)
