"""A fresh decision in the light of the record: repeats, conflicts, and whose question an answer belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from swexchange.core.conclude import conflict, held
from swexchange.core.decide import decide
from swexchange.core.identity import bytes_identity, claim, identity
from swexchange.core.model import BusinessKey, Candidate, Decision, Outcome, Parent, Recorded
from swexchange.core.settle import choose_parent, earlier, in_conflict
from tests.world import (
    CUSTOMS,
    ENTERPRISE,
    NOW,
    PORT,
    RIVAL,
    answered,
    declaration,
    declared,
    delivery,
    dxp_msg,
    import_response,
    rulebook,
    signed,
)

RULES = rulebook()
FRESH = decide(declared(), RULES, NOW)
OTHER = decide(delivery(signed(dxp_msg(declaration(bill="OTHER")))), RULES, NOW)
REFUSED = decide(declared(), rulebook(routes=()), NOW - timedelta(milliseconds=1))
REFUSED_AT_ONCE = decide(declared(), rulebook(routes=()), NOW)
STRANGE = decide(delivery(declared().body, RIVAL), RULES, NOW)


def recorded(decision: Decision) -> Recorded:
    return Recorded(decision.exchange_id, decision.digest, decision.outcome, decision.code, decision.receipt)


def known(*decisions: Decision) -> Mapping[str, Recorded]:
    return {identity(decision): recorded(decision) for decision in decisions}


CONFLICT = conflict(OTHER, recorded(FRESH), RULES)

HELD = held(declared(), RULES, NOW)

EARLIER: dict[str, tuple[Decision, tuple[Decision, ...], Decision | None]] = {
    "nothing is known": (FRESH, (), None),
    "accepted before": (FRESH, (FRESH,), FRESH),
    "waiting before": (FRESH, (replace(FRESH, outcome=Outcome.WAITING),), replace(FRESH, outcome=Outcome.WAITING)),
    "refused before, passes now": (FRESH, (REFUSED,), None),
    "refused within the same millisecond, would pass": (FRESH, (REFUSED_AT_ONCE,), REFUSED_AT_ONCE),
    "refused before, then accepted": (FRESH, (REFUSED, FRESH), FRESH),
    "refused before and now": (REFUSED, (REFUSED,), REFUSED),
    "accepted before, would be refused now": (REFUSED, (FRESH,), FRESH),
    "refused, then accepted, would be refused now": (REFUSED, (REFUSED, FRESH), FRESH),
    "the id is taken by other bytes": (OTHER, (FRESH,), None),
    "conflict told before": (CONFLICT, (FRESH, CONFLICT), CONFLICT),
    "conflict not told yet": (CONFLICT, (FRESH,), None),
    "a stranger's first": (STRANGE, (FRESH,), None),
    "a stranger's second": (STRANGE, (FRESH, STRANGE), STRANGE),
    "another submitter's refusal of the same bytes": (REFUSED, (STRANGE,), None),
    "held before and again": (HELD, (HELD,), HELD),
    "held before, decided now": (REFUSED, (HELD,), None),
    "refused before, would be held now": (HELD, (REFUSED,), REFUSED),
    "held, then refused": (REFUSED, (HELD, REFUSED), REFUSED),
}


@pytest.mark.parametrize(("fresh", "before", "expected"), EARLIER.values(), ids=EARLIER)
def test_the_stored_decision_wins(fresh: Decision, before: tuple[Decision, ...], expected: Decision | None) -> None:
    """The record answers a repeat of the same bytes by the same sender; refused messages may try again."""
    found = earlier(fresh, known(*before))
    assert found == (recorded(expected) if expected else None)


CONFLICTS: dict[str, tuple[Decision, tuple[Decision, ...], bool]] = {
    "nothing is known": (FRESH, (), False),
    "other bytes hold the id": (OTHER, (FRESH,), True),
    "other bytes were refused under the id": (OTHER, (REFUSED,), False),
    "refused anyway": (REFUSED, (OTHER,), False),
    "another sender holds the same id": (replace(FRESH, sender=RIVAL), (FRESH,), False),
    "other bytes wait under the id": (OTHER, (replace(FRESH, outcome=Outcome.WAITING),), True),
}


@pytest.mark.parametrize(("fresh", "before", "expected"), CONFLICTS.values(), ids=CONFLICTS)
def test_an_id_is_taken_by_acceptance_only(fresh: Decision, before: tuple[Decision, ...], expected: bool) -> None:
    """Only an accepted message holds its id against other bytes of the same sender."""
    found = in_conflict(fresh, known(*before))
    assert (found is not None) is expected
    if found:
        assert found.digest == before[0].digest


def test_a_conflict_takes_no_id() -> None:
    """The refusal of a conflict is recorded under its own bytes: the holder's record stays."""
    assert identity(CONFLICT) == bytes_identity(ENTERPRISE, OTHER.digest)
    assert identity(CONFLICT) != claim(ENTERPRISE, "MSG-0001")


# -- whose question an answer belongs to

KEY, SECOND = BusinessKey("ClientSeqNo", "NHW20260302-0001"), BusinessKey("SeqNo", "I1")
ASKED = Candidate("01ASKED", ENTERPRISE, "MSG-0001", frozenset({CUSTOMS}), None)
PARENT = Parent("01ASKED", ENTERPRISE, "MSG-0001")
RIVALS = Candidate("00RIVAL", RIVAL, "MSG-0666", frozenset({CUSTOMS}), None)
THEIRS = Parent("00RIVAL", RIVAL, "MSG-0666")
ELSEWHERE = Candidate("01PORT", RIVAL, "MSG-0777", frozenset({PORT}), None)
FOLLOWED = Candidate("02FIRST", CUSTOMS, "ANS-0001", frozenset({ENTERPRISE}), PARENT)
LOST = Candidate("02LOST", CUSTOMS, "ANS-0000", frozenset(), None)


def answer(*keys: BusinessKey, to: tuple[str, ...] = (ENTERPRISE,), by: str = CUSTOMS) -> Decision:
    decision = decide(answered(import_response(), by=by), RULES, NOW)
    assert decision.head is not None
    askers = tuple(receiver for receiver in to if receiver in RULES.participants)
    return replace(decision, answers=keys or (KEY,), askers=askers, head=replace(decision.head, receivers=to))


PARENTS: dict[str, tuple[Decision, dict[BusinessKey, list[Candidate]], Parent | None]] = {
    "nobody asked": (answer(), {}, None),
    "key without candidates": (answer(), {KEY: []}, None),
    "asked": (answer(), {KEY: [ASKED]}, PARENT),
    "by its second key": (answer(KEY, SECOND), {SECOND: [ASKED]}, PARENT),
    "the first key counts": (answer(KEY, SECOND, to=()), {SECOND: [RIVALS], KEY: [ASKED]}, PARENT),
    "the oldest counts": (answer(to=()), {KEY: [RIVALS, ASKED]}, THEIRS),
    "another key of a candidate": (answer(), {SECOND: [ASKED]}, None),
    "not delivered to the answering one": (answer(), {KEY: [ELSEWHERE]}, None),
    "delivered to another only": (answer(by=PORT), {KEY: [ASKED]}, None),
    "delivered and elsewhere": (answer(), {KEY: [ELSEWHERE, ASKED]}, PARENT),
    "own earlier answer": (answer(), {KEY: [FOLLOWED]}, PARENT),
    "own earlier answer without a parent": (answer(), {KEY: [LOST]}, None),
    "own earlier answer, then the question": (answer(), {KEY: [LOST, ASKED]}, PARENT),
    "another's earlier answer": (answer(by=PORT), {KEY: [FOLLOWED]}, None),
    "hijack by an older message": (answer(to=(ENTERPRISE,)), {KEY: [RIVALS, ASKED]}, PARENT),
    "hijack by many older messages": (answer(to=(ENTERPRISE,)), {KEY: [RIVALS] * 19 + [ASKED]}, PARENT),
    "hijack by the first key": (answer(KEY, SECOND), {KEY: [RIVALS], SECOND: [ASKED]}, PARENT),
    "the rival is meant": (answer(to=(RIVAL,)), {KEY: [ASKED, RIVALS]}, THEIRS),
    "both are named": (answer(to=(RIVAL, ENTERPRISE)), {KEY: [ASKED, RIVALS]}, PARENT),
    "nobody is named": (answer(to=()), {KEY: [ASKED]}, PARENT),
    "named in another case": (answer(to=(ENTERPRISE.lower(),)), {KEY: [ASKED]}, PARENT),
}


@pytest.mark.parametrize(("decision", "candidates", "expected"), PARENTS.values(), ids=PARENTS)
def test_an_answer_goes_to_who_asked(
    decision: Decision, candidates: dict[BusinessKey, list[Candidate]], expected: Parent | None
) -> None:
    """A sender answers what was delivered to it, and what it answered before; the participant it names is meant."""
    assert choose_parent(decision, candidates) == expected


def test_an_answer_named_to_one_participant_is_not_given_to_another_who_used_its_key() -> None:
    """The rival sent a message with the enterprise's number first; the answer names the enterprise: it waits."""
    assert choose_parent(answer(to=(ENTERPRISE,)), {KEY: [RIVALS]}) is None


def test_a_bare_answer_has_no_receivers_to_go_by() -> None:
    """Without a head only the keys count."""
    assert choose_parent(replace(answer(to=()), head=None), {KEY: [ASKED]}) == PARENT
