"""What other rules change about the past: the effect of the recorded decision beside that of a fresh one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swexchange.core.compare import Change, Effect, Past, PastCopy, change, recorded_effect
from swexchange.core.decide import decide
from swexchange.core.keys import Key
from swexchange.core.model import Copy, Decision, Delivery, Kind, Outcome, Parent
from swexchange.core.rulebook import Route, Rulebook
from swexchange.replay.whatif import judge, tally
from tests import world
from tests.world import CUSTOMS, ENTERPRISE, PORT

ASKER = Parent("0" * 32, ENTERPRISE, "MSG-0001")


def past(decision: Decision, parent: Parent | None = None, seq: int = 1) -> Past:
    """A decision as the store hands it back."""
    copies = tuple(PastCopy(copy.kind, copy.to, True) for copy in decision.copies)
    return Past(seq, replace(decision, copies=()), parent, copies)


def judged(recorded: Past, rules: Rulebook) -> tuple[Change, str, str]:
    """How a recorded exchange fares under other rules."""
    (one,) = judge([recorded], rules)
    return one.change, str(one.then), str(one.now)


def accepted(rules: Rulebook | None = None) -> Decision:
    return decide(world.declared(), rules or world.rulebook(), world.NOW)


def to_port(*extra: Route) -> Rulebook:
    return world.rulebook(routes=(*extra, Route("all", 9, (PORT,))))


def test_the_same_rules_change_nothing() -> None:
    """What was accepted, refused or left waiting stays as it is under the rules it was decided by."""
    answer = decide(world.answered(world.import_response()), world.rulebook(), world.NOW)
    refused = decide(world.delivery(b"<a></a>"), world.rulebook(), world.NOW)
    assert (answer.outcome, refused.outcome) == (Outcome.WAITING, Outcome.REJECTED)
    for decision in (accepted(), answer, refused):
        assert judged(past(decision), world.rulebook())[0] is Change.SAME


@pytest.mark.parametrize("delivery", [world.declared(), world.delivery(b"<a></a>")])
def test_without_the_platforms_key_all_is_the_same_but_there_is_no_receipt(delivery: Delivery) -> None:
    """A what-if signs nothing, whatever is decided."""
    rules = world.rulebook()
    keyless = replace(rules, platform=replace(rules.platform, key=None))
    decision = decide(delivery, rules, world.NOW)
    messages = tuple(copy for copy in decision.copies if copy.kind is Kind.MESSAGE)
    assert decision.receipt is not None
    assert decide(delivery, keyless, world.NOW) == replace(decision, copies=messages)
    assert judged(past(decision), keyless) == judged(past(decision), rules)


def test_another_destination_is_told_with_both() -> None:
    """The participants before and after stand side by side."""
    assert judged(past(accepted()), to_port()) == (Change.MOVED, CUSTOMS, PORT)


def test_the_same_destination_by_another_route_is_no_change() -> None:
    """What counts is who gets it."""
    renamed = world.rulebook(routes=(Route("renamed", 1, (CUSTOMS,)),))
    assert judged(past(accepted()), renamed)[0] is Change.SAME


def test_what_nothing_would_take_is_unroutable() -> None:
    """No route at all, or none of the receivers that the route leaves it to."""
    assert judged(past(accepted()), world.rulebook(routes=())) == (Change.UNROUTABLE, CUSTOMS, "refused 4204")
    everyone = {id_: p for id_, p in world.participants().items() if id_ != CUSTOMS}
    named = world.rulebook(participants=everyone, routes=(Route("named", 1, ("receivers",)),))
    assert judged(past(accepted()), named) == (Change.UNROUTABLE, CUSTOMS, "refused 2001")


def test_what_was_accepted_may_be_refused_and_the_other_way_round() -> None:
    """A right taken away refuses with its code; one given accepts what was refused."""
    strict = world.permitting(ENTERPRISE, sends=frozenset({"CEB621Message"}))
    assert judged(past(accepted()), strict) == (Change.REFUSED, CUSTOMS, "refused 4106")
    assert judged(past(accepted(strict)), world.rulebook()) == (Change.ACCEPTED, "refused 4106", CUSTOMS)
    assert judged(past(accepted(strict)), world.rulebook(keys={})) == (Change.REASON, "refused 4106", "refused 4103")


def test_keys_are_those_in_force_at_receipt() -> None:
    """A key revoked after the receipt does not refuse the past; one revoked before it does."""

    def revoked(year: int) -> Rulebook:
        key: Key = world.registered(ENTERPRISE, revoked_at=world.NOW.replace(year=year))
        return world.rulebook(keys={**world.rulebook().keys, key.id: key})

    assert judged(past(accepted()), revoked(2027))[0] is Change.SAME
    assert judged(past(accepted()), revoked(2025)) == (Change.REFUSED, CUSTOMS, "refused 1002")


def test_an_answer_that_found_its_asker_is_compared_as_an_answer() -> None:
    """The recorded copy to the asker is what the route to `asker` meant; a fixed destination is a change."""
    waiting = decide(world.answered(world.import_response()), world.rulebook(), world.NOW)
    copy = Copy("c", Kind.MESSAGE, ENTERPRISE, waiting.type, "MSG-0001", waiting.exchange_id, waiting.body)
    matched = replace(waiting, outcome=Outcome.ACCEPTED, copies=(copy, *waiting.copies))
    assert recorded_effect(past(matched, ASKER)) == Effect(True, "0000", ("asker",))
    assert judged(past(matched, ASKER), world.rulebook())[0] is Change.SAME
    assert judged(past(matched, ASKER), to_port()) == (Change.MOVED, "asker", PORT)
    both = replace(matched, copies=(copy, replace(copy, to=ENTERPRISE), *waiting.copies))
    assert recorded_effect(past(both, ASKER)).to == (ENTERPRISE, "asker")


def test_a_conflict_stays_one_whatever_the_rules() -> None:
    """It was refused because of another message; the rules would always have taken it."""
    assert change(Effect(False, "4201"), Effect(True, "0000", (CUSTOMS,))) is Change.SAME
    assert change(Effect(False, "4201"), Effect(False, "4106")) is Change.REASON


@pytest.mark.parametrize("keep", [0, 1, 5])
def test_a_tally_counts_all_and_lists_few(keep: int) -> None:
    """Counts add up over parts; the list holds the first of the changed, no more than asked for."""
    moved = [past(accepted(), seq=seq) for seq in range(3)]
    same = decide(world.declared(), to_port(), world.NOW)
    whole = tally([], keep)
    whole.merge(tally(judge([*moved[:2], past(same)], to_port()), keep))
    whole.merge(tally(judge(moved[2:], to_port()), keep))
    assert (whole.decided, whole.groups.total(), len(whole.groups)) == (4, 3, 1)
    assert [one.seq for one in whole.changed] == [0, 1, 2][:keep]
