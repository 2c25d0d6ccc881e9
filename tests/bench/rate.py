"""What a measurement is: messages over seconds, from a first to a last observation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Rate:
    """How many messages were seen to pass in how many seconds."""

    messages: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds if self.seconds > 0 else 0.0


def rate_of(seen: Sequence[tuple[float, int]], skip: int, since: float = 0.0) -> Rate:
    """From the first observation of at least `skip` messages at or after a time, to the last."""
    end = seen[-1]
    start = next((place for place in seen if place[1] >= skip and place[0] >= since), end)
    return Rate(end[1] - start[1], end[0] - start[0])


def middle(rates: Sequence[Rate]) -> float:
    """The median in messages a second; 0 without any."""
    return median(rate.per_second for rate in rates) if rates else 0.0
