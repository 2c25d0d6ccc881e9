"""The fates of the messages of one publish call, as the broker's words on them come in. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from swexchange.broker.frames import Confirm, FrameError, Message, Returned
from swexchange.core.model import Fate
from swexchange.crashpoint import crashpoint

NAMED = 3  # queues in an error


class Confirms:
    """Tags count from `first`, one per message in order; words on other tags are of earlier calls."""

    def __init__(self, first: int, messages: Sequence[Message]) -> None:
        self._first = first
        self._messages = messages
        self._fates: list[Fate | None] = [None] * len(messages)
        self._settled_through = 0  # every message before this index has its fate
        self._handed_over = 0  # of nothing behind these has the broker heard
        self._returned: Counter[Returned] = Counter()
        self.open = len(messages)  # without a fate yet

    def fates(self) -> list[Fate]:
        """One per message, in order; UNKNOWN where no word has come."""
        return [fate or Fate.UNKNOWN for fate in self._fates]

    def overdue(self) -> str:
        """What has no fate yet, of what was handed over, in short: how many for which queues."""
        handed_over = zip(self._messages[: self._handed_over], self._fates, strict=False)
        waiting = Counter(message.routing_key or message.exchange for message, fate in handed_over if fate is None)
        told = [f"{count} to {name}" for name, count in waiting.most_common(NAMED)]
        return ", ".join(told) + (f" and {len(waiting) - NAMED} more" if len(waiting) > NAMED else "")

    def hand_over(self, count: int) -> None:
        """So many more messages are about to be written: from now on there may be a word on them."""
        self._handed_over += count

    def on_returned(self, returned: Returned) -> None:
        """A message found no queue: its confirm, which comes after, then means just that."""
        if returned in self._names:  # else a broker that returns what nobody sent would fill the memory
            self._returned[returned] += 1

    @cached_property
    def _names(self) -> frozenset[Returned]:
        return frozenset(Returned(one.exchange, one.routing_key, one.message_id) for one in self._messages)

    def on_confirm(self, confirm: Confirm) -> None:
        """The broker took or refused one message, or all through one. Raises FrameError for one that was never sent."""
        last = confirm.tag - self._first
        if last >= self._handed_over:
            sent = self._first + self._handed_over - 1
            raise FrameError(f"message {confirm.tag} was confirmed, {sent} were sent")
        if confirm.multiple:
            last = self._handed_over - 1 if confirm.tag == 0 else last
            for index in range(self._settled_through, last + 1):
                self._settle(index, confirm.positive)
            self._settled_through = max(self._settled_through, last + 1)
        elif last >= 0:
            self._settle(last, confirm.positive)

    def _settle(self, index: int, positive: bool) -> None:
        if self._fates[index] is None:
            self._fates[index] = self._fate(index, positive)
            self.open -= 1
            crashpoint("copy-confirmed")

    def _fate(self, index: int, positive: bool) -> Fate:
        if not positive:
            return Fate.REFUSED
        if self._returned and self._was_returned(self._messages[index]):
            return Fate.RETURNED
        return Fate.CONFIRMED

    def _was_returned(self, message: Message) -> bool:
        key = Returned(message.exchange, message.routing_key, message.message_id)
        if self._returned[key] == 0:
            return False
        self._returned[key] -= 1
        return True
