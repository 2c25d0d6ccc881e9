"""When each message of an open-loop load is due, the same for who sends and who measures."""

from __future__ import annotations

import random
from itertools import accumulate


def due(rate: float, count: int) -> list[float]:
    """Seconds from the start at which messages are due: at random, `rate` a second on average."""
    chance = random.Random(count)
    return list(accumulate(chance.expovariate(rate) for _ in range(count)))
