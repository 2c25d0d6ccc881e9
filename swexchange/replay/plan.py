"""Plans a replay: what is chosen of the exchanges found, and what that would do, counted for its operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from swexchange.core.compare import Judged
from swexchange.core.identity import claim
from swexchange.core.replay import Does, Item, Left, Scope, Target, plan
from swexchange.replay.whatif import Tally


@dataclass(slots=True)
class Choice:
    """What a plan makes of some exchanges: items to add, and earlier ones (by seq) that these replace."""

    items: list[Item] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Planning:
    """A plan in the making: counts, however many exchanges it chooses, and what it will accept."""

    scope: Scope
    limit: int  # items at most; 0 = all
    items: int = 0
    accepted: int = 0  # of the items: refused messages that would be accepted
    targets: Counter[Target] = field(default_factory=Counter)
    left: Counter[Left] = field(default_factory=Counter)
    changes: Tally = field(default_factory=lambda: Tally(keep=0))
    _accepting: dict[str, Item] = field(default_factory=dict)  # what will be accepted, by the identity it takes

    def choose(self, found: Sequence[Judged], held: Callable[[Collection[str]], Set[str]]) -> Choice:
        """The items among these exchanges; `held` says which identities accepted messages have."""
        anew = {claim(one.sender, one.message_id) for one in found if one.now.accepted and not one.then.accepted}
        taken = held(anew) if anew else set()
        choice = Choice()
        for one in found:
            if self.is_full:
                break
            item = plan(one, self.scope, is_taken=claim(one.sender, one.message_id) in taken)
            self.changes.add(one)
            if isinstance(item, Left):
                self.left[item] += 1
                continue
            if item.does is Does.ACCEPT:
                self._accept(item, claim(one.sender, one.message_id), choice)
            self._count(item, 1)
            choice.items.append(item)
        return choice

    def _accept(self, item: Item, identity: str, choice: Choice) -> None:
        """Of several refused messages under one id, the last is meant: the sender corrected it."""
        if earlier := self._accepting.get(identity):
            self._count(earlier, -1)
            self.left[Left.SUPERSEDED] += 1
            choice.dropped.append(earlier.seq)
        self._accepting[identity] = item

    def _count(self, item: Item, by: int) -> None:
        self.items += by
        self.accepted += by * (item.does is Does.ACCEPT)
        for target in item.targets:
            self.targets[target] += by

    @property
    def is_full(self) -> bool:
        """Whether it has as many items as it may."""
        return 0 < self.limit <= self.items

    def effect(self, matching: int) -> dict[str, Any]:
        """What the plan would do, as JSON values; `matching` exchanges fit, of which a limit leaves some unseen."""
        return {
            "found": self.changes.decided,
            "matching": matching,
            "items": self.items,
            "accepted_anew": self.accepted,
            "sends": [
                {"kind": t.kind, "to": t.to, "repeats": t.repeat, "copies": n}
                for t, n in self.targets.most_common()
                if n
            ],
            "left_out": [{"why": why, "exchanges": n} for why, n in self.left.most_common()],
            "today_differs": [
                {"change": g.change, "type": g.type, "then": g.then, "today": g.now, "exchanges": n}
                for g, n in self.changes.groups.most_common()
            ],
        }
