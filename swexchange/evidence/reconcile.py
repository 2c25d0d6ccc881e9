"""A participant's day as a document that the log's key signs, under a checkpoint that covers the day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from swexchange.core import checkpoint
from swexchange.core.keys import SigningKey
from swexchange.core.log import Signed
from swexchange.core.reconcile import Account, Line, Side, bounds, document
from swexchange.errors import ConfigFault


class Log(Protocol):
    """The Merkle log as a reconciliation needs it. Every method raises StoreDown when the database fails it."""

    def covering(self, begins: datetime, ends: datetime) -> Signed | None:
        """The first checkpoint over all that was received before a day ended; None while that is not sealed."""

    def missing(self, begins: datetime, ends: datetime) -> int:
        """How many sealed messages of a day are no longer there."""


def require_whole(log: Log, day: date) -> None:
    """Raise ConfigFault where messages of a day are gone: what is left of it does not add up to the day."""
    if missing := log.missing(*bounds(day)):
        what = f"{missing} messages that were sealed are no longer in the database: pruned, or removed"
        raise ConfigFault(what, where=str(day), do="A restored or archived copy holds them; `swexchange audit verify`")


def covered(log: Log, day: date) -> Signed:
    """The checkpoint over a day of which nothing is gone. Raises ConfigFault, StoreDown."""
    require_whole(log, day)
    signed = log.covering(*bounds(day))
    if signed is None:
        raise ConfigFault("not everything of this day is sealed yet", where=str(day), do="Run `swexchange audit seal`")
    return signed


def signed_document(
    signed: Signed,
    account: Account,
    lines: tuple[Side, Sequence[Line]] | None,
    origin: str,
    key: SigningKey,
    now: datetime,
) -> str:
    """What the account says, the checkpoint that covers its day, the signature."""
    return checkpoint.sign_note(f"{document(account, origin, lines, now)}\n{signed.note}", origin, key)
