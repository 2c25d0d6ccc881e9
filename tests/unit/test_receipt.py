"""Receipts: valid against the standard's schema and signed by the platform, whatever they have to quote."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swexchange.core import codes
from swexchange.core.conclude import held
from swexchange.core.decide import decide
from swexchange.core.model import Copy, Decision, Finding, Head, Kind, Outcome, ReceiverResult
from swexchange.core.parse import parse
from swexchange.core.receipt import build
from swexchange.core.signature import XML_DECLARATION, canonical
from tests.world import (
    CREATED,
    CUSTOMS,
    ENTERPRISE,
    LIMIT,
    NODE,
    NOW,
    PLATFORM,
    RIVAL,
    declaration,
    declared,
    delivery,
    dxp_msg,
    inventory,
    receipt,
    rulebook,
    signed,
    texts,
)

RULES = rulebook()
ACCEPTED = decide(declared(), RULES, NOW)
NASTY = (
    "]]>",
    "<a>&amp;</a>",
    "\x00\x01\x08\x0b\x0c\x0e\x1f",
    "line\r\nbreak\rand\ttab",
    "\u202eevil\u2066\u200b\ufeff",
    "\ufffe\uffff",
    "\ud800 lone \udfff",
    "深" * 255,
    "\U0010ffff" * 255,
    "'\"",
    " \n ",
    "\x7f\x85\x9f\u2028",
)


def rebuilt(decision: Decision) -> Decision:
    """The decision with a new receipt."""
    body = build(decision, ENTERPRISE, RULES.platform)
    copy = Copy("id", Kind.RECEIPT, ENTERPRISE, "DxpRep", decision.message_id, decision.exchange_id, body)
    return replace(decision, copies=(copy,))


def test_the_receipt_of_an_accepted_message() -> None:
    """One Response with code 0000, the exchange's facts in Note, the original's head, no results."""
    root = receipt(ACCEPTED)
    assert texts(root, "RecevierId") == [ENTERPRISE]
    assert texts(root, "AdNodeId") == texts(root, "NodeId") == [NODE]
    assert texts(root, "ResponseCode") == ["0000"]
    assert texts(root, "ResponseInfo") == ["已接收 / Accepted"]
    assert texts(root, "NoticeTime") == ["2026-03-02"]
    assert texts(root, "CopMsgId") == ["MSG-0001"]
    assert texts(root, "SenderId") == [ENTERPRISE]
    assert texts(root, "ReceiverId") == [CUSTOMS]
    assert texts(root, "CreatTime") == [CREATED]
    assert texts(root, "MsgType") == ["DECMSG"]
    assert texts(root, "Result") == []
    assert texts(root, "Note") == [
        f"exchange={ACCEPTED.exchange_id};digest=sha256:{ACCEPTED.digest.hex()};outcome=accepted;edition=dec/4.9.7"
    ]


def test_the_receipt_s_copy() -> None:
    """It goes to the sender, as a DxpRep, correlated with the message's own id."""
    copy = ACCEPTED.receipt
    assert copy is not None
    assert (copy.kind, copy.to, copy.type, copy.correlation_id) == (Kind.RECEIPT, ENTERPRISE, "DxpRep", "MSG-0001")
    assert copy.exchange_id == ACCEPTED.exchange_id


def test_a_receipt_is_canonical() -> None:
    """The bytes are an XML declaration and the canonical form, so the receiver can check them as they came."""
    assert ACCEPTED.receipt is not None
    body = ACCEPTED.receipt.body
    assert body == XML_DECLARATION + canonical(parse(body, LIMIT).root)


def test_notice_time_is_the_day_on_the_spot() -> None:
    """NoticeTime is a date of +08:00, whatever the zone the time came in."""
    late = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
    assert texts(receipt(decide(declared(), RULES, late)), "NoticeTime") == ["2026-03-03"]


def test_every_finding_has_its_response() -> None:
    """One Response a finding, in order, with detail in Info, place, line and retry class in Note."""
    findings = (Finding("0002", "first", "/DxpMsg/TransInfo", 7), Finding("2001", "second"))
    decision = replace(ACCEPTED, outcome=Outcome.REJECTED, findings=findings, edition="")
    root = receipt(rebuilt(decision))
    assert texts(root, "ResponseCode") == ["0002", "2001"]
    assert [info.partition(": ")[2] for info in texts(root, "ResponseInfo")] == ["first", "second"]
    first, second = texts(root, "Note")
    assert first.endswith(";outcome=rejected;retry=fix;line=7;path=/DxpMsg/TransInfo")
    assert second.endswith(";outcome=rejected;retry=later")


def test_results_stand_in_the_first_response() -> None:
    """One Result a receiver, with code and sentence."""
    results = (ReceiverResult(CUSTOMS, "0000"), ReceiverResult("NOBODY", "2001"))
    root = receipt(rebuilt(replace(ACCEPTED, results=results)))
    assert texts(root, "RecId") == [CUSTOMS, "NOBODY"]
    assert texts(root, "Code") == ["0000", "2001"]
    assert texts(root, "Info")[1].startswith("接收方不存在 / ")


@pytest.mark.parametrize("code", sorted(codes.MEANINGS))
def test_every_code_can_be_told(code: str) -> None:
    """A receipt can be made for each code, with both languages in Info."""
    root = receipt(rebuilt(replace(ACCEPTED, findings=(Finding(code, "x" * 400, "/p" * 400, 3),))))
    (info,) = texts(root, "ResponseInfo")
    meaning = codes.meaning(code)
    assert info.startswith(f"{meaning.zh} / {meaning.en}: x")
    assert len(info) == 300


@pytest.mark.parametrize("text", NASTY, ids=repr)
def test_hostile_texts_make_valid_receipts(text: str) -> None:
    """In a detail, a path, a message id or a receiver: the receipt stays valid, and nothing becomes markup."""
    head = Head((text or "x")[:255], ENTERPRISE, (text[:16],), CREATED, text[:30])
    decision = replace(ACCEPTED, head=head, findings=(Finding("0002", text, text), Finding("0001", text * 9)))
    root = receipt(rebuilt(decision))
    quoted = [detail.partition(": ")[2] for detail in texts(root, "ResponseInfo")]
    assert len(quoted[0]) <= 300
    assert texts(root, "CopMsgId") == [writable(text[:255])]


def writable(text: str) -> str:
    """The text as XML can carry it: what it cannot becomes U+FFFD."""

    def allowed(char: str) -> bool:
        return char in "\t\n" or "\x20" <= char < "\ud800" or "\udfff" < char < "\ufffe" or char > "\uffff"

    return "".join(char if allowed(char) else "\ufffd" for char in text)


ANY = st.text(st.characters(codec=None), min_size=1, max_size=400)
CODES = st.sampled_from(sorted(codes.MEANINGS))


@settings(max_examples=300, deadline=None)
@given(
    findings=st.lists(st.builds(Finding, CODES, ANY, ANY, st.integers(0, 10**9)), max_size=4),
    message_id=ANY,
    receivers=st.lists(ANY, min_size=1, max_size=5),
    edition=st.sampled_from(["", "dec/4.9.7"]),
)
@example(findings=[], message_id="\ud800", receivers=["\x00"], edition="")
def test_any_text_makes_a_valid_receipt(
    findings: list[Finding], message_id: str, receivers: list[str], edition: str
) -> None:
    """Whatever characters and lengths findings and heads have: valid against the schema, signed, canonical."""
    named = tuple(receiver[:16] for receiver in receivers)
    head = Head(message_id[:255], ENTERPRISE, named, CREATED, message_id[:30])
    results = tuple(ReceiverResult(receiver, "2001") for receiver in named)
    receipt(rebuilt(replace(ACCEPTED, findings=tuple(findings), head=head, results=results, edition=edition)))


STRANGE_IDS = ["深" * 255, "\U00020000" * 255, "]]>", "\u202egnp.exe", "a\tb\nc", "<&>\"'", " ", "\u200b", "\x85"]


@pytest.mark.parametrize("message_id", STRANGE_IDS, ids=lambda text: repr(text[:8]))
def test_ids_that_the_schema_allows_come_back_as_they_were(message_id: str) -> None:
    """CopMsgId is any text of 1 to 255 characters: the accepted message's receipt quotes it unchanged."""
    decision = decide(declared(message_id), RULES, NOW)
    assert decision.code == "0000"
    assert texts(receipt(decision), "CopMsgId") == [message_id]


def test_a_message_that_could_not_be_read_is_answered_with_what_is_known() -> None:
    """No head was read: the receipt names the one who is told, the platform, and the time of receipt."""
    root = receipt(decide(delivery(b"<a>"), RULES, NOW))
    assert texts(root, "CopMsgId") == ["UNREADABLE"]
    assert texts(root, "SenderId") == [ENTERPRISE]
    assert texts(root, "ReceiverId") == [PLATFORM]
    assert texts(root, "CreatTime") == ["2026-03-02T09:30:00+08:00"]
    assert texts(root, "MsgType") == [""]


def test_a_bare_document_s_receipt_is_valid() -> None:
    """A business document without an envelope names no receiver and no time: its receipt is valid nevertheless."""
    decision = decide(delivery(signed(inventory())), RULES, NOW)
    assert decision.code == "0000"
    root = receipt(decision)
    assert texts(root, "CopMsgId") == ["2B7E91D4-08AC-4C63-8F15-66C8013F9E31"]
    assert texts(root, "SenderId") == [ENTERPRISE]


def test_strangers_learn_no_detail() -> None:
    """Whoever is not authenticated gets codes: no detail, no path, no line, no edition."""
    findings = (Finding("1001", "secret", "/secret", 42), Finding("0002", "secret", "/secret", 42))
    root = receipt(rebuilt(replace(ACCEPTED, sender="", head=None, edition="", findings=findings)))
    said = "".join(text for text in root.itertext() if text)
    assert "secret" not in said
    assert "line=" not in said
    assert "path=" not in said


@pytest.mark.parametrize("body", [b"", b"<a>\xff</a>", b"x" * (LIMIT + 1)], ids=["empty", "not UTF-8", "too large"])
def test_strangers_may_know_what_they_sent(body: bytes) -> None:
    """Size, emptiness and encoding are told to anyone: these say nothing that the sender did not send."""
    decision = decide(delivery(body), RULES, NOW)
    assert decision.code in codes.UNAUTHENTICATED_MAY_KNOW
    (info,) = texts(receipt(decision), "ResponseInfo")
    assert info.endswith(decision.findings[0].detail)


@pytest.mark.parametrize("submitter", ["", "UNKNOWN", PLATFORM])
def test_nobody_is_told_where_nobody_is_known(submitter: str) -> None:
    """A message through no participant's exchange gets no receipt; it is recorded all the same."""
    decision = decide(delivery(b"<a/>", submitter), RULES, NOW)
    assert (decision.receipt, decision.copies, decision.code) == (None, (), "4101")


def test_a_held_message_gets_a_receipt_without_detail() -> None:
    """What broke the machinery is told as 4301 to the exchange it came through, and no more."""
    decision = held(declared(), RULES, NOW, "KeyError while deciding")
    root = receipt(decision)
    assert texts(root, "ResponseCode") == ["4301"]
    assert "KeyError" not in "".join(text for text in root.itertext() if text)
    assert decision.findings == (Finding("4301", "KeyError while deciding"),)
    assert [copy.to for copy in decision.copies] == [ENTERPRISE]


def test_a_signer_of_another_s_message_is_told_itself() -> None:
    """The receipt of a refusal goes to who signed, never to the one the message names."""
    decision = decide(delivery(signed(dxp_msg(declaration()), RIVAL), RIVAL), RULES, NOW)
    assert [copy.to for copy in decision.copies] == [RIVAL]
    assert texts(receipt(decision), "SenderId") == [RIVAL]
