"""The values of the Merkle log: which rows are its leaves. docs/reference/evidence.md."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """What a span of leaves consists of."""

    BATCH = "batch"  # the exchanges of batches
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Span:
    """A run of neighbouring rows that are neighbouring leaves."""

    kind: Kind
    first: int  # number of a batch or of an event
    last: int
    first_leaf: int = 0  # where it begins in the log
    leaves: int = 0


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry of the log."""

    kind: Kind
    number: int  # exchange.seq, or event.id
    exchange_id: str
    entry: bytes  # what is hashed
    body: str = ""  # of a verified exchange: '' = as it was, else what is wrong with its bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it is stored."""

    size: int
    made_at: datetime
    note: str
