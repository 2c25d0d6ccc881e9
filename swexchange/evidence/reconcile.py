"""A participant's day as a document that the log's key signs, under a checkpoint that covers the day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
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


def reconciled(
    log: Log,
    account: Account,
    lines: tuple[Side, Sequence[Line]] | None,
    origin: str,
    key: SigningKey,
    now: datetime,
) -> str:
    """The signed document: what the account says, the checkpoint, the signature. Raises ConfigFault, StoreDown."""
    signed = log.covering(*bounds(account.day))
    if signed is None:
        raise ConfigFault(
            "not everything of this day is sealed yet", where=str(account.day), do="Run `swexchange audit seal`"
        )
    return checkpoint.sign_note(f"{document(account, origin, lines, now)}\n{signed.note}", origin, key)
