"""Which queues say nothing to what is sent to them, so that all the others' messages do not wait for them. Pure.

A quorum queue that hangs or has lost its majority confirms nothing. A channel that is new to it does not even
go on to the next message, whosever that is: one such queue would stop everything. So after a call without any word
each queue is tried alone; one that is found silent rests, each time for longer.

Times are seconds of the caller's clock, which may be set.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

MOST_TIMES = 8  # a queue rests as long as it was waited for, doubling to this: in the end it costs a ninth of the time
LONGEST = 600.0  # seconds of a rest


@dataclass(frozen=True, slots=True)
class _Silence:
    until: float  # it rests until then; then it is tried alone, until it answers
    times: int  # how many times as long as it was waited for it rests the next time


class SilentQueues:
    """What is known of queues by their names, from call to call."""

    def __init__(self) -> None:
        self._silent: dict[str, _Silence] = {}

    def __contains__(self, name: str) -> bool:
        """Whether it has been silent since it last answered: one message is enough to try it."""
        return name in self._silent

    def calls(self, names: Iterable[str], now: float) -> list[list[str]]:
        """Which of these are to be tried now, call by call; last, each alone, those that may be silent."""
        together, alone = [], []
        for name in names:
            silence = self._silent.get(name)
            if silence is None:
                together.append(name)
            elif not 0 < silence.until - now <= LONGEST:  # one that is further off was set by a clock that was ahead
                alone.append([name])
        return [together, *alone] if together else alone

    def learn(self, tried: Set[str], answered: Set[str], seconds: float, now: float) -> None:
        """What came of one call that took so long: which of the queues tried answered."""
        silent = tried - answered
        for name in answered:
            self._silent.pop(name, None)
        if not answered and len(silent) > 1:  # it may be any of them, or the whole broker
            seconds = 0.0
        for name in silent:
            times = known.times if (known := self._silent.get(name)) else 1
            rest = min(max(0.0, seconds * times), LONGEST)
            self._silent[name] = _Silence(now + rest, min(2 * times, MOST_TIMES) if rest else times)

    def forget(self) -> None:
        """All are to be tried together: what they were silent for was something else."""
        self._silent.clear()
