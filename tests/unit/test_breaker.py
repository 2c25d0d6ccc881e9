"""The breaker: opens after repeated failures, lets one canary through, forgets all at the first success."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from swexchange.core.breaker import ENOUGH, Breaker, State

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def _failed(breaker: Breaker, times: int) -> Breaker:
    for _ in range(times):
        breaker = breaker.failed(NOW, "down")
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    """Four failures change nothing; the fifth lets nothing through any more."""
    breaker = _failed(Breaker(), ENOUGH - 1)
    assert (breaker.state(NOW), breaker.room(NOW, 100)) == (State.CLOSED, 100)
    breaker = _failed(breaker, 1)
    assert (breaker.state(NOW), breaker.room(NOW, 100), breaker.opened_at) == (State.OPEN, 0, NOW)


def test_a_success_between_failures_starts_the_count_anew() -> None:
    """Only failures in a row count."""
    breaker = _failed(_failed(Breaker(), ENOUGH - 1).succeeded(), ENOUGH - 1)
    assert breaker.state(NOW) is State.CLOSED


def test_what_trying_again_cannot_help_opens_it_at_once() -> None:
    """A missing exchange or permission: one failure is enough."""
    assert Breaker().failed(NOW, "404", for_good=True).state(NOW) is State.OPEN


def test_after_the_pause_one_canary_passes_and_closes_it() -> None:
    """Half-open: exactly one copy; its success closes the breaker, whatever was before."""
    breaker, later = _failed(Breaker(), ENOUGH), NOW + timedelta(seconds=1)
    assert (breaker.state(later), breaker.room(later, 100)) == (State.HALF_OPEN, 1)
    assert breaker.succeeded() == Breaker()


def test_a_clock_that_was_ahead_keeps_it_open_no_longer() -> None:
    """Opened an hour ahead of time: once the clock is right, a canary passes at once."""
    breaker = _failed(Breaker(), ENOUGH)
    assert breaker.state(NOW - timedelta(seconds=1)) is State.OPEN
    assert breaker.state(NOW - timedelta(hours=1)) is State.HALF_OPEN


def test_failed_canaries_double_the_pause_up_to_a_minute() -> None:
    """1, 2, 4 ... 60, 60 seconds; the time it opened stays the first."""
    breaker, now, pauses = _failed(Breaker(), ENOUGH), NOW, []
    for _ in range(9):
        assert breaker.retry_at is not None
        pauses.append((breaker.retry_at - now).total_seconds())
        now = breaker.retry_at
        breaker = breaker.failed(now, "still down")
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert (breaker.opened_at, breaker.reason) == (NOW, "still down")
