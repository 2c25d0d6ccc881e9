"""Judges clocks, key files and the environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from swexchange.health.problem import Danger, Problem

APART = timedelta(seconds=30)  # how far two clocks may differ


def judge_clock(whose: str, theirs: datetime, ours: datetime) -> Iterator[Problem]:
    """Our clock against another's, read at about the same moment."""
    if abs(theirs - ours) > APART:
        seconds = (ours - theirs).total_seconds()
        what = f"it is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the clock of {whose}"
        why = "Keys, editions and receipts go by it: good messages may be refused, bad ones accepted"
        yield Problem("clock", what, "Synchronise both clocks (NTP)", why)


def judge_variables(unknown: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    """Variables that look like settings and are none, each with what it may mean or ''."""
    for name, meant in unknown:
        do = f"Call it {meant}, if that is meant" if meant else "Remove it; docs/reference/settings.md lists all"
        yield Problem("", f"{name} is no setting", do, "What it says is not done", Danger.RISK)


def judge_keys(loose: Sequence[str]) -> Iterator[Problem]:
    """Private keys that others may read or change."""
    for path in loose:
        why = "Whoever has it can sign receipts in the platform's name; the daemon does not use it like this"
        yield Problem("keys", f"others may read or change {path}", f"chmod 600 {path}", why, Danger.RISK)
