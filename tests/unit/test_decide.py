"""The decision about one message: what is known of it, what is checked in which order, who learns what."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from swexchange.core import codes
from swexchange.core.conclude import conflict, held
from swexchange.core.decide import decide, examine
from swexchange.core.model import (
    BusinessKey,
    Delivery,
    Kind,
    Outcome,
    Properties,
    Recorded,
)
from swexchange.core.rulebook import Limits, Route, Rulebook
from tests.world import (
    CUSTOMS,
    ENTERPRISE,
    LIMIT,
    NOW,
    PLATFORM,
    PORT,
    RIVAL,
    ROUTES,
    check,
    condition,
    declaration,
    declared,
    delivery,
    dxp_msg,
    edition,
    inventory,
    keys_of,
    permitting,
    receipt,
    registered,
    rulebook,
    sent,
    signed,
    texts,
)

RULES = rulebook()


def limited(**changes: Any) -> Rulebook:
    return rulebook(limits=Limits(**changes))


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
