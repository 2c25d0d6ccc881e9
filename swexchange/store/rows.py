"""Decisions as rows, and rows as decisions again. Knows no database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from swexchange.core.identity import copy_id, is_claim, receipt_id
from swexchange.core.model import (
    BusinessKey,
    Copy,
    Decision,
    Entry,
    Finding,
    Head,
    Kind,
    Outcome,
    Parent,
    ReceiverResult,
)
from swexchange.store.readable import Partly, read_json, readable
from swexchange.store.tables import EXCHANGE_TEXTS, NOTHING, exchange
from swexchange.store.tables import copy as copy_table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Row = Mapping[Any, Any]
"""A row by the names of its columns."""
LONGEST_ID = 200  # bytes of a participant's id: AMQP has 255 for the name of its queue
_KEYS = [(str, str)]
_DETAIL = Partly(
    head=(str, str, [str], str, str),
    keys=_KEYS,
    findings=[(str, str, str, int)],
    results=[(str, str, str)],
    answers=_KEYS,
    askers=[str],
    lane=str,
)


def microseconds(at: datetime) -> int:
    """A time as the tables hold it."""
    return (at - _EPOCH) // _MICROSECOND


def moment(stored: int) -> datetime:
    """A stored time as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=stored)


def moment_if(stored: int | None) -> datetime | None:
    """As `moment`; None stays None."""
    return None if stored is None else moment(stored)


def copy_state(state: str | None, batch_settled_at: int | None) -> str:
    """What a copy's row says of it: `state`, or where that is NULL, what its batch says: 'sent' or 'unsettled'."""
    return state or ("unsettled" if batch_settled_at is None else "sent")


def exchange_row(entry: Entry, seq: int, batch: int) -> tuple[Any, ...]:
    """A row of `exchange`, in the order of its columns."""
    decision, parent = entry.decision, entry.parent
    waits = decision.outcome is Outcome.WAITING
    received = microseconds(decision.received_at)
    return (
        seq,
        batch,
        decision.exchange_id,
        entry.identity,
        received,
        decision.submitter,
        decision.sender,
        decision.message_id,
        decision.type,
        str(decision.outcome),
        decision.code,
        decision.digest,
        decision.key_id,
        decision.envelope_edition,
        decision.edition,
        decision.route,
        _detail(decision),
        parent.exchange_id if parent else None,
        parent.sender if parent else None,
        parent.message_id if parent else None,
        0 if waits else None,
        received if waits else None,
        decision.body,
    )


def _detail(decision: Decision) -> str:
    """What is read but never searched, as JSON; empty parts are left out."""
    detail: dict[str, Any] = {}
    if decision.head:
        detail["head"] = _values(decision.head)
    for name in ("keys", "findings", "results", "answers"):
        values = getattr(decision, name)
        if values:
            detail[name] = [_values(value) for value in values]
    for name in ("askers", "lane"):
        if value := getattr(decision, name):
            detail[name] = value
    return _encode(detail)


def _values(value: Any) -> list[Any]:
    """The fields of a flat dataclass; dataclasses.astuple would copy them deeply, ten times slower."""
    return [getattr(value, name) for name in value.__slots__]


def copy_rows(entry: Entry, seq: int, now: int) -> Iterator[tuple[Any, ...]]:
    """Rows of `copy`, in the order of its columns; a message's body is its exchange's."""
    lane = entry.decision.lane or None
    for n, copy in enumerate(entry.decision.copies):
        is_receipt = copy.kind is Kind.RECEIPT
        body = copy.body if is_receipt else None
        if copy.to in entry.remote:
            queued = ("queued", now, None, 0, None if is_receipt else lane, copy.replay or None)
            yield seq, n, str(copy.kind), copy.to, body, *queued
        else:
            yield seq, n, str(copy.kind), copy.to, body, None, None, None, None, None, None


def key_rows(decision: Decision, seq: int) -> Iterator[tuple[str, str, int]]:
    """Rows of `business_key`, in the order of its columns."""
    for key in decision.keys:
        yield key.value, key.name, seq


def decision_of(row: Row, rules_digest: str) -> Decision:
    """The decision of an `exchange` row, without its copies. Raises DamagedRow."""
    detail = detail_of(row["exchange_id"], row["detail"])
    with readable(exchange, row["exchange_id"]):
        return _decision(row, detail, rules_digest)


def require_texts(row: Row) -> None:
    """Raise TypeError where a text of an `exchange` row is none, as SQLite allows."""
    if wrong := [name for name in EXCHANGE_TEXTS if not isinstance(row.get(name, ""), str)]:
        raise TypeError(f"{wrong[0]} is no text")


def _decision(row: Row, detail: Mapping[str, Any], rules_digest: str) -> Decision:
    require_texts(row)
    head = detail.get("head")
    return Decision(
        exchange_id=row["exchange_id"],
        received_at=moment(row["received_at"]),
        submitter=row["submitter"],
        body=bytes(row["body"]),
        digest=bytes(row["digest"]),
        rules_digest=rules_digest,
        outcome=Outcome(row["outcome"]),
        sender=row["sender"],
        message_id=row["message_id"],
        head=Head(head[0], head[1], tuple(head[2]), head[3], head[4]) if head else None,
        type=row["type"],
        key_id=row["key_id"],
        envelope_edition=row["envelope_edition"],
        edition=row["edition"],
        route=row["route"],
        findings=tuple(Finding(*values) for values in detail.get("findings", ())),
        results=tuple(ReceiverResult(*values) for values in detail.get("results", ())),
        keys=tuple(BusinessKey(*values) for values in detail.get("keys", ())),
        answers=tuple(BusinessKey(*values) for values in detail.get("answers", ())),
        askers=tuple(detail.get("askers", ())),
        lane=detail.get("lane", ""),
    )


def outcome_of(row: Row) -> Outcome:
    """An exchange's outcome; where its row says none, what its identity says, so that nothing takes effect twice."""
    try:
        return Outcome(row["outcome"])
    except ValueError:
        return Outcome.ACCEPTED if is_claim(row["identity"]) else Outcome.REJECTED


def is_pruned(row: Row) -> bool:
    """Whether an exchange's bytes were taken out of the database; an empty message has none to begin with."""
    return not row["body"] and bytes(row["digest"]) != NOTHING


def detail_of(exchange_id: str, detail: str) -> Mapping[str, Any]:
    """What an exchange's `detail` says, by the names of `Decision`. Raises DamagedRow."""
    told: Mapping[str, Any] = read_json(exchange.c.detail, exchange_id, detail, _DETAIL)
    return told


def first_detail(exchange_id: str, detail: str) -> str:
    """The detail of the first finding, of an exchange's `detail`. Raises DamagedRow."""
    findings = detail_of(exchange_id, detail).get("findings")
    return Finding(*findings[0]).detail if findings else ""


def copy_of(row: Row) -> Copy:
    """A copy from a row that joins `copy` (its body as `receipt`) with its `exchange`; `replay` may be absent.

    Raises DamagedRow.
    """
    with readable(copy_table, f"of exchange {row['exchange_id']} to {row['recipient']!s:.100}"):
        require_texts(row)
        return _copy(row, Kind(row["kind"]))


def _copy(row: Row, kind: Kind) -> Copy:
    is_receipt = kind is Kind.RECEIPT
    answered = None if is_receipt else row["parent_message_id"]
    to, replay = row["recipient"], row.get("replay") or ""
    if not isinstance(to, str) or len(to.encode()) > LONGEST_ID:
        raise ValueError("its recipient is nobody's id")
    if not isinstance(replay, str):
        raise TypeError("its replay is no text")
    return Copy(
        id=_copy_id(row, kind),
        kind=kind,
        to=to,
        type="DxpRep" if is_receipt else row["type"],
        correlation_id=answered if answered is not None else row["message_id"],
        exchange_id=row["exchange_id"],
        body=bytes(row["receipt"] if is_receipt else row["body"]),
        replay=replay,
    )


def _copy_id(row: Row, kind: Kind) -> str:
    if kind is Kind.RECEIPT:
        return receipt_id(row["exchange_id"], row["recipient"])
    return copy_id(row["sender"], row["message_id"], bytes(row["digest"]), kind, row["recipient"])


def lane_of(row: Row) -> str | None:
    """The lane of a copy from its kind and its exchange's detail; None where it waits for nobody. Raises DamagedRow."""
    return None if row["kind"] == Kind.RECEIPT else detail_of(row["exchange_id"], row["detail"]).get("lane")


def parent_of(row: Row) -> Parent | None:
    """Whom an exchange answered; None where it answers nobody."""
    if row["parent_exchange_id"] is None:
        return None
    return Parent(row["parent_exchange_id"], row["parent_sender"], row["parent_message_id"])
