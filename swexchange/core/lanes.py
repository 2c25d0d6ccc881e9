"""Order on the way upstream: lanes, and how live traffic and a backlog share the way. Pure.

A lane is what has to stay in order: the messages of one declarant about one business number.
Only the oldest copy of a lane is ever on its way, so a copy that fails holds back its lane alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def lane(sender: str, name: str, value: str) -> str:
    """The lane of a message; '' where it names no business number: it waits for nobody."""
    return f"{sender} {name}={value}" if value else ""


@dataclass(frozen=True, slots=True)
class Weights:
    """How often each is served while both have something to send."""

    live: int = 3  # recorded since the upstream came back
    backlog: int = 1  # recorded before


def share(live: Sequence[T], backlog: Sequence[T], most: int, weights: Weights) -> list[T]:
    """At most `most`, each part's own order kept; what one part leaves unused the other takes."""
    own = max(1, most * weights.backlog // (weights.live + weights.backlog))
    from_backlog = min(len(backlog), max(own, most - len(live)))
    return [*backlog[:from_backlog], *live[: most - from_backlog]]
