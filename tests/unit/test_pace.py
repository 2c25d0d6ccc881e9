"""Pauses of work beside the traffic."""

from __future__ import annotations

import pytest

from swexchange.evidence.pace import BURST, LONGEST, REST, Pace


class Time:
    """A clock that stands still until somebody works or rests."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rests: list[float] = []

    def rest(self, seconds: float) -> None:
        """A pause."""
        self.rests.append(seconds)
        self.now += seconds


def test_a_pause_follows_enough_work_and_is_some_times_as_long() -> None:
    time = Time()
    pause = Pace(time.rest, lambda: time.now)
    for _ in range(5):
        time.now += BURST * 0.4
        pause()
    assert time.rests == [pytest.approx(1.2 * BURST * REST)]  # the third time; the pause itself is no work


def test_who_was_stopped_for_an_hour_does_not_rest_for_four() -> None:
    time = Time()
    pause = Pace(time.rest, lambda: time.now)
    time.now += 3600
    pause()
    assert time.rests == [LONGEST]
