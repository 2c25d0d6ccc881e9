"""Decisions: types, editions in force, envelopes of both layers, bare documents, and times."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from swexchange.core.decide import decide
from swexchange.core.model import (
    Delivery,
    Kind,
    Outcome,
)
from swexchange.core.rulebook import Edition, Limits, MessageType, Rulebook
from tests.world import (
    CHINA,
    CUSTOMS,
    ENTERPRISE,
    NOW,
    PROVINCE,
    PROVINCE_NODE,
    RIVAL,
    dec_result,
    declaration,
    declared,
    delivery,
    dxp_msg,
    dxp_msg_sv,
    edition,
    inventory,
    message_types,
    places,
    receipt,
    rulebook,
    sent,
    signed,
    texts,
)

RULES = rulebook()


def limited(**changes: Any) -> Rulebook:
    return rulebook(limits=Limits(**changes))


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
    """A DxpMsgSv is signed by its StaNode; its id is MsgId with SubMsgId; the head is the inner one."""
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


def test_without_a_time_freshness_is_not_judged() -> None:
    """A bare document that names no time passes under limits of freshness."""
    rules = limited(oldest=timedelta(days=1), ahead=timedelta(hours=1))
    assert decide(delivery(signed(inventory())), rules, NOW).code == "0000"


def test_keys_are_bounded() -> None:
    """Values of up to 128 characters, 200 of them: what is longer or more is left out, and the message passes."""

    def anything(tree: Any, cap: int) -> tuple[()]:
        return ()

    kind = MessageType("list", "list", (Edition("x/1", anything, NOW),), keys=places(No="no"))
    values = ["a" * 128, "b" * 129, *(f"{n}" for n in range(300))]
    document = "".join(f"<no>{value}</no>" for value in values)
    message = delivery(signed(dxp_msg(f"<list>{document}</list>".encode())))
    decision = decide(message, rulebook(types={"list": kind}), NOW)
    assert decision.code == "0000"
    found = [key.value for key in decision.keys]
    assert found[:2] == ["a" * 128, "0"]
    assert 100 < len(found) <= 200
