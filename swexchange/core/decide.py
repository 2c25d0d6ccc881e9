"""The decision about one message: parse, verify, validate, route. Pure and total.

`decide` answers for any bytes: what a message did wrong becomes findings, never an exception.
The order matters: nothing a message says is believed before its signature holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from lxml import etree

from swexchange.core import codes, envelope, receipt, signature
from swexchange.core.canonical import local_time
from swexchange.core.envelope import ENVELOPES, Envelope
from swexchange.core.identity import copy_id, exchange_id
from swexchange.core.model import (
    BusinessKey,
    Copy,
    Decision,
    Delivery,
    Finding,
    Head,
    Kind,
    Outcome,
    Parent,
    Recorded,
)
from swexchange.core.parse import Document, parse, refuse
from swexchange.core.routing import Facts, Routing, route
from swexchange.core.rulebook import Edition, MessageType, Participant, Rulebook
from swexchange.errors import Rejected

MAX_KEYS, MAX_KEY_LENGTH = 200, 128


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
    facts: Facts = field(default_factory=dict)


def decide(delivery: Delivery, rules: Rulebook, now: datetime) -> Decision:
    """The decision about a delivery under these rules at this time; the same arguments, the same bytes."""
    return examine(delivery, rules, now)[0]


def examine(delivery: Delivery, rules: Rulebook, now: datetime) -> tuple[Decision, Facts]:
    """As `decide`, with the facts that its routing went by (none where it was refused before)."""
    case = Case(delivery, now, hashlib.sha256(delivery.body).digest())
    try:
        routing = _judge(case, rules)
    except Rejected as refusal:
        return _refused(case, refusal.findings, rules), case.facts
    return _accepted(case, routing, rules), case.facts


def _judge(case: Case, rules: Rulebook) -> Routing:
    document = parse(case.delivery.body, rules.limits.message_bytes)
    participant = _authenticate(case, document, rules)
    if document.root.tag in ENVELOPES:
        letter, business, kind = _open_envelope(case, document, participant, rules)
    else:
        letter, business, kind = _open_bare(case, document, participant, rules)
    _guard_freshness(letter, case.now, rules)
    _learn_facts(case, letter, business.root, kind, participant)
    return _route(case, letter, kind, participant, rules)


def _authenticate(case: Case, document: Document, rules: Rulebook) -> Participant:
    key = signature.verify(document, rules.keys)
    if key.participant not in rules.participants:  # the platform's own key signs receipts, not messages
        raise refuse(codes.UNKNOWN_KEY, f"key {key.id} belongs to no participant")
    if key.participant != case.delivery.submitter:
        raise refuse(codes.OTHERS_OUTBOX, f"signed by {key.participant}")
    if trouble := key.trouble(case.now):
        raise refuse(codes.KEY_NOT_IN_FORCE, trouble)
    case.sender, case.key_id = key.participant, key.id
    return rules.participants[key.participant]


def _open_envelope(
    case: Case, document: Document, participant: Participant, rules: Rulebook
) -> tuple[Envelope, Document, MessageType]:
    try:
        case.envelope_edition = _validate(document.root, rules.envelopes, case.now, rules).label
        letter = envelope.read_dxp(document.root)
    except Rejected:
        case.message_id = envelope.loose_message_id(document.root)  # so that the receipt can name it
        raise
    _learn_head(case, letter, participant)
    business = _open_payload(letter, rules)
    kind = rules.types.get(business.name)
    if kind is None:
        raise refuse(codes.UNKNOWN_TYPE, f"no type has the root {business.name}", path="/DxpMsg/Data")
    _admit(case, kind, participant)
    if kind.msg_types and letter.head.msg_type and letter.head.msg_type not in kind.msg_types:
        detail = f"MsgType {letter.head.msg_type}, the document is a {kind.id}"
        raise refuse(codes.TYPE_DIFFERS, detail, path="/DxpMsg/TransInfo/MsgType")
    case.edition = _validate(business.root, kind.editions, case.now, rules).label
    return letter, business, kind


def _open_payload(letter: Envelope, rules: Rulebook) -> Document:
    try:
        return parse(letter.payload or b"", rules.limits.message_bytes)
    except Rejected as refusal:
        inside = (replace(f, path="/DxpMsg/Data", detail=f.detail or "inside Data") for f in refusal.findings)
        raise Rejected(*inside) from None


def _open_bare(
    case: Case, document: Document, participant: Participant, rules: Rulebook
) -> tuple[Envelope, Document, MessageType]:
    kind = rules.types.get(document.name)
    if kind is None or kind.bare is None:
        raise refuse(codes.UNKNOWN_DOCUMENT, f"root {document.name}")
    _admit(case, kind, participant)
    case.edition = _validate(document.root, kind.editions, case.now, rules).label
    letter = envelope.read_bare(document.root, kind.bare, kind.id)
    _learn_head(case, letter, participant)
    return letter, document, kind


def _learn_head(case: Case, letter: Envelope, participant: Participant) -> None:
    if not envelope.signed_by(letter, participant):
        raise refuse(codes.OTHERS_KEY, f"the message names {letter.signer!r}, signed by {participant.id}")
    case.head, case.message_id = letter.head, letter.message_id


def _admit(case: Case, kind: MessageType, participant: Participant) -> None:
    case.type = kind.id
    if not participant.sends & {kind.id, "*"}:
        raise refuse(codes.TYPE_NOT_ALLOWED, kind.id)


def _validate(root: etree._Element, editions: Sequence[Edition], now: datetime, rules: Rulebook) -> Edition:
    """The edition in force that the document follows; the findings are those of the newest one."""
    tree, cap = root.getroottree(), rules.limits.findings
    findings: tuple[Finding, ...] = ()
    for edition in (e for e in editions if e.in_force(now)):
        failed = edition.check(tree, cap)
        if not failed:
            return edition
        findings = findings or failed
    other = next((e for e in editions if not e.in_force(now) and not e.check(tree, 1)), None)
    if other or not findings:
        raise refuse(codes.EDITION_NOT_IN_FORCE, _edition_detail(other), path=f"/{etree.QName(root).localname}")
    raise Rejected(*findings)


def _edition_detail(edition: Edition | None) -> str:
    if edition is None:
        return "no edition is in force now"
    until = f" until {local_time(edition.valid_to)}" if edition.valid_to else ""
    return f"follows {edition.label}, in force from {local_time(edition.valid_from)}{until}"


def _guard_freshness(letter: Envelope, now: datetime, rules: Rulebook) -> None:
    oldest, ahead = rules.limits.oldest, rules.limits.ahead
    if not letter.head.created or not (oldest or ahead):
        return
    age = now - envelope.moment(letter.head.created)
    if (oldest and age > oldest) or (ahead and -age > ahead):
        raise refuse(codes.NOT_FRESH, f"CreatTime {letter.head.created}, received {local_time(now)}")


def _learn_facts(
    case: Case, letter: Envelope, root: etree._Element, kind: MessageType, participant: Participant
) -> None:
    found = {place.name: place.values(root) for place in (*kind.fields, *kind.keys)}
    own = (BusinessKey(place.name, value) for place in kind.keys for value in found[place.name][:MAX_KEYS])
    case.keys = tuple(dict.fromkeys((*letter.keys, *_short(own))))[:MAX_KEYS]
    answered = (BusinessKey(place.name, value) for place in kind.answers for value in place.values(root)[:MAX_KEYS])
    case.answers = tuple(_short(answered))
    facts = {name: frozenset(values) for name, values in found.items()}
    # What a sender writes beside the document never stands for what the document says.
    for key in (key for key in letter.keys if key.name not in facts):
        facts[key.name] = frozenset((key.value,))
    facts["type"] = frozenset((kind.id,))
    facts["sender"] = frozenset((participant.id,))
    facts["receiver"] = frozenset(letter.head.receivers)
    facts["msg_type"] = frozenset((letter.head.msg_type,)) if letter.head.msg_type else frozenset()
    case.facts = facts


def _short(keys: Iterable[BusinessKey]) -> Iterable[BusinessKey]:
    return (key for key in keys if len(key.value) <= MAX_KEY_LENGTH)


def _route(case: Case, letter: Envelope, kind: MessageType, participant: Participant, rules: Rulebook) -> Routing:
    routing = route(rules, case.facts, letter.head, participant)
    if not routing.routes:
        raise refuse(codes.NO_ROUTE, f"type {kind.id} from {participant.id}")
    if routing.to_asker:
        case.askers = tuple(r for r in letter.head.receivers if r in rules.participants)
    if routing.to_asker and not case.answers:
        names = ", ".join(place.name for place in kind.answers)
        raise refuse(codes.MISSING_FIELD, f"none of {names} says which message this answers")
    if not routing.to and not routing.to_asker:
        missed = [Finding(r.code, r.receiver, "/DxpMsg/TransInfo/ReceiverIds") for r in routing.results]
        raise Rejected(*(missed or [Finding(codes.NO_ROUTE, "the route names receivers, the message none")]))
    return routing


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
    )


def _outcome(routing: Routing | None) -> Outcome:
    if routing is None:
        return Outcome.REJECTED
    return Outcome.WAITING if routing.to_asker else Outcome.ACCEPTED


def _accepted(case: Case, routing: Routing, rules: Rulebook) -> Decision:
    decision = _decision(case, rules, routing=routing)
    copies = tuple(_message_copy(decision, to, decision.message_id) for to in routing.to)
    return replace(decision, copies=copies + _receipt(decision, rules))


def _refused(case: Case, findings: tuple[Finding, ...], rules: Rulebook) -> Decision:
    decision = _decision(case, rules, findings)
    return replace(decision, copies=_receipt(decision, rules))


def conflict(decision: Decision, holder: Recorded, rules: Rulebook) -> Decision:
    """The refusal of a message whose id an accepted message with other bytes already holds."""
    detail = f"{decision.message_id} is exchange {holder.exchange_id}, sha256 {holder.digest.hex()}"
    finding = Finding(codes.CONFLICT, detail)
    rejected = replace(decision, outcome=Outcome.REJECTED, findings=(finding,), results=(), route="", copies=())
    return replace(rejected, copies=_receipt(rejected, rules))


def held(delivery: Delivery, rules: Rulebook, now: datetime, detail: str = "") -> Decision:
    """What is recorded of a message that broke the machinery: nothing of it is used, its bytes are kept."""
    case = Case(delivery, now, hashlib.sha256(delivery.body).digest())
    return _refused(case, (Finding(codes.HELD, detail),), rules)


def answering(decision: Decision, parent: Parent) -> Decision:
    """A waiting answer whose parent is known: accepted, with a copy to the one who asked."""
    copy = _message_copy(decision, parent.sender, parent.message_id)
    return replace(decision, outcome=Outcome.ACCEPTED, copies=(copy, *decision.copies))


def _message_copy(decision: Decision, to: str, correlation_id: str) -> Copy:
    return _copy(decision, Kind.MESSAGE, to, decision.type, correlation_id, decision.body)


def _receipt(decision: Decision, rules: Rulebook) -> tuple[Copy, ...]:
    to = decision.sender or decision.submitter
    if to not in rules.participants:
        return ()
    body = receipt.build(decision, to, rules.platform)
    return (_copy(decision, Kind.RECEIPT, to, "DxpRep", decision.message_id, body),)


def _copy(decision: Decision, kind: Kind, to: str, type_id: str, correlation_id: str, body: bytes) -> Copy:
    name = copy_id(decision.sender, decision.message_id, decision.digest, kind, to)
    return Copy(name, kind, to, type_id, correlation_id, decision.exchange_id, body)
