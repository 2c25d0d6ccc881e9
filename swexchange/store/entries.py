"""Rows as entries of the Merkle log: the bytes that are hashed. Knows no database. docs/reference/evidence.md.

An entry says what was decided when it was decided; columns that change later are left out, or
given as they were. What may have to be deleted some day, or is long, stands in it by its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from swexchange.core.model import Kind, Outcome
from swexchange.store.rows import Row

EXCHANGE, EVENT = "swexchange/exchange/v1", "swexchange/event/v1"
MOST_BYTES = 65_535  # of an entry: tlog-tiles gives its length in two bytes
_PARENT = ("parent_exchange_id", "parent_sender", "parent_message_id")
_LONG = 1_000  # bytes of a value that is given by its digest where an entry would be too long
# `default`: in SQLite a column may hold what somebody else put there, of any type.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=repr).encode


def exchange_entry(row: Row, copies: Iterable[Row]) -> bytes:
    """The entry of an exchange, from its row with its batch's and the rows of its copies in order."""
    waited = row["tries"] is not None  # an answer that came before its parent; a MATCHED event says what followed
    return _canonical(
        {
            "entry": EXCHANGE,
            "seq": row["seq"],
            "exchange": row["exchange_id"],
            "identity": row["identity"],
            "received_at": row["received_at"],
            "committed_at": row["committed_at"],
            "rules": row["rules_digest"],
            "submitter": row["submitter"],
            "sender": row["sender"],
            "message_id": row["message_id"],
            "type": row["type"],
            "outcome": str(Outcome.WAITING) if waited else row["outcome"],
            "code": row["code"],
            "digest": as_bytes(row["digest"]).hex(),
            "key": row["key_id"],
            "envelope": row["envelope_edition"],
            "edition": row["edition"],
            "route": row["route"],
            "detail": _sha256(as_bytes(row["detail"])),
            "parent": [] if waited or row["parent_exchange_id"] is None else [row[name] for name in _PARENT],
            "copies": [_copy(copy) for copy in copies if not (waited and copy["kind"] == Kind.MESSAGE)],
        }
    )


def _copy(row: Row) -> list[str]:
    body = [] if row["body"] is None else [_sha256(as_bytes(row["body"]))]
    return [row["kind"], row["recipient"], *body]


def event_entry(row: Row) -> bytes:
    """The entry of an event, from its row."""
    return _canonical(
        {
            "entry": EVENT,
            "id": row["id"],
            "exchange": row["exchange_id"],
            "at": row["at"],
            "event": row["event"],
            "detail": row["detail"],
        }
    )


def as_bytes(value: object) -> bytes:
    """A column that should hold bytes or text; SQLite lets it hold anything."""
    return value if isinstance(value, bytes) else str(value).encode()


def _canonical(values: Mapping[str, Any]) -> bytes:
    """JSON without white space, members in this order, text as it is."""
    entry = _encode(values).encode()
    if len(entry) <= MOST_BYTES:
        return entry
    texts = {name: _encode(value).encode() for name, value in values.items()}
    long = {name: {"sha256": _sha256(text)} for name, text in texts.items() if len(text) > _LONG}
    return _encode({**values, **long}).encode()


def _sha256(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
