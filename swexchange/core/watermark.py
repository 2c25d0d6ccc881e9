"""When the intake stops and resumes: high and low watermarks of backlog and free disk. Pure.

Two marks each, so that it does not stop and resume at every message. While it is stopped,
messages wait in the broker, which holds the senders back; none is refused.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Copies that are owed, and bytes of free disk."""

    backlog_stop: int
    backlog_resume: int
    disk_stop: int
    disk_resume: int


def stopped(marks: Watermarks, backlog: int, free: int | None, *, was: bool) -> str:
    """Why the intake has to stand still; '' = it may run. `free` is None where the disk cannot be seen."""
    most = marks.backlog_resume if was else marks.backlog_stop - 1
    if backlog > most:
        return f"{backlog} copies are owed, {most + 1} are too many"
    least = marks.disk_resume if was else marks.disk_stop
    if free is not None and free < least:
        return f"{free // 1_000_000} MB of disk are free, {least // 1_000_000} are needed"
    return ""


@dataclass(frozen=True, slots=True)
class Standstill:
    """Why the intake stands still, and what has to come true before it resumes."""

    why: str
    until: str
    is_sure: bool  # False: between the marks, where it stays as it was, and only who runs it knows


def standstill(marks: Watermarks, backlog: int, free: int | None) -> Standstill | None:
    """How the intake stands, for who does not run it; None = it runs, as far as the marks go."""
    surely = stopped(marks, backlog, free, was=False)
    why = surely or stopped(marks, backlog, free, was=True)
    if not why:
        return None
    disk = "" if free is None else f" and {marks.disk_resume // 1_000_000} MB of disk are free"
    return Standstill(why, f"no more than {marks.backlog_resume} copies are owed{disk}", bool(surely))
