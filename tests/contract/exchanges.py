"""Decisions for tests of the store: made by hand, without keys, schemas or rules."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from swexchange.core.identity import copy_id, exchange_id, identity, lookups, receipt_id
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
from swexchange.store import FullLedger

NOW = datetime(2026, 3, 2, 1, 30, 0, 123456, tzinfo=UTC)
ALICE, BOB = "DXPENT0000012345", "DXPENT0000023456"
CUSTOMS, PORT = "DXPEDCDEC0000001", "PORT4403YICT0001"
RULES = "5e" * 32
KEYED = BusinessKey("EntryId", "530420261000000017")


def after(**duration: float) -> datetime:
    """NOW and some time."""
    return NOW + timedelta(**duration)


def accepted(
    message_id: str = "M1",
    sender: str = ALICE,
    to: Sequence[str] = (CUSTOMS,),
    keys: Sequence[BusinessKey] = (),
    at: datetime = NOW,
    kind: str = "DecMessage",
) -> Decision:
    """A message that goes to agencies, with a receipt; every field has something in it."""
    body = f"<DecMessage>报关单 {sender} {message_id}</DecMessage>".encode()
    digest = hashlib.sha256(body).digest()
    number = exchange_id(at, sender, digest)
    receipt = f"<DxpRep>{message_id}</DxpRep>".encode()
    copies = [
        Copy(copy_id(sender, message_id, digest, Kind.MESSAGE, r), Kind.MESSAGE, r, kind, message_id, number, body)
        for r in to
    ]
    copies.append(
        Copy(
            receipt_id(number, sender),
            Kind.RECEIPT,
            sender,
            "DxpRep",
            message_id,
            number,
            receipt,
        )
    )
    return Decision(
        exchange_id=number,
        received_at=at,
        submitter=sender,
        body=body,
        digest=digest,
        rules_digest=RULES,
        outcome=Outcome.ACCEPTED,
        sender=sender,
        message_id=message_id,
        head=Head(message_id, sender, tuple(to), "2026-03-02T09:29:58+08:00", "DECMSG"),
        type=kind,
        key_id=f"{sender}-2026",
        envelope_edition="dxp/202205",
        edition="dec/4.9.7",
        route="declarations",
        results=tuple(ReceiverResult(r, "0000", "已转发") for r in to),
        keys=tuple(keys),
        copies=tuple(copies),
    )


def rejected(body: bytes = b"<junk/>", sender: str = ALICE, at: datetime = NOW, code: str = "0002") -> Decision:
    """A message that was refused with a receipt; nobody else gets anything."""
    digest = hashlib.sha256(body).digest()
    number = exchange_id(at, sender, digest)
    receipt = Copy(receipt_id(number, sender), Kind.RECEIPT, sender, "DxpRep", "", number, b"no")
    findings = (Finding(code, "'2' is not allowed here", "/DecMessage/DecHead/IEFlag", 7),)
    return Decision(
        number, at, sender, body, digest, RULES, Outcome.REJECTED, sender, findings=findings, copies=(receipt,)
    )


def waiting(message_id: str = "Z1", answers: Sequence[BusinessKey] = (), at: datetime = NOW) -> Decision:
    """An answer of customs whose parent is not known."""
    body = f"<DEC_RESULT>{message_id}</DEC_RESULT>".encode()
    digest = hashlib.sha256(body).digest()
    number = exchange_id(at, CUSTOMS, digest)
    receipt = Copy(
        receipt_id(number, CUSTOMS),
        Kind.RECEIPT,
        CUSTOMS,
        "DxpRep",
        message_id,
        number,
        b"<DxpRep/>",
    )
    head = Head(message_id, CUSTOMS, (ALICE,), "2026-03-02T09:29:58+08:00", "DECRES")
    return Decision(
        number,
        at,
        CUSTOMS,
        body,
        digest,
        RULES,
        Outcome.WAITING,
        CUSTOMS,
        message_id,
        head,
        "DEC_RESULT",
        answers=tuple(answers),
        keys=tuple(answers),
        copies=(receipt,),
    )


def answer_copy(answer: Decision, parent: Parent) -> Copy:
    """What a waiting answer sends when its parent is found."""
    name = copy_id(answer.sender, answer.message_id, answer.digest, Kind.MESSAGE, parent.sender)
    return Copy(name, Kind.MESSAGE, parent.sender, answer.type, parent.message_id, answer.exchange_id, answer.body)


def record(
    ledger: FullLedger,
    *decisions: Decision,
    parent: Parent | None = None,
    now: datetime = NOW,
    remote: frozenset[str] = frozenset(),
) -> int:
    """Record decisions in a batch of their own; its number."""
    names = {name for decision in decisions for name in lookups(decision)}
    with ledger.write(names, now, RULES) as book:
        book.record([Entry(identity(decision), decision, parent, remote) for decision in decisions])
        return book.batch


def deliver(ledger: FullLedger, *decisions: Decision, now: datetime = NOW) -> None:
    """Record decisions and note that all their copies were confirmed."""
    ledger.settle(record(ledger, *decisions, now=now), (), now)


def parent_of(decision: Decision) -> Parent:
    """A decision as the parent of an answer."""
    return Parent(decision.exchange_id, decision.sender, decision.message_id)
