"""The participants' side of the broker: each sends through its own outbox and reads its own two queues.

One program plays all participants, so one user of the broker stands for all; in a city each has
its own, and the broker's permissions hold them apart. Nothing here judges what comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from demo_cases import Case
from demo_trouble import FAILED, Trouble

from swexchange.broker import Outlet, Server
from swexchange.broker.client import Mailbox, Received, submission
from swexchange.broker.topology import queue
from swexchange.core.model import Fate, Kind

AT_ONCE = 500  # messages read from a queue in one go
REST = 0.02  # seconds between looks when nothing is there


@dataclass(frozen=True, slots=True)
class Mail:
    """One message that a participant read."""

    participant: str
    kind: Kind
    received: Received


class Post:
    """Open links of all participants: one that sends, and one for every queue."""

    def __init__(self, server: Server, participants: Iterable[str]) -> None:
        with ExitStack() as opened:
            self._outlet: Outlet = opened.enter_context(Outlet(server))
            self._boxes: list[tuple[str, Kind, Mailbox]] = [
                (name, kind, opened.enter_context(Mailbox(server, queue(kind, name))))
                for name in participants
                for kind in Kind
            ]
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def send(self, cases: Sequence[Case]) -> None:
        """Publish in this order; the broker has confirmed each when this returns. Raises Trouble."""
        messages = [submission(case.submitter, case.body, case.message_id) for case in cases]
        fates = self._outlet.publish_raw(messages)
        missed = next((case for case, fate in zip(cases, fates, strict=True) if fate is not Fate.CONFIRMED), None)
        if missed:
            raise Trouble(f"the broker did not take '{missed.title}' from {missed.submitter}", FAILED)

    def read(self) -> list[Mail]:
        """What has come to anybody since the last look; rests a moment where nothing has."""
        found = [mail for name, kind, box in self._boxes for mail in _read(name, kind, box)]
        if not found:
            time.sleep(REST)
        return found


def _read(name: str, kind: Kind, box: Mailbox) -> list[Mail]:
    taken = box.read(AT_ONCE, 2**26, 0)
    if taken:
        box.ack_through(taken[-1].tag)
    return [Mail(name, kind, received) for received in taken]
