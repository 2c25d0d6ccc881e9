"""The values of the Merkle log: which rows are its leaves. docs/reference/evidence.md."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swexchange.core.keys import Key


class Kind(StrEnum):
    """What a span of leaves consists of; sealed in this order."""

    RULES = "rules"  # rules that came into force
    BATCH = "batch"  # the exchanges of batches
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Span:
    """A run of neighbouring rows that are neighbouring leaves."""

    kind: Kind
    first: int  # number of a batch, of an event, of rules
    last: int
    first_leaf: int = 0  # where it begins in the log
    leaves: int = 0


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry of the log."""

    kind: Kind
    number: int  # exchange.seq, event.id or rules.id
    exchange_id: str
    entry: bytes  # what is hashed
    body: str = ""  # of a verified exchange: '' = as it was, else what is wrong with its bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it is stored."""

    size: int
    made_at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Everything that proves one exchange, but for the proofs themselves."""

    exchange_id: str
    body: bytes
    receipt: bytes | None
    detail: str  # the JSON text of exchange.detail
    editions: tuple[str, ...]  # of schemas: the envelope's, the document's
    keys: str | None  # the key history that was logged with its rules; None = it was not
    entries: tuple[tuple[int, bytes], ...]  # leaf and entry: the exchange's, its rules', its events'


def key_history(keys: Iterable[Key]) -> str:
    """Registered keys as JSON, one text for one registry: it is hashed."""
    rows = [
        {
            "id": key.id,
            "participant": key.participant,
            "public": base64.b64encode(key.public).decode(),
            "from": key.valid_from.isoformat(),
            "to": key.valid_to.isoformat() if key.valid_to else None,
            "revoked": key.revoked_at.isoformat() if key.revoked_at else None,
        }
        for key in sorted(keys, key=lambda key: key.id)
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1)
