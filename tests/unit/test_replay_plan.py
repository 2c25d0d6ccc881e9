"""What a plan chooses of the past, to whom it sends it, and what it leaves out and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from swexchange.core.compare import Judged, Past, PastCopy
from swexchange.core.conclude import taken_at
from swexchange.core.decide import decide
from swexchange.core.model import Decision, Kind, Outcome, Parent
from swexchange.core.replay import Does, How, Item, Left, Parcel, Scope, plan, waves
from swexchange.core.rulebook import Route, Rulebook
from swexchange.replay.plan import Planning
from swexchange.replay.whatif import judge
from tests import world
from tests.world import CUSTOMS, ENTERPRISE, PORT

RESEND, DECIDE = Scope(How.RESEND), Scope(How.DECIDE)
TO_BOTH = world.rulebook(routes=(Route("both", 1, (CUSTOMS, PORT)),))
STRICT = world.permitting(ENTERPRISE, sends=frozenset({"CEB621Message"}))


def nobody(_: Collection[str]) -> set[str]:
    """No accepted message holds any of these identities."""
    return set()


def again(decision: Decision, rules: Rulebook | None = None, parent: Parent | None = None, sent: bool = True) -> Judged:
    """A recorded decision beside what today's rules make of it."""
    copies = tuple(PastCopy(copy.kind, copy.to, sent) for copy in decision.copies)
    (one,) = judge([Past(7, replace(decision, copies=()), parent, copies)], rules or world.rulebook())
    return one


def accepted(rules: Rulebook | None = None) -> Decision:
    return decide(world.declared(), rules or world.rulebook(), world.NOW)


def targets(found: Item | Left) -> list[tuple[str, str, bool]]:
    assert isinstance(found, Item), found
    return [(t.kind, t.to, t.repeat) for t in found.targets]


def test_resending_sends_the_stored_copies_to_who_got_them() -> None:
    """Whatever today's rules say; receipts when asked for, destinations when chosen."""
    one = again(accepted(TO_BOTH), world.rulebook(routes=()))
    assert targets(plan(one, RESEND)) == [("message", CUSTOMS, True), ("message", PORT, True)]
    assert targets(plan(one, replace(RESEND, receipts=True)))[2:] == [("receipt", ENTERPRISE, True)]
    assert targets(plan(one, replace(RESEND, to=frozenset({PORT})))) == [("message", PORT, True)]
    assert plan(one, replace(RESEND, to=frozenset({"nobody"}))) is Left.ELSEWHERE


def test_a_refused_message_has_nothing_to_resend_but_its_receipt() -> None:
    """Its receipt can be sent again; nothing else ever was."""
    one = again(accepted(STRICT))
    assert plan(one, RESEND) is Left.NOTHING
    assert targets(plan(one, replace(RESEND, receipts=True))) == [("receipt", ENTERPRISE, True)]


def test_what_the_daemon_still_owes_is_left_to_it() -> None:
    """A copy that is due goes out by itself: a replay would make it two."""
    assert plan(again(accepted(), sent=False), RESEND) is Left.OWED
    assert plan(again(accepted(), sent=False), DECIDE) is Left.OWED
    late = again(accepted(), TO_BOTH, sent=False)
    assert targets(plan(late, DECIDE)) == [("message", PORT, False)]


def test_what_an_operator_gave_up_may_be_sent_after_all() -> None:
    """Nobody else sends it; and to its receiver it is new."""
    one = again(accepted(), TO_BOTH)
    one = replace(one, copies=(PastCopy(Kind.MESSAGE, CUSTOMS, sent=False, dropped=True),))
    assert targets(plan(one, replace(RESEND, only_new=True))) == [("message", CUSTOMS, False)]
    assert targets(plan(one, DECIDE)) == [("message", CUSTOMS, False), ("message", PORT, False)]


def test_deciding_again_sends_where_todays_rules_say() -> None:
    """New destinations and repeats are told apart, and repeats can be left out."""
    one = again(accepted(), TO_BOTH)
    assert targets(plan(one, DECIDE)) == [("message", CUSTOMS, True), ("message", PORT, False)]
    assert targets(plan(one, replace(DECIDE, only_new=True))) == [("message", PORT, False)]
    assert plan(again(accepted()), replace(DECIDE, only_new=True)) is Left.ELSEWHERE
    assert plan(again(accepted(), STRICT), DECIDE) is Left.REFUSED


def test_an_answer_goes_to_who_asked() -> None:
    """The recorded parent says whom `asker` means; without one there is nobody yet."""
    waiting = decide(world.answered(world.import_response()), world.rulebook(), world.NOW)
    matched = replace(waiting, outcome=Outcome.ACCEPTED, copies=())
    one = again(matched, parent=Parent("0" * 32, ENTERPRISE, "MSG-0001"))
    assert targets(plan(one, DECIDE)) == [("message", ENTERPRISE, False)]
    assert plan(again(waiting), DECIDE) is Left.ELSEWHERE


def test_what_was_refused_is_accepted_whole_or_not_at_all() -> None:
    """All destinations and a receipt; a choice that leaves one out leaves the message out."""
    one = again(accepted(STRICT), TO_BOTH)
    item = plan(one, DECIDE)
    assert isinstance(item, Item)
    assert item.does is Does.ACCEPT
    assert targets(item) == [("message", CUSTOMS, False), ("message", PORT, False), ("receipt", ENTERPRISE, False)]
    assert plan(one, replace(DECIDE, to=frozenset({PORT}))) is Left.ELSEWHERE
    assert plan(one, replace(DECIDE, to=frozenset({PORT, CUSTOMS}))) == item


def test_a_refused_message_whose_id_is_taken_is_left() -> None:
    """Its id belongs to an accepted message: in a conflict, or because it was accepted since."""
    one = again(accepted(STRICT))
    assert plan(one, DECIDE, is_taken=True) is Left.TAKEN
    planning = Planning(DECIDE, 0)
    assert planning.choose([one], set).items == []
    assert planning.left == {Left.TAKEN: 1}


def test_of_several_refused_under_one_id_the_last_is_meant() -> None:
    """The sender corrected it: the earlier ones are taken out again, also when they came long before."""
    earlier, later, other = (replace(again(accepted(STRICT)), seq=seq) for seq in (1, 2, 3))
    other = replace(other, message_id="MSG-0002")
    planning = Planning(DECIDE, 0)
    assert [item.seq for item in planning.choose([earlier], nobody).items] == [1]
    choice = planning.choose([later, other], nobody)
    assert ([item.seq for item in choice.items], choice.dropped) == ([2, 3], [1])
    assert (planning.items, planning.accepted, planning.left) == (2, 2, {Left.SUPERSEDED: 1})
    assert {send["copies"] for send in planning.effect(9)["sends"]} == {2}


def test_a_plan_counts_what_it_does() -> None:
    """Found, chosen, copies by receiver, left out and why, and what today's rules would do otherwise."""
    found = [again(accepted(), TO_BOTH), again(accepted(STRICT), TO_BOTH), again(accepted(), STRICT)]
    planning = Planning(DECIDE, 0)
    assert [item.does for item in planning.choose(found, nobody).items] == [Does.SEND, Does.ACCEPT]
    effect = planning.effect(9)
    assert (effect["found"], effect["items"], effect["accepted_anew"]) == (3, 2, 1)
    assert {(s["kind"], s["to"], s["repeats"]): s["copies"] for s in effect["sends"]} == {
        ("message", CUSTOMS, True): 1,
        ("message", CUSTOMS, False): 1,
        ("message", PORT, False): 2,
        ("receipt", ENTERPRISE, False): 1,
    }
    assert effect["left_out"] == [{"why": Left.REFUSED, "exchanges": 1}]
    assert {g["change"] for g in effect["today_differs"]} == {"moved", "accepted", "refused"}


def test_a_plan_with_a_limit_takes_the_first() -> None:
    """So many and no more."""
    planning = Planning(RESEND, 2)
    assert len(planning.choose([again(accepted())] * 5, nobody).items) == 2
    assert planning.is_full
    assert planning.choose([again(accepted())], nobody).items == []
    assert not Planning(RESEND, 0).is_full


@pytest.mark.parametrize(
    ("lanes", "groups"),
    [
        ([], []),
        (["", "", ""], [[0, 1, 2]]),
        (["A", "B", "A", "A", "C", ""], [[0, 1, 4, 5], [2], [3]]),
        (["A", "B", "B", "A"], [[0, 1], [2, 3]]),
    ],
)
def test_what_is_of_one_lane_goes_one_after_the_other(lanes: list[str], groups: list[list[int]]) -> None:
    """All that is free of each other goes at once; order is kept for the rest."""
    parcels = [Parcel(n, str(n), lane, ()) for n, lane in enumerate(lanes)]
    assert list(waves(parcels)) == groups


def test_a_decision_taken_later_is_the_same_but_for_its_number() -> None:
    """Judged as of the receipt, recorded as of today: a new exchange id, the same message, its own receipt."""
    then, today = accepted(), world.NOW + timedelta(days=30)
    now = taken_at(then, world.rulebook(), today)
    assert (now.received_at, now.outcome, now.digest) == (today, then.outcome, then.digest)
    assert now.exchange_id != then.exchange_id
    assert {copy.exchange_id for copy in now.copies} == {now.exchange_id}
    (message, receipt), (first_message, first_receipt) = now.copies, then.copies
    assert (message.id, message.kind, receipt.kind) == (first_message.id, Kind.MESSAGE, Kind.RECEIPT)
    assert receipt.id != first_receipt.id
    assert now.exchange_id in world.texts(world.receipt(now), "Note")[0]
