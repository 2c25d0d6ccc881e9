"""Rows as entries of the Merkle log: the bytes that are hashed. Knows no database. docs/reference/evidence.md.

An entry says what was decided when it was decided; columns that change later are left out, or
given as they were. What may have to be deleted some day, or is long, stands in it by its digest.
Written by hand, not by a JSON library: a million are made anew whenever the log is verified.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring as _quoted
from typing import Any

from swexchange.core.model import Kind, Outcome

EXCHANGE, EVENT, RULES = "exchange/v1", "event/v1", "rules/v1"
MOST_BYTES = 65_535  # of an entry: tlog-tiles gives its length in two bytes
LONG = 1_000  # bytes of a member that is given by its digest where an entry would be too long

NUMBERS = ("seq", "received_at", "committed_at")
TEXTS = {  # members of the entry, and the columns they come from
    "exchange": "exchange_id",
    "identity": "identity",
    "rules": "rules_digest",
    "submitter": "submitter",
    "sender": "sender",
    "message_id": "message_id",
    "type": "type",
    "code": "code",
    "key": "key_id",
    "envelope": "envelope_edition",
    "edition": "edition",
    "route": "route",
}
_OTHERS = ("outcome", "tries", "digest", "detail", "parent_exchange_id", "parent_sender", "parent_message_id")
EXCHANGE_COLUMNS = (*NUMBERS, *TEXTS.values(), *_OTHERS)
COPY_COLUMNS = ("seq", "kind", "recipient", "body")
EVENT_COLUMNS = ("id", "at", "exchange_id", "event", "detail")
RULES_COLUMNS = ("id", "at", "digest", "known_keys")

_EXCHANGE_FORM = (
    f'{{"entry":"{EXCHANGE}",'
    + "".join(f'"{name}":%d,' for name in NUMBERS)
    + "".join(f'"{name}":%s,' for name in TEXTS)
    + '"outcome":%s,"digest":"%s","detail":"%s","parent":[%s],"copies":[%s]}'
)
_EVENT_FORM = f'{{"entry":"{EVENT}","id":%d,"at":%d,"exchange":%s,"event":%s,"detail":%s}}'
_RULES_FORM = f'{{"entry":"{RULES}","id":%d,"at":%d,"rules":%s,"keys":"%s"}}'
_TEXTS_START, _OTHERS_START, _END = len(NUMBERS), len(NUMBERS) + len(TEXTS), len(EXCHANGE_COLUMNS)


def exchange_entry(row: Sequence[Any], copies: Iterable[Sequence[Any]]) -> bytes:
    """The entry of an exchange: its row in the order of EXCHANGE_COLUMNS, its copies in that of COPY_COLUMNS.

    Raises TypeError where a column holds a value of a wrong type, as SQLite allows.
    """
    outcome, tries, digest, detail, *parent = row[_OTHERS_START:_END]
    waited = tries is not None  # an answer that came before its parent; a MATCHED event says what followed
    answers = not waited and parent[0] is not None
    return _bounded(
        _EXCHANGE_FORM
        % (
            *row[:_TEXTS_START],
            *map(_quoted, row[_TEXTS_START:_OTHERS_START]),
            _quoted(Outcome.WAITING if waited else outcome),
            digest.hex(),
            hashlib.sha256(detail.encode()).hexdigest(),
            ",".join(map(_quoted, parent)) if answers else "",
            ",".join(_copy(*copy) for copy in copies if not (waited and copy[1] == Kind.MESSAGE)),
        )
    )


def _copy(_seq: int, kind: str, recipient: str, body: bytes | None) -> str:
    """[kind, recipient], and of a receipt the digest of its bytes."""
    digest = f',"{hashlib.sha256(body).hexdigest()}"' if body is not None else ""
    return f"[{_quoted(kind)},{_quoted(recipient)}{digest}]"


def event_entry(row: Sequence[Any]) -> bytes:
    """The entry of an event: its row in the order of EVENT_COLUMNS. Raises TypeError as above."""
    return _bounded(_EVENT_FORM % (*row[:2], *map(_quoted, row[2:])))


def rules_entry(row: Sequence[Any]) -> bytes:
    """The entry of rules: their row in the order of RULES_COLUMNS. Raises TypeError as above."""
    number, at, digest, keys = row
    return _bounded(_RULES_FORM % (number, at, _quoted(digest), hashlib.sha256(keys.encode()).hexdigest()))


def _bounded(entry: str) -> bytes:
    """The entry; of one that is too long, each long member as {"sha256": digest of its JSON}."""
    written = entry.encode()
    if len(written) <= MOST_BYTES:
        return written
    members = {name: _json(value) for name, value in json.loads(entry).items()}
    short = (f'"{name}":{_shortened(value)}' for name, value in members.items())
    return ("{" + ",".join(short) + "}").encode()


def _shortened(member: str) -> str:
    written = member.encode()
    return member if len(written) <= LONG else f'{{"sha256":"{hashlib.sha256(written).hexdigest()}"}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
