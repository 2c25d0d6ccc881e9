"""Which queues say nothing to what is sent to them, so that all the others' messages do not wait for them. Pure.

A quorum queue that hangs or has lost its majority confirms nothing. A channel that is new to it does not even
go on to the next message, whosever that is: one such queue would stop everything. So after a call without any word
each queue is tried alone; one that is found silent rests for a while. Times are seconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

TIMES = 4.0  # a queue rests so many times as long as it was waited for: it costs the others a fifth of the time
LONGEST = 600.0  # seconds of a rest


class SilentQueues:
    """What is known of queues by their names, from call to call."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}  # it rests until then; then it is tried alone, until it answers

    def calls(self, names: Iterable[str], now: float) -> list[list[str]]:
        """Which of these are to be tried now, call by call; last, each alone, those that may be silent."""
        together, alone = [], []
        for name in names:
            until = self._until.get(name)
            if until is None:
                together.append(name)
            elif not 0 < until - now <= LONGEST:  # one that is further off was set by a clock that was ahead
                alone.append([name])
        return [together, *alone] if together else alone

    def learn(self, answered: Set[str], silent: Set[str], seconds: float, now: float) -> None:
        """What came of one call that took so long."""
        for name in answered:
            self._until.pop(name, None)
        is_known = answered or len(silent) == 1  # else it may be any of them, or the whole broker
        rest = min(max(0.0, seconds * TIMES), LONGEST) if is_known else 0.0
        self._until |= dict.fromkeys(silent, now + rest)

    def forget(self) -> None:
        """All are to be tried together: what they were silent for was something else."""
        self._until.clear()
