"""One thing that is not as it should be, and how much it matters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Danger(StrEnum):
    """What a problem can do to messages."""

    LOSS = "loss"  # an accepted message may be dropped, expire, or be taken by somebody else
    STOP = "stop"  # messages stay safe but do not flow, now or soon
    RISK = "risk"  # nothing is wrong now; the next fault would hit harder


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, why it matters, and what to do about it."""

    name: str  # of the exchange, queue, node, user, setting or file
    what: str
    do: str
    why: str = ""
    danger: Danger = Danger.STOP

    def __str__(self) -> str:
        return ". ".join(part for part in (f"{self.name}: {self.what}", self.why, self.do) if part)
