"""Properties of every decision: total, repeatable, provable, and never believing what is not signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from swexchange.core import codes
from swexchange.core.decide import decide
from swexchange.core.model import Decision, Delivery, Kind, Outcome
from swexchange.core.rulebook import Limits
from swexchange.core.signature import seal
from tests.forge import DSIG
from tests.world import (
    CREATED,
    CUSTOMS,
    ENTERPRISE,
    NOW,
    PLATFORM,
    PORT,
    PROVINCE,
    RIVAL,
    answered,
    dec_result,
    declaration,
    declared,
    delivery,
    dxp_msg,
    dxp_msg_sv,
    import_response,
    inventory,
    receipt,
    rulebook,
    signed,
    signing_key,
    texts,
)

RULES = rulebook()
SUBMITTERS = st.sampled_from([ENTERPRISE, RIVAL, CUSTOMS, PROVINCE, PLATFORM, "", "UNKNOWN"])
SEEDS = (
    declared(),
    declared(keys={"名称": "值"}, msg_type=""),
    answered(import_response()),
    answered(dec_result()),
    delivery(signed(inventory())),
    delivery(signed(dxp_msg_sv(dxp_msg(declaration()), part="1"), PROVINCE), PROVINCE),
    delivery(signed(b"<a></a>")),
    delivery(dxp_msg(declaration())),
)


def sound(decision: Decision, asked: Delivery) -> Decision:
    """What holds for every decision, whatever was asked."""
    assert (decision.body, decision.submitter) == (asked.body, asked.submitter)
    assert len(decision.digest) == 32
    assert decision.sender in {"", asked.submitter}
    refused = decision.outcome is Outcome.REJECTED
    assert bool(decision.findings) is refused
    assert (decision.code == "0000") is not refused
    assert all(finding.code in codes.MEANINGS for finding in decision.findings)
    assert len(decision.findings) <= RULES.limits.findings
    if not decision.sender:
        assert refused
        assert (decision.head, decision.message_id, decision.type, decision.keys) == (None, "", "", ())
    if refused:
        assert {copy.kind for copy in decision.copies} <= {Kind.RECEIPT}
    assert len({copy.id for copy in decision.copies}) == len(decision.copies)
    assert all(copy.exchange_id == decision.exchange_id for copy in decision.copies)
    assert all(copy.body is asked.body for copy in decision.copies if copy.kind is Kind.MESSAGE)
    assert all(copy.to in RULES.participants for copy in decision.copies)
    if asked.submitter in RULES.participants:
        assert texts(receipt(decision), "ResponseCode") == [f.code for f in decision.findings] or not refused
    else:
        assert decision.copies == ()
    return decision


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), SUBMITTERS)
@example(b"", ENTERPRISE)
@example(f'<a xmlns="b"><ds:Signature xmlns:ds="{DSIG}"/></a>'.encode(), ENTERPRISE)
def test_any_bytes_are_decided(body: bytes, submitter: str) -> None:
    """Noise gives a decision with a receipt that can be proved, never an exception."""
    asked = Delivery(1, submitter, body)
    assert sound(decide(asked, RULES, NOW), asked).outcome is Outcome.REJECTED


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 5000), st.integers(0, 40), st.binary(max_size=12), SUBMITTERS | st.none())
def test_any_splice_of_a_good_message_is_decided(
    seed: Delivery, at: int, cut: int, put: bytes, submitter: str | None
) -> None:
    """A good message with something taken out and put in: decided, soundly."""
    at %= len(seed.body)
    body = seed.body[:at] + put + seed.body[at + cut :]
    asked = replace(seed, body=body, submitter=seed.submitter if submitter is None else submitter)
    sound(decide(asked, RULES, NOW), asked)


MARKUP = st.lists(
    st.sampled_from(
        ["<a>", "</a>", "<b/>", "<DecMessage xmlns='http://www.chinaport.gov.cn/dec'>", "</DecMessage>", "<DEC_RESULT>",
         "</DEC_RESULT>", "<CUS_CIQ_NO>1</CUS_CIQ_NO>", "<p:c xmlns:p='u'>", "</p:c>", "<c xmlns=''>", "</c>", "x",
         "&lt;", "&#x31;", "<![CDATA[", "]]>", "<!--", "-->", "<?p", "?>", "<!DOCTYPE a>", " ", "\n", "深", "\x85",
         "\ufeff"]
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(MARKUP | st.binary(max_size=60))
def test_any_document_in_a_signed_envelope_is_decided(document: list[str] | bytes) -> None:
    """Behind a good signature, whatever Data holds: decided under the message's own id."""
    inner = document if isinstance(document, bytes) else "".join(document).encode()
    asked = delivery(signed(dxp_msg(inner, "ID")))
    decision = sound(decide(asked, RULES, NOW), asked)
    assert (decision.sender, decision.message_id) == (ENTERPRISE, "ID")


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(
    message_id=ANY_TEXT,
    receivers=st.lists(st.sampled_from([CUSTOMS, PORT, "NOBODY", ENTERPRISE]) | ANY_TEXT, min_size=1, max_size=6),
    created=st.sampled_from(
        [CREATED, "2026-03-02 09:29:58", "", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"]
    ),
    msg_type=st.sampled_from(["", "DECMSG", "OTHER"]),
    keys=st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=6),
    customs=st.sampled_from(["5304", "4401"]),
    sender=st.sampled_from([ENTERPRISE, RIVAL]),
)
def test_any_envelope_of_a_signer_is_decided(
    message_id: str,
    receivers: list[str],
    created: str,
    msg_type: str,
    keys: dict[str, str],
    customs: str,
    sender: str,
) -> None:
    """Behind a good signature, whatever the envelope says: decided; each receiver it names has its result."""
    envelope = dxp_msg(
        declaration(customs=customs),
        message_id,
        sender=sender,
        receivers=receivers,
        created=created,
        msg_type=msg_type,
        keys=keys,
    )
    asked = delivery(sealed(envelope))
    decision = sound(decide(asked, RULES, NOW), asked)
    if decision.route == "named":
        assert [result.receiver for result in decision.results] == list(dict.fromkeys(receivers))
        assert texts(receipt(decision), "RecId") == list(dict.fromkeys(receivers))


def sealed(document: bytes) -> bytes:
    """Signed as it is, canonical or not, well-formed or not."""
    return seal(document, signing_key(ENTERPRISE))


TIMES = st.datetimes(datetime(2020, 6, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SEEDS), TIMES)
def test_the_same_message_rules_and_time_give_the_same_decision(seed: Delivery, at: datetime) -> None:
    """Equal in every field and every byte, with rules built anew, tag and redelivery aside."""
    again = replace(seed, tag=7, redelivered=True)
    assert decide(seed, RULES, at) == decide(again, rulebook(), at)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SEEDS), TIMES, TIMES)
def test_copies_of_a_repeat_have_the_ids_of_the_first(seed: Delivery, first: datetime, second: datetime) -> None:
    """At another time, a decision of the same outcome sends messages with equal ids to equal places.

    Receipts go by their exchange: the same bytes may get another answer later.
    """
    one, other = decide(seed, RULES, first), decide(seed, RULES, second)
    if one.code == other.code:
        assert [(c.to, c.kind) for c in one.copies] == [(c.to, c.kind) for c in other.copies]
        assert _message_ids(one) == _message_ids(other)
        same_moment = one.exchange_id == other.exchange_id
        assert ([c.id for c in one.copies] == [c.id for c in other.copies]) is (same_moment or not one.receipt)


def _message_ids(decision: Decision) -> list[str]:
    return [copy.id for copy in decision.copies if copy.kind is Kind.MESSAGE]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(1, 5))
def test_no_more_findings_than_the_limit(seed: Delivery, cap: int) -> None:
    """The cap of findings holds for decisions and their receipts."""
    decision = decide(replace(seed, body=seed.body + b" "), replace(RULES, limits=Limits(findings=cap)), NOW)
    assert 1 <= len(decision.findings) <= cap
    assert len(texts(receipt(decision), "ResponseCode")) == len(decision.findings)
