"""A participant's day counted, on both databases: every message is accounted for, or the account says which is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import count

import pytest

from swexchange.core.checkpoint import Note
from swexchange.core.codes import HELD
from swexchange.core.identity import first_id
from swexchange.core.model import BusinessKey, Event, Fate, Happening, Kind
from swexchange.core.reconcile import Account, Became, Item, Line, Side, Standing, bounds
from swexchange.errors import ConfigFault
from swexchange.evidence.reconcile import covered, signed_document
from swexchange.evidence.sealer import Sealer
from swexchange.store import FullLedger, Tally, open_backlog, open_tally
from tests.contract.conftest import Database, change
from tests.contract.exchanges import (
    ALICE,
    BOB,
    CUSTOMS,
    NOW,
    PORT,
    accepted,
    after,
    answer_copy,
    deliver,
    parent_of,
    record,
    rejected,
    waiting,
)
from tests.contract.place import KEY, ORIGIN

DAY, NEXT = date(2026, 3, 2), date(2026, 3, 3)


@pytest.fixture
def tally(database: Database) -> Iterator[Tally]:
    with open_tally(database.url) as opened:
        yield opened


@pytest.fixture
def log(tally: Tally) -> Tally:
    return tally


def account(tally: Tally, day: date, participant: str) -> Account:
    """The account of one: the same by itself and among all."""
    (found,) = tally.accounts(day, participant)
    among = {one.participant: one for one in tally.accounts(day)}
    assert among.get(participant, Account(day, participant)) == found
    return found


def whats(items: list[Item]) -> list[tuple[Side, Standing, str, str]]:
    return [(i.side, i.standing, i.message_id, i.what) for i in items]


def test_a_quiet_day_is_accounted_for(ledger: FullLedger, tally: Tally) -> None:
    deliver(ledger, accepted("M1"), accepted("M2", to=(CUSTOMS, PORT)), rejected(b"<a/>"))
    deliver(ledger, accepted("B1", BOB), rejected(b"<b/>", BOB))
    found = account(tally, DAY, ALICE)
    assert [str(equation) for equation in found.equations] == [
        "received 3 = accepted 2 + rejected 1 + waiting 0 + held 0",
        "accepted 2 = delivered 2 + owed 0 + dropped 0",
        "receipts 3 = delivered 3 + owed 0 + dropped 0 + none 0",
        "copies 0 = delivered 0 + owed 0 + dropped 0",
    ]
    assert (found.holds, found.items) == (True, [])
    agency = account(tally, DAY, CUSTOMS)
    assert str(agency.equations[3]) == "copies 3 = delivered 3 + owed 0 + dropped 0"
    assert agency.received == 0
    assert agency.holds
    assert [one.participant for one in tally.accounts(DAY)] == sorted([ALICE, BOB, CUSTOMS, PORT])


def test_the_day_is_that_of_the_place(ledger: FullLedger, tally: Tally) -> None:
    """From midnight to midnight in China, by the time of receipt; both ends exactly."""
    first, end = bounds(DAY)
    for n, at in enumerate((first - (NOW - after(seconds=-1)), first, end - (NOW - after(seconds=-1)), end)):
        deliver(ledger, accepted(f"M{n}", at=at), now=at)
    assert [account(tally, day, ALICE).received for day in (date(2026, 3, 1), DAY, NEXT)] == [1, 2, 1]
    assert [line.message_id for line in tally.lines(DAY, ALICE, Side.SENDER)] == ["M1", "M2"]


def test_what_is_open_is_listed_on_both_sides(ledger: FullLedger, tally: Tally) -> None:
    """Being sent, due, queued, waiting, held, and a receipt that found no queue."""
    unsettled, due, queued, untold = accepted("M1"), accepted("M2"), accepted("M3"), accepted("M4")
    record(ledger, unsettled)
    ledger.settle(record(ledger, due), [(due.copies[0], Fate.RETURNED)], NOW)
    ledger.settle(record(ledger, queued, remote=frozenset({CUSTOMS})), (), NOW)
    ledger.settle(record(ledger, untold), [(untold.copies[1], Fate.REFUSED)], NOW)
    deliver(ledger, rejected(b"<held/>", code=HELD), waiting())
    found = account(tally, DAY, ALICE)
    assert found.holds
    assert [str(equation) for equation in found.equations[:3]] == [
        "received 5 = accepted 4 + rejected 0 + waiting 0 + held 1",
        "accepted 4 = delivered 1 + owed 3 + dropped 0",
        "receipts 5 = delivered 3 + owed 2 + dropped 0 + none 0",
    ]
    mine = Side.SENDER, Standing.OPEN
    assert sorted(whats(found.items)) == [
        (*mine, "", "is held for an operator"),
        (*mine, "M1", f"message for {CUSTOMS} is unsettled, 0 tries"),
        (*mine, "M1", f"receipt for {ALICE} is unsettled, 0 tries"),
        (*mine, "M2", f"message for {CUSTOMS} is due, 1 tries"),
        (*mine, "M3", f"message for {CUSTOMS} is queued, 0 tries"),
        (*mine, "M4", f"receipt for {ALICE} is due, 1 tries"),
    ]
    agency = account(tally, DAY, CUSTOMS)
    assert str(agency.equations[3]) == "copies 4 = delivered 1 + owed 3 + dropped 0"
    assert str(agency.equations[0]) == "received 1 = accepted 0 + rejected 0 + waiting 1 + held 0"
    theirs = Side.RECEIVER, Standing.OPEN
    assert sorted(whats(agency.items)) == [
        (*theirs, "M1", f"message for {CUSTOMS} is unsettled, 0 tries"),
        (*theirs, "M2", f"message for {CUSTOMS} is due, 1 tries"),
        (*theirs, "M3", f"message for {CUSTOMS} is queued, 0 tries"),
        (Side.SENDER, Standing.OPEN, "Z1", "waits for the message that it answers"),
    ]


def test_an_answer_that_found_its_parent_is_accepted(ledger: FullLedger, tally: Tally) -> None:
    asked, answer = accepted("M1", keys=[BusinessKey("EntryId", "1")]), waiting(answers=[BusinessKey("EntryId", "1")])
    deliver(ledger, asked, answer)
    with ledger.matching(NOW) as book:
        book.match(answer, parent_of(asked), answer_copy(answer, parent_of(asked)))
    assert account(tally, DAY, CUSTOMS).became == {Became("accepted", "owed", "delivered"): 1}
    (item,) = account(tally, DAY, ALICE).items
    assert (item.side, item.what) == (Side.RECEIVER, f"message for {ALICE} is due, 0 tries")


def test_what_an_operator_decided_is_closed_and_names_him(ledger: FullLedger, tally: Tally, database: Database) -> None:
    """A copy given up, a held message released; without the event it is wrong, whatever the sums say."""
    queued, held = accepted("M1"), rejected(b"<held/>", code=HELD)
    ledger.settle(record(ledger, queued, remote=frozenset({CUSTOMS})), (), NOW)
    deliver(ledger, held)
    deliver(ledger, rejected(b"<held/>", at=after(minutes=1)))
    with open_backlog(database.url) as backlog:
        assert backlog.drop(queued.exchange_id, CUSTOMS, "wang@sw: withdrawn", NOW) == 1
    found = account(tally, DAY, ALICE)
    assert str(found.equations[1]) == "accepted 1 = delivered 0 + owed 0 + dropped 1"
    assert found.holds
    assert sorted(whats(found.items)) == [
        (Side.SENDER, Standing.CLOSED, "", "was held; its bytes were decided later, as another exchange"),
        (Side.SENDER, Standing.CLOSED, "M1", f"message for {CUSTOMS} was given up: wang@sw: withdrawn"),
    ]
    change(database, "DELETE FROM event")
    found = account(tally, DAY, ALICE)
    assert not found.holds
    assert found.count(Standing.WRONG) == 1


def test_an_accepted_message_without_a_copy_is_not_accounted_for(
    ledger: FullLedger, tally: Tally, database: Database
) -> None:
    deliver(ledger, accepted("M1"), accepted("M2"))
    change(database, "DELETE FROM copy WHERE kind = 'message' AND seq = (SELECT max(seq) FROM exchange)")
    found = account(tally, DAY, ALICE)
    assert str(found.equations[1]) == "accepted 2 = delivered 1 + owed 0 + dropped 0"
    assert not found.holds
    assert whats(found.items) == [(Side.SENDER, Standing.WRONG, "M2", "was accepted, and no copy of it stands here")]


@pytest.mark.parametrize("kind", ["message", "receipt"])
def test_a_copy_in_no_state_that_there_is_is_not_called_delivered(
    ledger: FullLedger, tally: Tally, database: Database, kind: str
) -> None:
    """Somebody wrote another word there: nobody sends the copy any more, and the sums must not hold."""
    deliver(ledger, accepted("M1"), accepted("M2"))
    change(database, f"UPDATE copy SET state = 'given' WHERE kind = '{kind}' AND seq = (SELECT max(seq) FROM exchange)")
    found = account(tally, DAY, ALICE)
    name = "accepted" if kind == "message" else "receipts"
    (sums,) = [one for one in found.equations if one.name == name]
    assert (sums.total, sums.parts["delivered"], sums.holds) == (2, 1, False)
    (item,) = found.items
    assert (item.standing, item.message_id) == (Standing.WRONG, "M2")
    assert not account(tally, DAY, CUSTOMS).holds or kind == "receipt"
    assert len(tally.lines(DAY, CUSTOMS, Side.RECEIVER)) == (1 if kind == "message" else 2)


def test_what_nobody_signed_counts_for_whose_exchange_it_came_through(ledger: FullLedger, tally: Tally) -> None:
    deliver(ledger, replace(rejected(b"<junk/>", BOB), sender="", copies=()))
    assert str(account(tally, DAY, BOB).equations[0]) == "received 1 = accepted 0 + rejected 1 + waiting 0 + held 0"
    assert str(account(tally, DAY, BOB).equations[2]) == "receipts 1 = delivered 0 + owed 0 + dropped 0 + none 1"
    assert [one.participant for one in tally.accounts(DAY)] == [BOB]


def test_the_lists_of_both_sides(ledger: FullLedger, tally: Tally) -> None:
    sent, owed, refused = accepted("M1"), accepted("M2"), rejected(b"<a/>")
    deliver(ledger, sent, refused)
    record(ledger, owed)
    lines = tally.lines(DAY, ALICE, Side.SENDER)
    wanted = sorted((d.exchange_id, d.digest, d.message_id, str(d.outcome)) for d in (sent, owed, refused))
    assert [(r.exchange_id, r.digest, r.message_id, r.outcome) for r in lines] == wanted
    (line,) = tally.lines(DAY, CUSTOMS, Side.RECEIVER)
    assert (line.exchange_id, line.digest, line.outcome) == (sent.exchange_id, sent.digest, "delivered")
    assert tally.lines(NEXT, ALICE, Side.SENDER) == []


def test_a_message_is_found_on_another_day(ledger: FullLedger, tally: Tally) -> None:
    """By its id or its digest; only where the same participant sent it."""
    mine = accepted("M1", at=after(days=-2))
    deliver(ledger, mine, now=after(days=-2))
    assert tally.elsewhere(ALICE, "M1") == [(mine.exchange_id, after(days=-2))]
    assert tally.elsewhere(ALICE, mine.digest.hex()) == [(mine.exchange_id, after(days=-2))]
    assert tally.elsewhere(BOB, "M1") == tally.elsewhere(ALICE, "M2") == tally.elsewhere(ALICE, "z" * 64) == []


def test_the_checkpoint_is_the_first_that_covers_the_day(ledger: FullLedger, tally: Tally, sealer: Sealer) -> None:
    """The same for good, however the log grows; one that a witness has signed goes first."""
    assert tally.covering(*bounds(DAY)) is None
    deliver(ledger, accepted("M1"))
    assert tally.covering(*bounds(DAY)) is None
    sealer.seal()
    first = tally.covering(*bounds(DAY))
    assert first
    assert first.size == 1
    deliver(ledger, accepted("M2", at=after(days=1)), now=after(days=1))
    assert tally.covering(*bounds(DAY)) == first
    assert tally.covering(*bounds(NEXT)) is None
    sealer.seal()
    assert tally.covering(*bounds(DAY)) == first
    later = tally.covering(*bounds(NEXT))
    assert later
    assert later.size == 2
    assert tally.covering(*bounds(date(2026, 3, 9))) == later, "a day without messages: what came before is covered"
    assert tally.covering(*bounds(date(2020, 1, 1))) == first, "a day before the log: nothing of it is missing"
    tally.cosigned(2, later.note, 1)
    assert tally.covering(*bounds(DAY)) == later
    deliver(ledger, accepted("M3"))
    assert tally.covering(*bounds(DAY)) is None, "one of the day came late"


def reconciled(tally: Tally, about: Account, lines: tuple[Side, Sequence[Line]] | None, now: datetime) -> str:
    return signed_document(covered(tally, about.day), about, lines, ORIGIN, KEY, now)


def test_the_document_is_the_same_for_the_same_facts(ledger: FullLedger, tally: Tally, sealer: Sealer) -> None:
    deliver(ledger, accepted("M1"))
    with pytest.raises(ConfigFault, match="not everything of this day is sealed"):
        reconciled(tally, account(tally, DAY, ALICE), None, after(days=1))
    sealer.seal()
    lines = Side.SENDER, tally.lines(DAY, ALICE, Side.SENDER)
    made = [reconciled(tally, account(tally, DAY, ALICE), lines, after(days=d)) for d in (1, 5)]
    assert made[0] == made[1]
    note = Note.read(made[0])
    assert note.by(sealer.verifier)
    assert note.text.split("\n")[:5] == [
        "swexchange-reconciliation/v1",
        f"origin {ORIGIN}",
        "day 2026-03-02 +08:00",
        f"participant {ALICE}",
        "state final",
    ]
    early = reconciled(tally, account(tally, DAY, ALICE), None, NOW)
    assert "state as of 2026-03-02T09:30:00+08:00" in early


def test_a_day_from_which_messages_are_gone_is_not_signed(
    ledger: FullLedger, tally: Tally, sealer: Sealer, database: Database
) -> None:
    """Whatever is left would add up; the log knows better."""
    for days in (-1, 0, 0, 1, 2):
        number = next(_numbers)
        deliver(ledger, accepted(f"M{number}", at=after(days=days, seconds=number)), now=after(days=days))
        sealer.seal()
    assert [tally.missing(*bounds(day)) for day in (date(2026, 3, 1), DAY, NEXT)] == [0, 0, 0]
    change(database, "DELETE FROM exchange WHERE seq IN (SELECT seq FROM exchange ORDER BY seq LIMIT 1 OFFSET 2)")
    assert [tally.missing(*bounds(day)) for day in (date(2026, 3, 1), DAY, NEXT)] == [0, 1, 1], (
        "at its end: of which day?"
    )
    (left,) = tally.accounts(DAY, ALICE)
    with pytest.raises(ConfigFault, match="1 messages that were sealed are no longer in the database"):
        reconciled(tally, left, None, after(days=9))
    change(database, f"DELETE FROM exchange WHERE exchange_id < '{first_id(bounds(NEXT)[0])}'")
    assert tally.missing(*bounds(DAY)) == 3, "and the day before is gone too"


def test_a_clock_that_jumped_is_no_loss(ledger: FullLedger, tally: Tally, sealer: Sealer) -> None:
    for number, days in enumerate((0, 3, 0, 3, 0)):
        deliver(ledger, accepted(f"J{number}", at=after(days=days, seconds=number)), now=after(days=days))
        sealer.seal()
    for day in (DAY, NEXT, date(2026, 3, 5)):
        assert tally.missing(*bounds(day)) == 0


_numbers = count()


def test_events_of_repeats_change_nothing(ledger: FullLedger, tally: Tally) -> None:
    mine = accepted("M1")
    deliver(ledger, mine)
    before = account(tally, DAY, ALICE)
    with ledger.write({"again"}, NOW, "") as book:
        book.note([Happening(mine.exchange_id, Event.REPEATED)])
    assert account(tally, DAY, ALICE) == before
    assert mine.copies[0].kind is Kind.MESSAGE
