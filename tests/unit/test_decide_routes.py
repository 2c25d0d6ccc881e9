"""Decisions: who may send what to whom, which route takes it, and where answers go."""

from __future__ import annotations

from typing import Any

from swexchange.core.conclude import answering
from swexchange.core.decide import decide
from swexchange.core.model import (
    BusinessKey,
    Decision,
    Kind,
    Outcome,
    Parent,
    ReceiverResult,
)
from swexchange.core.rulebook import Route, Rulebook
from tests.world import (
    CUSTOMS,
    ENTERPRISE,
    NOW,
    PORT,
    PROVINCE,
    RIVAL,
    ROUTES,
    answered,
    condition,
    declaration,
    declared,
    delivery,
    dxp_msg,
    import_response,
    inventory,
    permitting,
    receipt,
    rulebook,
    sent,
    signed,
    texts,
)

RULES = rulebook()


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
