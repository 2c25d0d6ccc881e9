"""The decision about one message: parse, verify, validate, route. Pure and total.

`decide` answers for any bytes: what a message did wrong becomes findings, never an exception.
The order matters: nothing a message says is believed before its signature holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from lxml import etree

from swexchange.core import codes, conclude, envelope, signature
from swexchange.core.canonical import local_time
from swexchange.core.conclude import Case
from swexchange.core.envelope import DXP_REP, ENVELOPES, Envelope
from swexchange.core.lanes import lane
from swexchange.core.model import BusinessKey, Decision, Delivery, Finding
from swexchange.core.parse import Document, parse, refuse
from swexchange.core.routing import Facts, Routing, route
from swexchange.core.rulebook import Edition, MessageType, Participant, Rulebook
from swexchange.errors import Rejected

MAX_KEYS, MAX_KEY_LENGTH = 200, 128

_Result = TypeVar("_Result")
Staged = Generator[None, None, _Result]
"""Work that pauses after each of its stages and returns its result at the end."""


def decide(delivery: Delivery, rules: Rulebook, now: datetime) -> Decision:
    """The decision about a delivery under these rules at this time; the same arguments, the same bytes."""
    return examine(delivery, rules, now)[0]


def examine(delivery: Delivery, rules: Rulebook, now: datetime) -> tuple[Decision, Facts]:
    """As `decide`, with the facts that its routing went by (none where it was refused before)."""
    deciding = in_stages(delivery, rules, now)
    while True:
        try:
            next(deciding)
        except StopIteration as end:
            examined: tuple[Decision, Facts] = end.value
            return examined


def in_stages(delivery: Delivery, rules: Rulebook, now: datetime) -> Staged[tuple[Decision, Facts]]:
    """As `examine`, with a pause after each stage, so that many messages can pass each stage together."""
    case = Case(delivery, now, hashlib.sha256(delivery.body).digest())
    try:
        routing = yield from _judge(case, rules)
        yield
    except Rejected as refusal:
        return conclude.refused(case, refusal.findings, rules), case.facts
    return conclude.accepted(case, routing, rules), case.facts


def _judge(case: Case, rules: Rulebook) -> Staged[Routing]:
    document = parse(case.delivery.body, rules.limits.message_bytes)
    case.is_receipt = document.name == DXP_REP
    yield
    participant = _authenticate(case, document, rules)
    yield
    if document.root.tag in ENVELOPES:
        letter, business, kind = yield from _open_envelope(case, document, participant, rules)
    else:
        letter, business, kind = _open_bare(case, document, participant, rules)
    yield
    _guard_freshness(letter, case.now, rules)
    _learn_facts(case, letter, business.root, kind, participant)
    yield
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
) -> Staged[tuple[Envelope, Document, MessageType]]:
    try:
        case.envelope_edition = _validate(document.root, rules.envelopes, case.now, rules).label
        yield
        letter = envelope.read_dxp(document.root)
    except Rejected:
        case.message_id = envelope.loose_message_id(document.root)  # so that the receipt can name it
        raise
    _learn_head(case, letter, participant)
    yield
    business = _open_payload(letter, rules)
    yield
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
    value = next(iter(found.get(kind.order, ())), "")
    case.lane = lane(participant.id, kind.order, value[:MAX_KEY_LENGTH])
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
