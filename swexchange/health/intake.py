"""Judges whether the intake may run."""

from __future__ import annotations

from collections.abc import Iterator

from swexchange.core.watermark import Standstill
from swexchange.health.problem import Danger, Problem


def judge_intake(found: Standstill | None, since: str) -> Iterator[Problem]:
    """The intake as its watermarks have it; `since`: when the last message was taken, in words, '' = none ever."""
    if found is None:
        return
    why = f"{found.why}; senders are held back by the broker, nothing is lost"
    do = f"It resumes by itself when {found.until}"
    if found.is_sure:
        yield Problem("intake", f"it stands still, nothing was taken since {since or 'the beginning'}", do, why)
    else:
        what = f"it is between its marks: it stands still if it had stopped; the last message came {since or 'never'}"
        yield Problem("intake", what, do, why, Danger.RISK)
