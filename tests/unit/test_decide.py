"""The decision about one message: who is believed, what is checked in which order, who gets what."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from swexchange.core import codes
from swexchange.core.decide import answering, conflict, decide, examine, held
from swexchange.core.model import (
    BusinessKey,
    Decision,
    Delivery,
    Kind,
    Outcome,
    Parent,
    Properties,
    Recorded,
    ReceiverResult,
)
from swexchange.core.rulebook import Limits, Route, Rulebook
from tests.world import (
    CHINA,
    CUSTOMS,
    ENTERPRISE,
    LIMIT,
    NOW,
    PLATFORM,
    PORT,
    PROVINCE,
    PROVINCE_NODE,
    RIVAL,
    ROUTES,
    answered,
    check,
    condition,
    dec_result,
    declaration,
    declared,
    delivery,
    dxp_msg,
    dxp_msg_sv,
    edition,
    import_response,
    inventory,
    keys_of,
    message_types,
    participants,
    receipt,
    registered,
    rulebook,
    signed,
    texts,
)

RULES = rulebook()


def sent(decision: Decision) -> list[tuple[Kind, str]]:
    return [(copy.kind, copy.to) for copy in decision.copies]


def limited(**changes: Any) -> Rulebook:
    return rulebook(limits=Limits(**changes))


def permitting(participant: str, **changes: Any) -> Rulebook:
    everyone = participants()
    return rulebook(participants=everyone | {participant: replace(everyone[participant], **changes)})


# -- a good message


def test_a_good_declaration() -> None:
    """Everything that is known of an accepted message stands in its decision; its bytes go out as they came."""
    good = declared(keys={"ClientSeqNo": "NHW20260302-0001", "Note": "x"})
    decision = decide(good, RULES, NOW)
    assert (decision.outcome, decision.code, decision.findings) == (Outcome.ACCEPTED, "0000", ())
    assert (decision.submitter, decision.sender, decision.message_id) == (ENTERPRISE, ENTERPRISE, "MSG-0001")
    assert (decision.type, decision.key_id) == ("DecMessage", f"{ENTERPRISE}-1")
    assert (decision.envelope_edition, decision.edition) == ("dxp/202205", "dec/4.9.7")
    assert (decision.route, decision.results, decision.rules_digest) == ("shekou", (), RULES.digest)
    assert decision.received_at == NOW
    assert decision.keys == (
        BusinessKey("ClientSeqNo", "NHW20260302-0001"),
        BusinessKey("Note", "x"),
        BusinessKey("BillNo", "MAEU240915537"),
    )
    assert sent(decision) == [(Kind.MESSAGE, CUSTOMS), (Kind.RECEIPT, ENTERPRISE)]
    message = decision.copies[0]
    assert message.body is good.body
    assert (message.type, message.correlation_id) == ("DecMessage", "MSG-0001")
    assert {copy.exchange_id for copy in decision.copies} == {decision.exchange_id}


def test_nothing_is_decided_by_amqp_properties_or_tags() -> None:
    """What the sender claims outside the signature, redelivery and the tag change nothing."""
    plain = declared()
    lying = Delivery(99, ENTERPRISE, plain.body, Properties("OTHER", "DEC_RESULT", "text/plain", RIVAL), True)
    assert decide(lying, RULES, NOW) == decide(plain, RULES, NOW)


def test_facts_are_those_the_routing_went_by() -> None:
    """`examine` gives the decision of `decide` and the facts: types, people, keys and fields by name."""
    decision, facts = examine(declared(keys={"Note": "x"}), RULES, NOW)
    assert decision == decide(declared(keys={"Note": "x"}), RULES, NOW)
    assert facts == {
        "type": {"DecMessage"},
        "sender": {ENTERPRISE},
        "receiver": {CUSTOMS},
        "msg_type": {"DECMSG"},
        "CustomMaster": {"5304"},
        "IEFlag": {"I"},
        "ClientSeqNo": {"NHW20260302-0001"},
        "BillNo": {"MAEU240915537"},
        "Note": {"x"},
    }
    assert examine(delivery(b"<a/>"), RULES, NOW)[1] == {}


@pytest.mark.parametrize("name", ["type", "sender", "receiver", "msg_type"])
def test_a_key_cannot_pass_for_a_built_in_fact(name: str) -> None:
    """A sender who calls a business key `sender` does not become another sender for the routes."""
    routes = (Route("trap", 1, (PORT,), (condition(name, "FORGED"),)), *ROUTES)
    decision, facts = examine(declared(keys={name: "FORGED"}), rulebook(routes=routes), NOW)
    assert "FORGED" not in facts[name]
    assert decision.route == "shekou"


# -- the order of checks

TWICE_WRONG: dict[str, tuple[Delivery, Rulebook, str]] = {
    "too large before empty": (delivery(b" " * 101), limited(message_bytes=100), "4002"),
    "not UTF-8 before not well-formed": (delivery(b"<a>\xff"), RULES, "4003"),
    "doctype before unsigned": (delivery(b"<!DOCTYPE a><a/>"), RULES, "4004"),
    "unsigned before unknown document": (delivery(b"<a/>"), RULES, "4101"),
    "unsigned before outbox": (delivery(dxp_msg(declaration()), RIVAL), RULES, "4101"),
    "unknown key before altered": (
        delivery(declared().body.replace(f"{ENTERPRISE}-1".encode(), b"nobody").replace(b"DECMSG", b"DECMSH")),
        RULES,
        "4103",
    ),
    "altered before outbox": (delivery(declared().body.replace(b"DECMSG", b"DECMSH"), RIVAL), RULES, "1004"),
    "outbox before expired key": (
        delivery(declared().body, RIVAL),
        rulebook(keys=keys_of(registered(ENTERPRISE, valid_to=NOW))),
        "4105",
    ),
    "expired key before schema": (
        delivery(signed(dxp_msg(declaration(), created="yesterday"))),
        rulebook(keys=keys_of(registered(ENTERPRISE, valid_to=NOW))),
        "1002",
    ),
    "schema before base64": (declared(created="yesterday", data="="), RULES, "0002"),
    "base64 before sender": (declared(sender=RIVAL, data="PGEv,Pg=="), RULES, "4010"),
    "sender before document": (declared(sender=RIVAL, data="PGE+"), RULES, "4104"),
    "document before type": (declared(data="PGE+"), RULES, "0001"),
    "type before permission": (declared(data="PGEvPg=="), permitting(ENTERPRISE, sends=frozenset()), "4202"),
    "permission before MsgType": (declared(msg_type="OTHER"), permitting(ENTERPRISE, sends=frozenset()), "4106"),
    "MsgType before schema": (
        delivery(signed(dxp_msg(declaration(customs="53"), msg_type="OTHER"))),
        RULES,
        "4205",
    ),
    "schema before freshness": (
        delivery(signed(dxp_msg(declaration(customs="five"), created="1999-01-01T00:00:00"))),
        limited(oldest=timedelta(days=1)),
        "0002",
    ),
    "freshness before route": (
        declared(created="1999-01-01T00:00:00"),
        rulebook(limits=Limits(oldest=timedelta(days=1)), routes=()),
        "4108",
    ),
    "unknown document before permission": (
        delivery(signed(b'<x xmlns="urn:x"></x>')),
        permitting(ENTERPRISE, sends=frozenset()),
        "4009",
    ),
    "permission before schema of a bare document": (
        delivery(signed(inventory().replace(b"<ceb:appType>1</ceb:appType>", b""))),
        permitting(ENTERPRISE, sends=frozenset()),
        "4106",
    ),
}


@pytest.mark.parametrize(("wrong", "rules", "code"), TWICE_WRONG.values(), ids=TWICE_WRONG)
def test_checks_come_in_their_order(wrong: Delivery, rules: Rulebook, code: str) -> None:
    """A message that is wrong in two ways is refused for the one that is checked first."""
    decision = decide(wrong, rules, NOW)
    assert decision.code == code
    assert decision.outcome is Outcome.REJECTED
    assert {kind for kind, _ in sent(decision)} <= {Kind.RECEIPT}


STRANGERS: dict[str, tuple[Delivery, Rulebook]] = {
    "unsigned": (delivery(dxp_msg(declaration())), RULES),
    "unknown key": (delivery(signed(dxp_msg(declaration()), "STRANGER")), RULES),
    "altered": (delivery(declared().body.replace(b"MSG-0001", b"MSG-0002")), RULES),
    "another's exchange": (delivery(declared().body, RIVAL), RULES),
    "expired": (declared(), rulebook(keys=keys_of(registered(ENTERPRISE, valid_to=NOW)))),
    "revoked": (declared(), rulebook(keys=keys_of(registered(ENTERPRISE, revoked_at=NOW)))),
    "not canonical": (delivery(declared().body.replace(b'ver="1.0"', b"ver='1.0'")), RULES),
    "not well-formed": (delivery(declared().body[:-1]), RULES),
}


@pytest.mark.parametrize(("strange", "rules"), STRANGERS.values(), ids=STRANGERS)
def test_who_is_not_authenticated_learns_a_code_and_no_more(strange: Delivery, rules: Rulebook) -> None:
    """The receipt holds the code's meaning; detail, path, line and head stay with us; nothing read is believed."""
    decision = decide(strange, rules, NOW)
    assert (decision.sender, decision.head, decision.message_id, decision.type) == ("", None, "", "")
    root = receipt(decision)
    meaning = codes.meaning(decision.code)
    assert texts(root, "ResponseInfo") == [f"{meaning.zh} / {meaning.en}"]
    assert "path=" not in texts(root, "Note")[0]
    assert "line=" not in texts(root, "Note")[0]
    assert texts(root, "CopMsgId") == ["UNREADABLE"]
    assert sent(decision) == [(Kind.RECEIPT, strange.submitter)]


def test_who_is_authenticated_learns_what_was_wrong() -> None:
    """A signer is told detail and path, under the id of the message."""
    root = receipt(decide(delivery(signed(dxp_msg(declaration(customs="five")))), RULES, NOW))
    assert texts(root, "CopMsgId") == ["MSG-0001"]
    assert "CustomMaster" in texts(root, "Note")[0] + texts(root, "ResponseInfo")[0]


def test_the_platform_itself_is_no_sender() -> None:
    """A message signed by the platform's own key, through an exchange of its name, is refused, not a crash."""
    decision = decide(delivery(signed(dxp_msg(declaration(), sender=PLATFORM), PLATFORM), PLATFORM), RULES, NOW)
    assert decision.outcome is Outcome.REJECTED
    assert decision.copies == ()


# -- permissions


def test_types_must_be_allowed() -> None:
    """A sender may send the types that it is registered for; the receipt names the type."""
    rules = permitting(ENTERPRISE, sends=frozenset({"DEC_RESULT"}))
    decision = decide(declared(), rules, NOW)
    assert (decision.code, decision.findings[0].detail, decision.type) == ("4106", "DecMessage", "DecMessage")
    assert decide(declared(), permitting(ENTERPRISE, sends=frozenset({"DecMessage"})), NOW).code == "0000"
    assert decide(declared(), permitting(ENTERPRISE, sends=frozenset({"*"})), NOW).code == "0000"
    assert decide(declared(), permitting(ENTERPRISE, sends=frozenset()), NOW).code == "4106"


def named(*receivers: str, rules: Rulebook = RULES, **changes: Any) -> Decision:
    """A declaration outside the district that `shekou` takes: it goes to whom it names."""
    body = signed(dxp_msg(declaration(customs="4401"), receivers=receivers, **changes))
    return decide(delivery(body), rules, NOW)


def test_several_receivers_get_their_copies() -> None:
    """Each named receiver gets the message, in the order named, and the receipt lists each."""
    decision = named(PORT, CUSTOMS)
    assert sent(decision) == [(Kind.MESSAGE, PORT), (Kind.MESSAGE, CUSTOMS), (Kind.RECEIPT, ENTERPRISE)]
    assert decision.results == (ReceiverResult(PORT, "0000"), ReceiverResult(CUSTOMS, "0000"))
    root = receipt(decision)
    assert texts(root, "RecId") == [PORT, CUSTOMS]
    assert texts(root, "Code") == ["0000", "0000"]


def test_one_unknown_receiver_does_not_keep_the_others_from_theirs() -> None:
    """The others get the message; the receipt says 2001 for the one that does not exist."""
    decision = named(CUSTOMS, "NOBODY", PORT)
    assert decision.outcome is Outcome.ACCEPTED
    assert [to for _, to in sent(decision)] == [CUSTOMS, PORT, ENTERPRISE]
    root = receipt(decision)
    assert texts(root, "ResponseCode") == ["0000"]
    assert texts(root, "RecId") == [CUSTOMS, "NOBODY", PORT]
    assert texts(root, "Code") == ["0000", "2001", "0000"]


def test_where_no_receiver_exists_the_message_is_refused() -> None:
    """All unknown: 2001, one Response each, nothing is sent."""
    decision = named("NOBODY", "NOONE")
    assert decision.outcome is Outcome.REJECTED
    assert [(f.code, f.detail) for f in decision.findings] == [("2001", "NOBODY"), ("2001", "NOONE")]
    assert sent(decision) == [(Kind.RECEIPT, ENTERPRISE)]
    assert texts(receipt(decision), "ResponseCode") == ["2001", "2001"]


def test_receivers_must_be_allowed() -> None:
    """A sender reaches the receivers it may name; another is 4107 beside them, and alone."""
    rules = permitting(ENTERPRISE, to=frozenset({CUSTOMS}))
    assert named(CUSTOMS, PORT, rules=rules).results == (ReceiverResult(CUSTOMS, "0000"), ReceiverResult(PORT, "4107"))
    assert named(PORT, rules=rules).code == "4107"
    assert named("NOBODY", PORT, rules=rules).code == "2001"
    assert named(PORT, rules=permitting(ENTERPRISE, to=frozenset())).code == "4107"


def test_a_receiver_named_twice_gets_one_copy() -> None:
    """Repeated receivers count once."""
    decision = named(CUSTOMS, CUSTOMS, PORT)
    assert [to for _, to in sent(decision)] == [CUSTOMS, PORT, ENTERPRISE]
    assert len(decision.results) == 2


def test_a_sender_may_be_its_own_receiver() -> None:
    """The message and the receipt are two copies with two ids."""
    decision = named(ENTERPRISE)
    assert sent(decision) == [(Kind.MESSAGE, ENTERPRISE), (Kind.RECEIPT, ENTERPRISE)]
    assert len({copy.id for copy in decision.copies}) == 2


def test_a_fixed_destination_is_not_asked_for_permission() -> None:
    """What the routes name is the platform's own will: a sender's `to` does not limit it."""
    assert decide(declared(), permitting(ENTERPRISE, to=frozenset()), NOW).code == "0000"


# -- routes


def test_the_first_matching_route_decides_or_all_of_them() -> None:
    """`match: first` takes one route, `match: all` takes every one, each destination once."""
    routes = (
        Route("a", 1, (PORT, CUSTOMS)),
        Route("b", 2, (CUSTOMS, PROVINCE)),
        Route("never", 3, (RIVAL,), (condition("type", "DEC_RESULT"),)),
    )
    first = decide(declared(), rulebook(routes=routes), NOW)
    assert (first.route, [to for _, to in sent(first)]) == ("a", [PORT, CUSTOMS, ENTERPRISE])
    every = decide(declared(), rulebook(routes=routes, match_all=True), NOW)
    assert (every.route, [to for _, to in sent(every)]) == ("a, b", [PORT, CUSTOMS, PROVINCE, ENTERPRISE])


def test_without_a_route_a_message_is_refused() -> None:
    """No route takes it: 4204, to be sent again later."""
    decision = decide(declared(), rulebook(routes=()), NOW)
    assert decision.code == "4204"
    assert "retry=later" in texts(receipt(decision), "Note")[0]


def test_a_route_to_receivers_needs_some() -> None:
    """A bare document names no receiver: a route to receivers alone has nowhere to go."""
    decision = decide(delivery(signed(inventory())), rulebook(routes=(Route("named", 1, ("receivers",)),)), NOW)
    assert decision.code == "4204"


def test_a_route_may_except() -> None:
    """`unless` takes a message away from a route and leaves it to the next."""
    routes = (Route("a", 1, (PORT,), unless=(condition("CustomMaster", "53*"),)), *ROUTES)
    assert decide(declared(), rulebook(routes=routes), NOW).route == "shekou"
    other = delivery(signed(dxp_msg(declaration(customs="4401"))))
    assert decide(other, rulebook(routes=routes), NOW).route == "a"


# -- types, editions, the envelope


def test_msg_type_must_fit_the_document() -> None:
    """MsgType is empty or one that the type allows; anything else is 4205 and names both."""
    assert decide(declared(msg_type=""), RULES, NOW).code == "0000"
    decision = decide(declared(msg_type="DECCUS004"), RULES, NOW)
    assert (decision.code, decision.findings[0].path) == ("4205", "/DxpMsg/TransInfo/MsgType")
    assert "DECCUS004" in decision.findings[0].detail
    assert "DecMessage" in decision.findings[0].detail


def test_a_type_without_msg_types_allows_any() -> None:
    """Where the type names none, MsgType is the sender's own business."""
    message = dxp_msg(dec_result(), sender=CUSTOMS, receivers=(ENTERPRISE,), msg_type="DEC_RESULT")
    assert decide(delivery(signed(message, CUSTOMS), CUSTOMS), RULES, NOW).code == "0000"


def with_editions(*editions: Any) -> Rulebook:
    root = "{http://www.chinaport.gov.cn/dec}DecMessage"
    return rulebook(types={**message_types(), root: replace(message_types()[root], editions=editions)})


def combined() -> Delivery:
    """A declaration that only edition 4.9.7 allows: seven positions of Type."""
    document = declaration().replace(b"<Type>ZC</Type>", b"<Type>ZC    Z</Type>")
    return delivery(signed(dxp_msg(document)))


def test_the_newest_edition_in_force_that_fits_is_named() -> None:
    """Of several editions in force the first that the document follows is recorded."""
    assert decide(combined(), RULES, NOW).edition == "dec/4.9.7"
    old_first = with_editions(edition("dec/4.8/DecMessage.xsd"), edition("dec/4.9.7/DecMessage.xsd"))
    assert decide(declared(), old_first, NOW).edition == "dec/4.8"
    assert decide(combined(), old_first, NOW).edition == "dec/4.9.7"


def test_an_edition_not_in_force_is_refused_by_name() -> None:
    """The document follows an edition that is not in force yet, or any more: 4203 says which, and when it is."""
    start, end = datetime(2026, 9, 1, tzinfo=CHINA), datetime(2026, 10, 1, tzinfo=CHINA)
    later = with_editions(edition("dec/4.9.7/DecMessage.xsd", start, end), edition("dec/4.8/DecMessage.xsd"))
    decision = decide(combined(), later, NOW)
    assert decision.code == "4203"
    assert "dec/4.9.7" in decision.findings[0].detail
    assert "from 2026-09-01T00:00:00+08:00 until 2026-10-01T00:00:00+08:00" in decision.findings[0].detail
    for at, code in (
        (start - timedelta(microseconds=1), "4203"),
        (start, "0000"),
        (end - timedelta(microseconds=1), "0000"),
        (end, "4203"),
    ):
        assert decide(combined(), later, at).code == code


def test_without_an_edition_in_force_nothing_is_validated() -> None:
    """No edition in force, none that fits: 4203 says so."""
    decision = decide(declared(), with_editions(), NOW)
    assert (decision.code, decision.findings[0].detail) == ("4203", "no edition is in force now")


def test_the_findings_are_those_of_the_newest_edition_up_to_the_cap() -> None:
    """What fits no edition is told by the newest one, and no more findings than the limit allows."""
    wrong = delivery(signed(dxp_msg(declaration(customs="five").replace(b"<GNo>1</GNo>", b""))))
    few, many = decide(wrong, limited(findings=1), NOW), decide(wrong, RULES, NOW)
    assert {finding.code for finding in many.findings} == {"0002"}
    assert (len(few.findings), len(many.findings) >= 2) == (1, True)
    assert len(texts(receipt(few), "ResponseCode")) == 1


def test_an_envelope_is_validated_too() -> None:
    """What breaks the envelope's schema is 0002, and an envelope edition not in force 4203."""
    body = signed(dxp_msg(declaration(), receivers=[f"R{n}" for n in range(6)]))
    assert decide(delivery(body), RULES, NOW).code == "0002"
    later = rulebook(envelopes=(edition("dxp/202205/DxpMsgSv.xsd", NOW + timedelta(days=1)),))
    decision = decide(declared(), later, NOW)
    assert (decision.code, decision.findings[0].path) == ("4203", "/DxpMsg")
    assert "dxp/202205" in decision.findings[0].detail


def test_envelope_and_document_may_not_change_places() -> None:
    """An envelope in an envelope, and a document that may not come bare, are refused."""
    inner = signed(dxp_msg(declaration()))
    assert decide(delivery(signed(dxp_msg(inner))), RULES, NOW).code == "4202"
    assert decide(delivery(signed(declaration())), RULES, NOW).code == "4009"


# -- server messages and bare documents


def server(message_id: str = "GDSW4400202603020930000000000001", *, by: str = PROVINCE, **changes: Any) -> Delivery:
    return delivery(signed(dxp_msg_sv(dxp_msg(declaration()), message_id, **changes), by), by)


def test_a_server_message_is_its_nodes() -> None:
    """A DxpMsgSv is signed by the node it names as StaNode; its id is MsgId with SubMsgId; the head is the inner one."""
    decision = decide(server(part="1"), RULES, NOW)
    assert decision.code == "0000"
    assert (decision.sender, decision.message_id) == (PROVINCE, "GDSW4400202603020930000000000001/1")
    assert decision.head is not None
    assert (decision.head.sender, decision.head.message_id) == (ENTERPRISE, "MSG-0001")
    assert texts(receipt(decision), "CopMsgId") == ["MSG-0001"]
    assert sent(decision)[-1] == (Kind.RECEIPT, PROVINCE)


def test_a_server_message_of_another_node_is_refused() -> None:
    """A node that signs for another, and an enterprise that plays a node, are refused by 4104."""
    assert decide(server(node="OTHER"), RULES, NOW).code == "4104"
    assert decide(server(by=ENTERPRISE), RULES, NOW).code == "4104"
    assert decide(server(by=ENTERPRISE, node=PROVINCE_NODE), RULES, NOW).code == "4104"


def test_a_bare_document_names_itself() -> None:
    """Id and sender come from the places its type names; the type stands for MsgType."""
    decision = decide(delivery(signed(inventory())), RULES, NOW)
    assert decision.outcome is Outcome.ACCEPTED
    assert (decision.type, decision.edition, decision.envelope_edition) == ("CEB621Message", "ceb/202205", "")
    assert (decision.sender, decision.message_id) == (ENTERPRISE, "2B7E91D4-08AC-4C63-8F15-66C8013F9E31")
    assert decision.head is not None
    assert (decision.head.receivers, decision.head.created, decision.head.msg_type) == ((), "", "CEB621Message")
    assert [to for _, to in sent(decision)] == [PROVINCE, ENTERPRISE]


def test_a_bare_document_of_another_sender_is_refused() -> None:
    """The transferring enterprise that the document names must be the one who signed."""
    assert decide(delivery(signed(inventory(RIVAL))), RULES, NOW).code == "4104"


def test_a_bare_document_with_its_signature_unsigned_is_refused() -> None:
    """The placeholder that its schema demands is no signature."""
    decision = decide(delivery(inventory()), RULES, NOW)
    assert decision.sender == ""
    assert decision.outcome is Outcome.REJECTED


# -- time


CREATED_FORMS = {
    "2026-03-02T09:29:58+08:00": "0000",
    "2026-03-02T01:29:58Z": "0000",
    "2026-03-02T09:29:58": "0000",  # no zone: +08:00
    "2026-03-02T09:29:58.123456789+08:00": "0000",
    "2026-03-02T10:29:58+09:00": "0000",
    "2026-03-02T09:29:58Z": "4108",  # local time with a literal Z: eight hours ahead
    "2026-03-02 09:29:58": "0002",
    "20260302092958": "0002",
    "20260302T092958": "0002",
    "2026-03-02": "0002",
    "2026-3-2T9:29:58": "0002",
    "2026-03-02T09:29": "0002",
    "2026-03-02T09:29:58+08": "0002",
    "2026-03-02T09:29:58+0800": "0002",
    "2026-03-02T09:29:58 08:00": "0002",
    "2026-02-29T09:29:58": "0002",
    "2026-03-02T25:00:00": "0002",
    "2026-03-02T09:60:00": "0002",
    "03/02/2026 09:29:58": "0002",
    "2026年03月02日": "0002",
    "1772414998": "0002",
    "": "0002",
    "12026-03-02T09:29:58": "4011",  # a time in XSD, none for us
    "-2026-03-02T09:29:58": "4011",
}


@pytest.mark.parametrize(("created", "code"), CREATED_FORMS.items())
def test_times_that_senders_write(created: str, code: str) -> None:
    """Each form of CreatTime that is seen in the field, under limits of 30 days and one hour."""
    rules = limited(oldest=timedelta(days=30), ahead=timedelta(hours=1))
    decision = decide(declared(created=created), rules, NOW)
    assert decision.code == code
    receipt(decision)


WINDOW = {
    timedelta(0): "0000",
    timedelta(days=-1): "0000",
    timedelta(days=-1, seconds=-1): "4108",
    timedelta(hours=1): "0000",
    timedelta(hours=1, seconds=1): "4108",
}


@pytest.mark.parametrize(("shift", "code"), WINDOW.items())
def test_the_window_of_freshness_has_exact_edges(shift: timedelta, code: str) -> None:
    """The edges themselves are fresh."""
    rules = limited(oldest=timedelta(days=1), ahead=timedelta(hours=1))
    assert decide(declared(created=(NOW + shift).isoformat()), rules, NOW).code == code


def test_freshness_is_judged_only_where_a_limit_is_set() -> None:
    """Without limits any time passes; each limit works alone."""
    old, future = declared(created="1999-01-01T00:00:00Z"), declared(created="2099-01-01T00:00:00Z")
    assert decide(old, RULES, NOW).code == decide(future, RULES, NOW).code == "0000"
    only_old, only_ahead = limited(oldest=timedelta(days=1)), limited(ahead=timedelta(days=1))
    assert [decide(old, rules, NOW).code for rules in (only_old, only_ahead)] == ["4108", "0000"]
    assert [decide(future, rules, NOW).code for rules in (only_old, only_ahead)] == ["0000", "4108"]


# -- answers


def test_an_answer_waits_for_its_parent() -> None:
    """An answer is accepted and waits: it names the keys it answers, its receipt goes out at once."""
    decision = decide(answered(import_response()), RULES, NOW)
    assert (decision.outcome, decision.route) == (Outcome.WAITING, "answers")
    assert decision.answers == (BusinessKey("ClientSeqNo", "NHW20260302-0001"),)
    assert sent(decision) == [(Kind.RECEIPT, CUSTOMS)]
    assert "outcome=accepted" in texts(receipt(decision), "Note")[0]


def test_an_answer_whose_parent_is_known_goes_to_the_asker() -> None:
    """The copy goes to who asked, correlated with the question's id; the receipt stays as it was."""
    waiting = decide(answered(import_response()), RULES, NOW)
    known = answering(waiting, Parent("01PARENT", ENTERPRISE, "MSG-0001"))
    assert known.outcome is Outcome.ACCEPTED
    assert sent(known) == [(Kind.MESSAGE, ENTERPRISE), (Kind.RECEIPT, CUSTOMS)]
    assert known.copies[0].correlation_id == "MSG-0001"
    assert known.copies[0].body is waiting.body
    assert known.receipt == waiting.receipt


def test_an_answer_that_names_no_question_is_refused() -> None:
    """Without a key of the question there is nobody to give it to: 4012 names what is missing."""
    rules = rulebook(routes=(Route("asker", 1, ("asker",)),))
    decision = decide(declared(), rules, NOW)
    assert decision.code == "4012"


def test_an_answer_may_go_to_others_too() -> None:
    """A route to the asker and to an agency: the agency's copy goes out at once."""
    routes = (Route("both", 1, ("asker", PORT), (condition("type", "DecImportResponse"),)),)
    decision = decide(answered(import_response()), rulebook(routes=routes), NOW)
    assert decision.outcome is Outcome.WAITING
    assert sent(decision) == [(Kind.MESSAGE, PORT), (Kind.RECEIPT, CUSTOMS)]
    known = answering(decision, Parent("01PARENT", ENTERPRISE, "MSG-0001"))
    assert [to for _, to in sent(known)] == [ENTERPRISE, PORT, CUSTOMS]


# -- conflicts and held messages


def test_a_conflict_says_who_holds_the_id() -> None:
    """The refusal names the exchange and digest that hold the id; nothing else is sent; the id stays readable."""
    fresh = decide(named_twice(), RULES, NOW)
    holder = Recorded("01HOLDER", b"\x01" * 32, Outcome.ACCEPTED, "0000", None)
    decision = conflict(fresh, holder, RULES)
    assert (decision.outcome, decision.code) == (Outcome.REJECTED, "4201")
    assert "01HOLDER" in decision.findings[0].detail
    assert "01" * 32 in decision.findings[0].detail
    assert (decision.results, decision.route) == ((), "")
    assert sent(decision) == [(Kind.RECEIPT, ENTERPRISE)]
    assert texts(receipt(decision), "CopMsgId") == ["MSG-0001"]
    assert "retry=never" in texts(receipt(decision), "Note")[0]
    assert decision.digest == fresh.digest


def named_twice() -> Delivery:
    return declared(receivers=(CUSTOMS, "NOBODY"))


def test_a_held_message_keeps_its_bytes_and_nothing_else() -> None:
    """What breaks the machinery is recorded by its bytes; nothing is read out of it."""
    decision = held(declared(), RULES, NOW, "why")
    assert (decision.outcome, decision.code) == (Outcome.REJECTED, "4301")
    assert decision.body == declared().body
    assert (decision.sender, decision.message_id, decision.head, decision.keys) == ("", "", None, ())


def test_the_schema_check_gets_the_cap_of_findings() -> None:
    """The check of an edition is asked for no more findings than the limit."""
    asked: list[int] = []
    real = check("dxp/202205/DxpMsgSv.xsd")

    def spy(tree: Any, cap: int) -> Any:
        asked.append(cap)
        return real(tree, cap)

    rules = rulebook(envelopes=(replace(edition("dxp/202205/DxpMsgSv.xsd"), check=spy),), limits=Limits(LIMIT, 7))
    decide(declared(), rules, NOW)
    assert asked == [7]
