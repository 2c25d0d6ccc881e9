"""Asks the log's witnesses beside the traffic: a thread that waits for them, so that nothing else does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from swexchange.core.checkpoint import BadNote, Note, Verifier
from swexchange.core.log import Signed
from swexchange.core.witness import Answer
from swexchange.errors import Fault
from swexchange.evidence.witness import Log, collect

_LATEST = 253_370_764_800  # the year 9999: a witness may state any time, even one that no calendar has

Asking = Callable[[], AbstractContextManager[Callable[[str], Callable[[str], Answer]]]]
"""Opens the way to all witnesses; what it gives takes a witness's name and asks that one. Raises BrokerLost."""


class Observer(Protocol):
    """Who is told what witnesses did."""

    def witnessed(self, witness: str, size: int) -> None:
        """A witness has signed a checkpoint of this size."""

    def not_witnessed(self, witness: str, fault: Fault) -> None:
        """A witness has not signed; it is asked again."""


class WitnessingThread(threading.Thread):
    """Has every witness sign the newest checkpoint, again and again; faults are told, and end nothing.

    Ends with `stop`, which sets `stopping`: what waits for an answer in `asking` looks at it.
    """

    def __init__(
        self,
        log: Log,
        witnesses: Sequence[Verifier],
        asking: Asking,
        seconds: float,
        observer: Observer,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name="witnessing", daemon=True)
        self._log, self._witnesses, self._asking = log, witnesses, asking
        self._seconds, self._observer, self._stopping = seconds, observer, stopping

    def run(self) -> None:
        """One round every so many seconds."""
        while not self._stopping.wait(self._seconds):
            self._told(self._witnesses, self._round)

    def _round(self) -> None:
        head = self._log.head()
        missing = [witness for witness in self._witnesses if head and not _signed_at(head.note, witness)]
        if missing:
            with self._asking() as ask:
                for witness in missing:
                    self._told([witness], partial(self._ask, witness, ask(witness.name)))

    def _ask(self, witness: Verifier, ask: Callable[[str], Answer]) -> None:
        if not self._stopping.is_set() and (size := collect(self._log, witness, ask)):
            self._observer.witnessed(witness.name, size)

    def _told(self, about: Iterable[Verifier], action: Callable[[], object]) -> None:
        """Do something; whatever goes wrong is told of these witnesses."""
        try:
            action()
        except Fault as fault:
            found = fault
        except Exception as error:  # noqa: BLE001 - an end that nobody sees would leave the log without witnesses
            found = Fault(f"unexpected {type(error).__name__}")
        else:
            return
        for witness in about if not self._stopping.is_set() else ():
            self._observer.not_witnessed(witness.name, found)

    def stop(self) -> None:
        """End; a question that waits for its answer is given up."""
        self._stopping.set()
        self.join()


@dataclass(frozen=True, slots=True)
class Seen:
    """The last checkpoint that a witness has signed."""

    size: int
    at: datetime  # when, by its own clock


def last_seen(newest_first: Iterable[Signed], witnesses: Sequence[Verifier]) -> Mapping[str, Seen | None]:
    """What each witness has signed last among these checkpoints, by its name; None: none of them."""
    found: dict[str, Seen | None] = dict.fromkeys(witness.name for witness in witnesses)
    for signed in newest_first:
        for witness in (witness for witness in witnesses if found[witness.name] is None):
            if at := _signed_at(signed.note, witness):
                found[witness.name] = Seen(signed.size, datetime.fromtimestamp(min(at, _LATEST), UTC))
        if all(found.values()):
            break
    return found


def _signed_at(note: str, witness: Verifier) -> int:
    """When a witness signed a note, in seconds since 1970; 0: it has not, or wrongly."""
    try:
        signature = Note.read(note).by(witness)
    except BadNote:
        return 0
    return signature.at if signature else 0
