"""What other rules would have made of the past: recorded exchanges decided again, and counted.

Each is decided as of its own time of receipt, so keys, schema editions and freshness are those
in force then; only the rules are new. Nothing is sent or recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import tee

from swexchange.core.compare import Change, Judged, Past, judged
from swexchange.core.rulebook import Rulebook
from swexchange.decider import decide_as_of


def judge(found: Iterable[Past], rules: Rulebook) -> Iterator[Judged]:
    """Decide recorded exchanges again under these rules, in the order they come."""
    past, again = tee(found)
    deliveries = ((p.decision.again, p.decision.received_at) for p in again)
    return map(judged, past, decide_as_of(deliveries, rules))


@dataclass(frozen=True, slots=True)
class Group:
    """What changes in the same way."""

    change: Change
    type: str
    then: str
    now: str


@dataclass(slots=True)
class Tally:
    """How many exchanges change and how, with the first of them; small, however many it counts."""

    keep: int  # changed exchanges that are listed, at most
    decided: int = 0
    groups: Counter[Group] = field(default_factory=Counter)
    changed: list[Judged] = field(default_factory=list)

    def add(self, one: Judged) -> None:
        """Count one exchange."""
        self.decided += 1
        if one.change is Change.SAME:
            return
        self.groups[Group(one.change, one.type, str(one.then), str(one.now))] += 1
        if len(self.changed) < self.keep:
            self.changed.append(one)

    def merge(self, other: Tally) -> None:
        """Count what another tally has counted."""
        self.decided += other.decided
        self.groups.update(other.groups)
        self.changed += other.changed[: self.keep - len(self.changed)]


def tally(found: Iterable[Judged], keep: int) -> Tally:
    """Count exchanges."""
    counted = Tally(keep)
    for one in found:
        counted.add(one)
    return counted
