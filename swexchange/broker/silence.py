"""An outlet that passes over silent queues; see core/silence.py."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set

from swexchange.broker.lasting import LastingOutlet
from swexchange.broker.topology import queue
from swexchange.core.model import Copy, Fate
from swexchange.core.silence import SilentQueues
from swexchange.errors import BrokerLost, Unconfirmed


class PassingOver:
    """Publishes over an outlet to all queues but those that rest. `silent` outlives the outlet."""

    def __init__(
        self, outlet: LastingOutlet, silent: SilentQueues, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._outlet, self._silent, self._monotonic = outlet, silent, monotonic

    def publish(self, copies: Sequence[Copy]) -> list[Fate]:
        """Send copies; one fate each, UNKNOWN for those that rest. Raises BrokerLost while nothing is known of any."""
        names = [queue(copy.kind, copy.to) for copy in copies]
        fates: dict[int, Fate] = {}
        for these in self._calls(names):
            try:
                found = self._call([copies[number] for number in these], [names[number] for number in these])
            except BrokerLost:
                if not fates:
                    raise
                break  # the link is gone; what was confirmed before is
            fates |= zip(these, found, strict=True)
        return [fates.get(number, Fate.UNKNOWN) for number in range(len(copies))]

    def _calls(self, names: Sequence[str]) -> Iterator[list[int]]:
        """The numbers of the copies of each call, by their queues; where one may be silent a canary goes first."""
        numbers: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(names):
            numbers[name].append(number)
        for together in self._silent.calls(numbers, self._monotonic()):
            these = sorted(number for name in together for number in numbers[name])  # in order
            if together[0] in self._silent:
                yield these[:1]
                these = these[1:]
            if these:
                yield these

    def _call(self, copies: Sequence[Copy], names: Sequence[str]) -> list[Fate]:
        self._outlet.check()  # else what ended it before would be taken for silence of these
        began = self._monotonic()
        try:
            fates = self._outlet.publish(copies)
        except Unconfirmed:
            self._learn(names, set(), began)
            raise
        if not self._outlet.blocked:  # else silence is the alarm's
            answered = {name for name, fate in zip(names, fates, strict=True) if fate is not Fate.UNKNOWN}
            self._learn(names, answered, began)
        return fates

    def _learn(self, tried: Sequence[str], answered: Set[str], began: float) -> None:
        now = self._monotonic()
        self._silent.learn(set(tried), answered, now - began, now)

    @property
    def blocked(self) -> bool:
        """Whether an alarm of the broker holds publishers back."""
        return self._outlet.blocked

    def close(self) -> None:
        """End the link."""
        self._outlet.close()
