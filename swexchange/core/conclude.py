"""From what was learned of a message to the Decision about it, with its copies and its receipt. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime

from swexchange.core import codes, receipt
from swexchange.core.identity import copy_id, exchange_id, receipt_id
from swexchange.core.model import BusinessKey, Copy, Decision, Delivery, Finding, Head, Kind, Outcome, Parent, Recorded
from swexchange.core.routing import Facts, Routing
from swexchange.core.rulebook import Rulebook


@dataclass(slots=True)
class Case:
    """What has been learned of one message so far; a refusal reports it as far as it got."""

    delivery: Delivery
    now: datetime
    digest: bytes
    sender: str = ""
    message_id: str = ""
    head: Head | None = None
    type: str = ""
    key_id: str = ""
    envelope_edition: str = ""
    edition: str = ""
    keys: tuple[BusinessKey, ...] = ()
    answers: tuple[BusinessKey, ...] = ()
    askers: tuple[str, ...] = ()
    lane: str = ""
    is_receipt: bool = False  # another platform's DxpRep
    facts: Facts = field(default_factory=dict)


def _decision(
    case: Case, rules: Rulebook, findings: tuple[Finding, ...] = (), routing: Routing | None = None
) -> Decision:
    """The decision without its copies: refused for its findings, or accepted by its routing."""
    delivery = case.delivery
    return Decision(
        exchange_id=exchange_id(case.now, delivery.submitter, case.digest),
        received_at=case.now,
        submitter=delivery.submitter,
        body=delivery.body,
        digest=case.digest,
        rules_digest=rules.digest,
        outcome=_outcome(routing),
        sender=case.sender,
        message_id=case.message_id,
        head=case.head,
        type=case.type,
        key_id=case.key_id,
        envelope_edition=case.envelope_edition,
        edition=case.edition,
        route=", ".join(r.name for r in routing.routes) if routing else "",
        findings=findings[: rules.limits.findings],
        results=routing.results if routing else (),
        keys=case.keys,
        answers=case.answers,
        askers=case.askers,
        lane=case.lane,
    )


def _outcome(routing: Routing | None) -> Outcome:
    if routing is None:
        return Outcome.REJECTED
    return Outcome.WAITING if routing.to_asker else Outcome.ACCEPTED


def accepted(case: Case, routing: Routing, rules: Rulebook) -> Decision:
    """The decision that a message goes where its routing says; waiting where that is whoever asked."""
    decision = _decision(case, rules, routing=routing)
    copies = tuple(_message_copy(decision, to, decision.message_id) for to in routing.to)
    return replace(decision, copies=copies + _receipt_of(case, decision, rules))


def refused(case: Case, findings: tuple[Finding, ...], rules: Rulebook) -> Decision:
    """The decision that a message goes nowhere, for these findings."""
    decision = _decision(case, rules, findings)
    return replace(decision, copies=_receipt_of(case, decision, rules))


def conflict(decision: Decision, holder: Recorded, rules: Rulebook) -> Decision:
    """The refusal of a message whose id an accepted message with other bytes already holds."""
    detail = f"{decision.message_id} is exchange {holder.exchange_id}, sha256 {holder.digest.hex()}"
    finding = Finding(codes.CONFLICT, detail)
    rejected = replace(decision, outcome=Outcome.REJECTED, findings=(finding,), results=(), route="", copies=())
    return replace(rejected, copies=_receipt(rejected, rules) if decision.receipt else ())


def held(delivery: Delivery, rules: Rulebook, now: datetime, detail: str = "") -> Decision:
    """What is recorded of a message that broke the machinery: nothing of it is used, its bytes are kept."""
    case = Case(delivery, now, hashlib.sha256(delivery.body).digest())
    return refused(case, (Finding(codes.HELD, detail),), rules)


def answering(decision: Decision, parent: Parent) -> Decision:
    """A waiting answer whose parent is known: accepted, with a copy to the one who asked."""
    copy = _message_copy(decision, parent.sender, parent.message_id)
    return replace(decision, outcome=Outcome.ACCEPTED, copies=(copy, *decision.copies))


def taken_at(decision: Decision, rules: Rulebook, now: datetime) -> Decision:
    """The same decision, recorded as of now: for a replay, which judges by the time of receipt but acts today."""
    number = exchange_id(now, decision.submitter, decision.digest)
    dated = replace(decision, exchange_id=number, received_at=now, copies=())
    messages = (replace(copy, exchange_id=number) for copy in decision.copies if copy.kind is Kind.MESSAGE)
    receipts = _receipt(dated, rules) if decision.receipt else ()
    return replace(dated, copies=(*messages, *receipts))


def _message_copy(decision: Decision, to: str, correlation_id: str) -> Copy:
    name = copy_id(decision.sender, decision.message_id, decision.digest, Kind.MESSAGE, to)
    return Copy(name, Kind.MESSAGE, to, decision.type, correlation_id, decision.exchange_id, decision.body)


def _receipt_of(case: Case, decision: Decision, rules: Rulebook) -> tuple[Copy, ...]:
    """A receipt is never receipted: two platforms would answer each other without end."""
    return () if case.is_receipt else _receipt(decision, rules)


def _receipt(decision: Decision, rules: Rulebook) -> tuple[Copy, ...]:
    to = decision.sender or decision.submitter
    if to not in rules.participants or rules.platform.key is None:
        return ()
    body = receipt.build(decision, to, rules.platform)
    name = receipt_id(decision.exchange_id, to)
    return (Copy(name, Kind.RECEIPT, to, "DxpRep", decision.message_id, decision.exchange_id, body),)
