"""Shares, watermarks and forecasts: the small sums by which a backlog is handled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swexchange.core.forecast import Sample, forecast
from swexchange.core.lanes import Weights, lane, share
from swexchange.core.watermark import Standstill, Watermarks, standstill, stopped
from swexchange.health.intake import judge_intake
from swexchange.health.problem import Danger

NOW = datetime(2026, 3, 2, tzinfo=UTC)
GB = 10**9
MARKS = Watermarks(1000, 800, 1 * GB, 2 * GB)


def test_lanes_are_a_sender_and_a_number() -> None:
    """The same number of another sender is another lane; without a number there is none."""
    assert lane("A", "EntryId", "1") == "A EntryId=1"
    assert len({lane("A", "EntryId", "1"), lane("B", "EntryId", "1"), lane("A", "BillNo", "1")}) == 3
    assert lane("A", "EntryId", "") == ""


def test_live_and_backlog_share_by_weight() -> None:
    """While both have enough, 3 to 1; each in its own order."""
    sent = share(range(1000, 2000), range(1000), 100, Weights(3, 1))
    assert sent == [*range(25), *range(1000, 1075)]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))
def test_no_room_is_wasted_and_nobody_starves(live: int, backlog: int, most: int, a: int, b: int) -> None:
    """What one part leaves the other takes; the order of each is kept; the backlog always moves."""
    parts = range(100, 100 + live), range(backlog)
    sent = share(*parts, most, Weights(a, b))
    assert len(sent) == min(most, live + backlog)
    assert [n for n in sent if n < 100] == list(parts[1])[: sum(n < 100 for n in sent)]
    assert [n for n in sent if n >= 100] == list(parts[0])[: sum(n >= 100 for n in sent)]
    assert not backlog or min(sent) == 0
    if live and most > 1 and a >= b:
        assert max(sent) >= 100


def test_the_intake_stops_at_the_high_mark_and_resumes_at_the_low_one() -> None:
    """Between the marks it stays as it was."""
    assert stopped(MARKS, 999, None, was=False) == ""
    assert "1000 copies" in stopped(MARKS, 1000, None, was=False)
    assert stopped(MARKS, 801, None, was=True)
    assert stopped(MARKS, 800, None, was=True) == ""


def test_little_disk_stops_the_intake_too() -> None:
    """Stop below 1 GB, resume at 2 GB; a disk that cannot be seen stops nothing."""
    assert stopped(MARKS, 0, GB, was=False) == ""
    assert "MB of disk" in stopped(MARKS, 0, GB - 1, was=False)
    assert stopped(MARKS, 0, 2 * GB - 1, was=True)
    assert stopped(MARKS, 0, 2 * GB, was=True) == ""
    assert stopped(MARKS, 0, None, was=True) == ""


@pytest.mark.parametrize(
    ("backlog", "free", "sure"),
    [(800, None, None), (801, None, False), (1000, None, True), (0, GB - 1, True), (0, GB, False), (0, 2 * GB, None)],
)
def test_who_does_not_run_the_intake_can_tell_how_it_stands(backlog: int, free: int | None, sure: bool | None) -> None:
    """Above a mark it stands; between two it may; it says when it resumes."""
    found = standstill(MARKS, backlog, free)
    assert (found.is_sure if found else None) is sure
    if found:
        assert "no more than 800 copies" in found.until
        assert ("2000 MB" in found.until) is (free is not None)


@pytest.mark.parametrize(("sure", "danger"), [(True, Danger.STOP), (False, Danger.RISK)])
def test_doctor_says_why_since_when_and_until_when_the_intake_stands(sure: bool, danger: Danger) -> None:
    """It is WRONG only where it surely stands."""
    (problem,) = judge_intake(Standstill("7 copies are owed, 6 are too many", "2 are owed", sure), "this morning")
    assert problem.danger is danger
    assert "this morning" in problem.what
    assert "7 copies" in problem.why
    assert "2 are owed" in problem.do
    assert not list(judge_intake(None, ""))


def _minute(backlog: tuple[int, int], sent: int = 0, stored: tuple[int, int] = (GB, GB)) -> tuple[Sample, Sample]:
    return Sample(NOW - timedelta(minutes=1), backlog[0], 0, stored[0]), Sample(NOW, backlog[1], sent, stored[1])


def test_a_growing_backlog_says_when_it_would_be_drained() -> None:
    """600 a minute come in; an upstream that takes 30 a second would need 1,200 / 20 s."""
    found = forecast(*_minute((600, 1200)), pace=30, room=None)
    assert (found.growth, found.drained_in) == (10, timedelta(seconds=60))


def test_an_upstream_slower_than_the_traffic_never_drains() -> None:
    """No end is promised where there is none, nor where the pace is not known."""
    assert forecast(*_minute((600, 1200)), pace=9, room=None).drained_in is None
    assert forecast(*_minute((600, 600)), pace=0, room=None).drained_in is None
    assert forecast(*_minute((600, 0), sent=600), pace=0, room=None).drained_in == timedelta(0)


def test_a_backlog_that_shrinks_is_drained_at_the_rate_at_which_it_shrinks() -> None:
    """3,000 became 1,000 in a minute: 30 s more, whatever pace was learned, and where none was."""
    for pace in (0.0, 1.0, 500.0):
        assert forecast(*_minute((3000, 1000), sent=2000), pace=pace, room=None).drained_in == timedelta(seconds=30)


def test_the_disk_is_full_when_the_intake_has_to_stop() -> None:
    """Room for 2 GB, and the database grows by 1 GB a minute: two minutes."""
    found = forecast(*_minute((0, 9), stored=(3 * GB, 4 * GB)), pace=0, room=2 * GB)
    assert found.disk_full_in == timedelta(minutes=2)
    assert found.filling == pytest.approx(GB / 60)
    assert forecast(*_minute((0, 9)), pace=0, room=0).disk_full_in == timedelta(0)


def test_a_database_that_does_not_grow_or_a_disk_that_is_not_seen_says_nothing() -> None:
    """What was pruned makes room; what other programs do to the disk is no forecast of ours."""
    for stored in ((GB, GB), (2 * GB, GB)):
        found = forecast(*_minute((0, 9), stored=stored), pace=0, room=GB)
        assert (found.filling, found.disk_full_in) == (0, None)
    found = forecast(*_minute((0, 9), stored=(GB, 2 * GB)), pace=0, room=None)
    assert (found.filling > 0, found.disk_full_in) == (True, None)
