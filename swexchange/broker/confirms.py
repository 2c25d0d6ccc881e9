"""The fates of the messages of one publish call, as the broker's words on them come in. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from swexchange.broker.frames import Confirm, Message, Returned
from swexchange.core.model import Fate
from swexchange.crashpoint import crashpoint


class Confirms:
    """Tags count from `first`, one per message in order; words on other tags are of earlier calls."""

    def __init__(self, first: int, messages: Sequence[Message]) -> None:
        self._first = first
        self._messages = messages
        self._fates: list[Fate | None] = [None] * len(messages)
        self._settled_through = 0  # every message before this index has its fate
        self._returned: Counter[Returned] = Counter()
        self.open = len(messages)  # without a fate yet

    def fates(self) -> list[Fate]:
        """One per message, in order; UNKNOWN where no word has come."""
        return [fate or Fate.UNKNOWN for fate in self._fates]

    def on_returned(self, returned: Returned) -> None:
        """A message found no queue: its confirm, which comes after, then means just that."""
        self._returned[returned] += 1

    def on_confirm(self, confirm: Confirm) -> None:
        """The broker took or refused one message, or all through one."""
        last = confirm.tag - self._first
        if confirm.multiple:
            last = len(self._fates) - 1 if confirm.tag == 0 else min(last, len(self._fates) - 1)
            for index in range(self._settled_through, last + 1):
                self._settle(index, confirm.positive)
            self._settled_through = max(self._settled_through, last + 1)
        elif 0 <= last < len(self._fates):
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
