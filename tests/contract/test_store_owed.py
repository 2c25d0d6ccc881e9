"""What the ledger promises of what is still owed: nothing is forgotten, nothing is claimed twice, pauses grow."""

from __future__ import annotations

from datetime import datetime

import pytest

from swexchange.core.identity import identity, lookups
from swexchange.core.model import BusinessKey, Entry, Fate, Outcome
from swexchange.store import FullLedger, open_ledger
from tests.contract import exchanges
from tests.contract.conftest import Database
from tests.contract.exchanges import ALICE, CUSTOMS, NOW, PORT, RULES, after

ENTRY = BusinessKey("EntryId", "530420261040012345")


def test_a_batch_left_behind_is_due_after_a_minute(ledger: FullLedger) -> None:
    """Copies of a batch that nobody settled are due a minute later, receipts too, equal to the first ones."""
    fresh, refused = exchanges.accepted(), exchanges.rejected()
    exchanges.record(ledger, fresh, refused)
    assert not ledger.due(after(seconds=59), 10)
    due = ledger.due(after(seconds=60), 10)
    assert sorted(due, key=lambda c: c.id) == sorted((*fresh.copies, *refused.copies), key=lambda c: c.id)


def test_a_settled_batch_is_never_due(ledger: FullLedger) -> None:
    """What was confirmed is done for good."""
    exchanges.deliver(ledger, exchanges.accepted(), exchanges.rejected())
    assert not ledger.due(after(days=365), 10)


def test_a_claimed_copy_is_not_due_again_for_a_minute(ledger: FullLedger, database: Database) -> None:
    """Two workers never take the same copies; a claim whose worker died ends after a minute."""
    exchanges.record(ledger, exchanges.accepted())
    with open_ledger(database.url) as other:
        assert len(ledger.due(after(seconds=60), 10)) == 2
        assert not other.due(after(seconds=119), 10)
        assert len(other.due(after(seconds=120), 10)) == 2


def test_a_batch_larger_than_the_limit_comes_in_parts(ledger: FullLedger) -> None:
    """Every copy comes, at most `limit` at a time, none twice."""
    decisions = [exchanges.accepted(f"M{n}") for n in range(25)]
    exchanges.record(ledger, *decisions)
    ids: list[str] = []
    while part := ledger.due(after(seconds=61), 20):
        assert len(part) <= 20
        ids += [copy.id for copy in part]
    assert sorted(ids) == sorted(copy.id for d in decisions for copy in d.copies)


@pytest.mark.parametrize("fate", [Fate.RETURNED, Fate.REFUSED, Fate.UNKNOWN])
def test_a_failed_copy_is_due_again_and_noted(ledger: FullLedger, database: Database, fate: Fate) -> None:
    """Whatever the failure, the copy is due 10 s later, and the trail says what happened and to whom."""
    fresh = exchanges.accepted(to=(CUSTOMS, PORT))
    ledger.settle(exchanges.record(ledger, fresh), [(fresh.copies[1], fate)], NOW)
    assert not ledger.due(after(seconds=9), 10)
    assert ledger.due(after(seconds=10), 10) == [fresh.copies[1]]
    event = {Fate.RETURNED: "returned", Fate.REFUSED: "refused", Fate.UNKNOWN: "unconfirmed"}[fate]
    ((found, detail),) = database.rows("SELECT event, detail FROM event")
    assert found == event
    assert PORT in detail


def test_pauses_double_up_to_ten_minutes(ledger: FullLedger) -> None:
    """A copy that fails again and again is tried after 10, 20, 40 ... 600, 600 seconds."""
    fresh = exchanges.accepted()
    copy = fresh.copies[0]
    ledger.settle(exchanges.record(ledger, fresh), [(copy, Fate.REFUSED)], NOW)
    now, pauses = NOW, []
    for _ in range(9):
        pause = next(s for s in (10, 20, 40, 80, 160, 320, 600, 601) if ledger.due(_later(now, s), 1))
        now = _later(now, pause)
        pauses.append(pause)
        ledger.mark([(copy, Fate.REFUSED)], now)
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]


def _later(now: datetime, seconds: float) -> datetime:
    return now + (after(seconds=seconds) - NOW)


def test_a_copy_confirmed_at_last_is_done(ledger: FullLedger, database: Database) -> None:
    """Once confirmed, a copy is owed no more, and the trail says that it was sent again."""
    fresh = exchanges.accepted()
    ledger.settle(exchanges.record(ledger, fresh), [(fresh.copies[0], Fate.UNKNOWN)], NOW)
    (copy,) = ledger.due(after(seconds=10), 10)
    ledger.mark([(copy, Fate.CONFIRMED)], after(seconds=11))
    assert not ledger.due(after(days=1), 10)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        assert book.known(lookups(fresh))[identity(fresh)].unsent == ()
    assert database.rows("SELECT event FROM event ORDER BY id") == [("unconfirmed",), ("resent",)]


def test_a_copy_failing_in_the_same_way_is_noted_once(ledger: FullLedger, database: Database) -> None:
    """A long outage does not fill the trail: one event for as long as the reason is the same."""
    fresh = exchanges.accepted()
    copy = fresh.copies[0]
    ledger.settle(exchanges.record(ledger, fresh), [(copy, Fate.RETURNED)], NOW)
    for n, fate in enumerate((Fate.RETURNED, Fate.RETURNED, Fate.REFUSED, Fate.REFUSED)):
        ledger.mark([(copy, fate)], after(hours=n))
    assert database.rows("SELECT event FROM event ORDER BY id") == [("returned",), ("refused",)]


def test_what_is_due_longest_comes_first(ledger: FullLedger) -> None:
    """However many copies for a dead queue are overdue, a copy for another queue comes before any of them again."""
    dead = [exchanges.accepted(f"M{n}") for n in range(60)]
    ledger.settle(exchanges.record(ledger, *dead), [(d.copies[0], Fate.REFUSED) for d in dead], NOW)
    late = exchanges.accepted("N1", to=(PORT,))
    ledger.settle(exchanges.record(ledger, late), [(late.copies[0], Fate.REFUSED)], after(seconds=5))
    taken: list[str] = []
    for n in range(10):
        part = ledger.due(after(seconds=20 + n), 10)
        ledger.mark([(copy, Fate.REFUSED) for copy in part], after(seconds=20 + n))
        taken += [copy.id for copy in part]
        if late.copies[0] in part:
            break
    assert late.copies[0].id == taken[-1]
    assert len(set(taken)) == len(taken) == 61


def test_a_clock_that_was_ahead_delays_nothing(ledger: FullLedger) -> None:
    """What a wrong clock put off by a year is due once the clock is right: copies, batches left behind, answers."""
    failed, left, answer = exchanges.accepted("M1"), exchanges.accepted("M2"), exchanges.waiting(answers=[ENTRY])
    ledger.settle(exchanges.record(ledger, failed), [(failed.copies[0], Fate.RETURNED)], after(days=365))
    with ledger.write(lookups(left), after(days=365), RULES) as book:
        book.record([Entry(identity(left), left)])
    exchanges.deliver(ledger, answer)
    ledger.waiting(after(days=365), 10)
    due = ledger.due(after(seconds=1), 10)
    assert sorted(copy.id for copy in due) == sorted(copy.id for copy in (failed.copies[0], *left.copies))
    assert [d.exchange_id for d in ledger.waiting(after(seconds=2), 10)] == [answer.exchange_id]


def test_a_failed_receipt_is_due_again_too(ledger: FullLedger) -> None:
    """A receipt that did not get through is owed like any other copy, byte for byte."""
    refused = exchanges.rejected()
    ledger.settle(exchanges.record(ledger, refused), [(refused.copies[0], Fate.UNKNOWN)], NOW)
    assert ledger.due(after(seconds=10), 10) == list(refused.copies)


def test_settling_after_the_sweep_loses_nothing(ledger: FullLedger) -> None:
    """A slow worker may settle a batch that another swept: its failed copies are still due."""
    fresh = exchanges.accepted(to=(CUSTOMS, PORT))
    number = exchanges.record(ledger, fresh)
    ledger.due(after(seconds=60), 10)
    ledger.settle(number, [(fresh.copies[0], Fate.RETURNED)], after(seconds=62))
    assert fresh.copies[0] in ledger.due(after(seconds=600), 10)


def test_an_answer_waits_with_growing_pauses(ledger: FullLedger) -> None:
    """A waiting answer is handed out when its time has come, then after 1, 2, 4 ... 60, 60 seconds."""
    answer = exchanges.waiting(answers=[ENTRY])
    exchanges.record(ledger, answer)
    now, pauses = after(seconds=1), []
    assert [d.exchange_id for d in ledger.waiting(now, 10)] == [answer.exchange_id]
    for _ in range(9):
        pause = next(s for s in (1, 2, 4, 8, 16, 32, 60, 61) if ledger.waiting(_later(now, s), 10))
        now = _later(now, pause)
        pauses.append(pause)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_matched_answer_is_accepted_and_its_copy_due_at_once(ledger: FullLedger, database: Database) -> None:
    """The answer's copy goes to the one who asked, with the bytes that came in; the trail says so."""
    question, answer = exchanges.accepted(keys=[ENTRY]), exchanges.waiting(answers=[ENTRY])
    exchanges.deliver(ledger, question)
    exchanges.deliver(ledger, answer)
    parent = exchanges.parent_of(question)
    with ledger.matching(after(seconds=5)) as book:
        assert [c.exchange_id for c in book.candidates(answer)[ENTRY]] == [question.exchange_id]
        book.match(answer, parent, exchanges.answer_copy(answer, parent))
    assert ledger.due(after(seconds=5), 10) == [exchanges.answer_copy(answer, parent)]
    assert not ledger.waiting(after(days=1), 10)
    assert database.rows("SELECT event FROM event") == [("matched",)]
    with ledger.write((), NOW, RULES) as book:
        assert book.known([identity(answer)])[identity(answer)].outcome is Outcome.ACCEPTED


def test_an_answer_is_matched_once(ledger: FullLedger) -> None:
    """Two workers that matched the same answer leave one copy."""
    question, answer = exchanges.accepted(keys=[ENTRY]), exchanges.waiting(answers=[ENTRY])
    exchanges.deliver(ledger, question)
    exchanges.deliver(ledger, answer)
    parent = exchanges.parent_of(question)
    for seconds in (5, 6):
        with ledger.matching(after(seconds=seconds)) as book:
            book.match(answer, parent, exchanges.answer_copy(answer, parent))
    assert ledger.due(after(seconds=7), 10) == [exchanges.answer_copy(answer, parent)]


def test_a_match_that_fails_leaves_the_answer_waiting(ledger: FullLedger) -> None:
    """An exception inside the transaction undoes the match."""
    answer = exchanges.waiting(answers=[ENTRY])
    exchanges.deliver(ledger, answer)
    parent = exchanges.parent_of(exchanges.accepted())
    with pytest.raises(RuntimeError, match="mid-way"), ledger.matching(NOW) as book:  # noqa: PT012
        book.match(answer, parent, exchanges.answer_copy(answer, parent))
        raise RuntimeError("mid-way")
    assert not ledger.due(after(minutes=5), 10)
    assert len(ledger.waiting(after(minutes=5), 10)) == 1


def test_the_receipt_of_a_waiting_answer_does_not_wait(ledger: FullLedger) -> None:
    """Only the answer itself waits: the receipt to its sender is owed from the start."""
    answer = exchanges.waiting(answers=[ENTRY])
    exchanges.record(ledger, answer)
    assert [copy.to for copy in ledger.due(after(seconds=61), 10)] == [CUSTOMS]


def test_what_a_repeat_finds_unsent_is_what_is_due(ledger: FullLedger) -> None:
    """Both ways to what is owed name the same copies."""
    fresh = exchanges.accepted(to=(CUSTOMS, PORT))
    ledger.settle(exchanges.record(ledger, fresh), [(copy, Fate.UNKNOWN) for copy in fresh.copies], NOW)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        unsent = book.known(lookups(fresh))[identity(fresh)].unsent
    assert set(ledger.due(after(seconds=10), 10)) == {*unsent, fresh.copies[-1]}
    assert {copy.to for copy in fresh.copies} == {CUSTOMS, PORT, ALICE}
