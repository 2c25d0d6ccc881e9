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
class KeySum:
    """What rows of the index by business key add up to, or the keys of exchanges: equal where they are the same."""

    rows: int = 0
    weight: int = 0  # means nothing by itself

    def __add__(self, other: KeySum) -> KeySum:
        return KeySum(self.rows + other.rows, self.weight + other.weight)

    def __sub__(self, other: KeySum) -> KeySum:
        return KeySum(self.rows - other.rows, self.weight - other.weight)


@dataclass(frozen=True, slots=True)
class Record:
    """A leaf with what its entry gives by digests: of an exchange what was sent and answered, of others nothing."""

    leaf: Leaf
    rules: str = ""  # digest of the rules that an exchange was decided by
    received_at: int = 0  # microseconds since 1970
    detail: bytes = b""  # the JSON text of exchange.detail
    message: bytes = b""  # b'' where it was deleted
    receipt: bytes = b""  # b'' where nobody could be told


@dataclass(frozen=True, slots=True)
class LoggedRules:
    """Rules with the keys they knew, as one leaf says."""

    digest: str  # of the rules
    leaf: int
    entry: bytes
    keys: str  # the key history
    manifest: str  # of the rules, see core.rules_manifest; '' = it is not known


@dataclass(frozen=True, slots=True)
class Archived:
    """A run of leaves that lies in an archive file."""

    first: int  # leaf
    leaves: int
    name: str  # of the file
    digest: bytes  # SHA-256 of the file
    size: int  # bytes of the file
    since: int  # when the first of its exchanges came, in microseconds since 1970; 0 = it has none
    until: int  # and the last

    @property
    def end(self) -> int:
        """The leaf behind the last one."""
        return self.first + self.leaves


@dataclass(frozen=True, slots=True)
class Claim:
    """What an accepted exchange took for good: no other one is accepted under that identity."""

    identity: str
    exchange_id: str
    digest: bytes  # of its message


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it is stored."""

    size: int
    made_at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the log has come, and how far the archive files."""

    sealed: int  # entries under the newest checkpoint
    sealed_at: datetime | None  # when that was made; None = nothing is sealed
    unsealed: int  # exchanges recorded since; no more than a thousand batches are looked into
    archived: int  # entries in archive files
    archive: str  # the newest file; '' = there is none
    archived_at: datetime | None  # when that was made
    unarchived_since: datetime | None  # when the first sealed exchange that lies in no file was recorded


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Everything that proves one exchange, but for the proofs themselves."""

    exchange_id: str
    body: bytes
    receipt: bytes | None
    detail: str  # the JSON text of exchange.detail
    editions: tuple[str, ...]  # of schemas: the envelope's, the document's
    keys: str | None  # the key history that was logged with its rules; None = it was not
    manifest: str  # of its rules, see core.rules_manifest; '' = it is not known
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
