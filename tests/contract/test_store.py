"""What the ledger promises of a batch: recorded whole or not at all, and recognised when it comes again."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from swexchange.core.identity import claim, identity, lookups
from swexchange.core.model import (
    BusinessKey,
    Candidate,
    Entry,
    Event,
    Fate,
    Happening,
    Kind,
    Outcome,
    Parent,
)
from swexchange.store import FullLedger
from tests.contract import exchanges
from tests.contract.conftest import Database
from tests.contract.exchanges import ALICE, BOB, CUSTOMS, NOW, PORT, RULES, after

ENTRY = BusinessKey("EntryId", "530420261040012345")
BILL = BusinessKey("BillNo", "COSU6300001234")


def test_a_repeat_finds_outcome_and_receipt_as_they_were(ledger: FullLedger) -> None:
    """A known identity brings back digest, outcome, code and the receipt with its very bytes and id."""
    fresh = exchanges.accepted()
    exchanges.deliver(ledger, fresh)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        known = book.known(lookups(fresh))
    assert set(known) == {identity(fresh)}
    stored = known[identity(fresh)]
    assert (stored.exchange_id, stored.digest) == (fresh.exchange_id, fresh.digest)
    assert (stored.outcome, stored.code) == (Outcome.ACCEPTED, "0000")
    assert stored.receipt == fresh.receipt
    assert stored.unsent == ()


def test_a_refused_message_is_known_by_its_bytes(ledger: FullLedger) -> None:
    """A rejection stands under submitter and digest, with its code and its receipt."""
    fresh = exchanges.rejected(b"\x00 not \xff xml", code="0001")
    exchanges.deliver(ledger, fresh)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        stored = book.known(lookups(fresh))[identity(fresh)]
    assert (stored.outcome, stored.code, stored.receipt) == (Outcome.REJECTED, "0001", fresh.receipt)


def test_copies_that_no_broker_confirmed_come_back_with_a_repeat(ledger: FullLedger) -> None:
    """Before the batch is settled every message copy is unsent; the receipt is not among them."""
    fresh = exchanges.accepted(to=(CUSTOMS, PORT))
    exchanges.record(ledger, fresh)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        stored = book.known(lookups(fresh))[identity(fresh)]
    assert stored.unsent == tuple(copy for copy in fresh.copies if copy.kind is Kind.MESSAGE)
    assert stored.receipt == fresh.receipt


def test_a_copy_that_failed_stays_unsent_alone(ledger: FullLedger) -> None:
    """After settling, only the copies that failed are owed."""
    fresh = exchanges.accepted(to=(CUSTOMS, PORT))
    ledger.settle(exchanges.record(ledger, fresh), [(fresh.copies[1], Fate.RETURNED)], NOW)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        stored = book.known(lookups(fresh))[identity(fresh)]
    assert [copy.to for copy in stored.unsent] == [PORT]


def test_a_copy_marked_confirmed_before_its_batch_is_settled_is_not_owed(ledger: FullLedger) -> None:
    """What a repeat sent again and the broker confirmed is done, whatever became of the batch."""
    fresh = exchanges.accepted()
    exchanges.record(ledger, fresh)
    ledger.mark([(fresh.copies[0], Fate.CONFIRMED)], NOW)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        assert book.known(lookups(fresh))[identity(fresh)].unsent == ()


def test_an_exception_leaves_nothing(ledger: FullLedger, database: Database) -> None:
    """A transaction that its caller leaves by an exception has recorded nothing at all."""
    fresh = exchanges.accepted(keys=[ENTRY])
    with pytest.raises(RuntimeError, match="mid-way"), ledger.write(lookups(fresh), NOW, RULES) as book:  # noqa: PT012
        book.record([Entry(identity(fresh), fresh)])
        book.note([Happening(fresh.exchange_id, Event.REPEATED)])
        raise RuntimeError("mid-way")
    for table in ("batch", "exchange", "copy", "business_key", "event"):
        assert database.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    exchanges.record(ledger, fresh)


def test_several_calls_record_in_one_batch_in_order(ledger: FullLedger, database: Database) -> None:
    """Entries of two calls stand under one batch, in the order given."""
    decisions = [exchanges.accepted(f"M{n}") for n in range(5)]
    with ledger.write((), NOW, RULES) as book:
        book.record([Entry(identity(d), d) for d in decisions[:3]])
        book.record([Entry(identity(d), d) for d in decisions[3:]])
    found = database.rows("SELECT message_id, batch_id FROM exchange ORDER BY seq")
    assert found == [(f"M{n}", book.batch) for n in range(5)]


def test_a_full_batch_of_the_broker_fits(ledger: FullLedger, database: Database) -> None:
    """2,000 messages in one transaction: nothing overflows, every one is found again."""
    decisions = [exchanges.accepted(f"M{n}") for n in range(2000)]
    exchanges.deliver(ledger, *decisions)
    names = {name for decision in decisions for name in lookups(decision)}
    with ledger.write(names, NOW, RULES) as book:
        assert len(book.known(names)) == 2000
    assert database.rows("SELECT count(*) FROM copy") == [(4000,)]


def test_rules_and_times_stand_with_the_batch(ledger: FullLedger, database: Database) -> None:
    """The digest of the rules, the time of the commit and of the settling can be read, to the microsecond."""
    number = exchanges.record(ledger, exchanges.accepted())
    ledger.settle(number, (), after(milliseconds=1500))
    at = 1772415000123456
    assert database.rows("SELECT id, rules_digest, committed_at, settled_at FROM batch") == [
        (number, RULES, at, at + 1_500_000)
    ]
    assert database.rows("SELECT received_at FROM exchange") == [(at,)]


def test_texts_of_any_script_come_back_equal(ledger: FullLedger) -> None:
    """Ids with quotes, percent signs, backslashes, Chinese, astral and control characters are only data."""
    odd = "ID'\"%s:x\\{}\t\n报关𠮷\u202e\ufffd"
    fresh = exchanges.accepted(odd, keys=[BusinessKey(odd, odd)])
    exchanges.deliver(ledger, fresh)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        stored = book.known([claim(ALICE, odd)])[claim(ALICE, odd)]
        found = book.candidates(exchanges.waiting(answers=[BusinessKey(odd, odd)]))
    assert stored.receipt == fresh.receipt
    assert [c.message_id for c in found[BusinessKey(odd, odd)]] == [odd]


def test_the_longest_ids_and_keys_are_storable(ledger: FullLedger) -> None:
    """255 four-byte characters as message id and 128 as key name and value fit every index."""
    message_id, long = "𠮷" * 255, "𠮷" * 128
    fresh = exchanges.accepted(message_id, keys=[BusinessKey(long, long)])
    exchanges.deliver(ledger, fresh)
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        assert book.known(lookups(fresh))[identity(fresh)].receipt == fresh.receipt
        answer = exchanges.waiting(answers=[BusinessKey(long, long)])
        assert len(book.candidates(answer)[BusinessKey(long, long)]) == 1


def test_candidates_say_who_got_the_message(ledger: FullLedger) -> None:
    """An accepted exchange is found by a key it carries, with sender, id and the agencies that have it."""
    fresh = exchanges.accepted(to=(CUSTOMS, PORT), keys=[ENTRY, BILL])
    exchanges.deliver(ledger, fresh, exchanges.accepted("M2"), exchanges.rejected())
    with ledger.write((), NOW, RULES) as book:
        found = book.candidates(exchanges.waiting(answers=[ENTRY, BILL, BusinessKey("EntryId", "unknown")]))
    candidate = Candidate(fresh.exchange_id, ALICE, "M1", frozenset({CUSTOMS, PORT}), None)
    assert {key: list(value) for key, value in found.items() if value} == {ENTRY: [candidate], BILL: [candidate]}


def test_candidates_are_exact_in_name_and_value(ledger: FullLedger) -> None:
    """The same value under another name, or a longer value, is another key."""
    exchanges.deliver(ledger, exchanges.accepted("M1", keys=[BusinessKey("SeqNo", ENTRY.value)]))
    exchanges.deliver(ledger, exchanges.accepted("M2", keys=[BusinessKey("EntryId", ENTRY.value + "0")]))
    with ledger.write((), NOW, RULES) as book:
        assert not book.candidates(exchanges.waiting(answers=[ENTRY])).get(ENTRY)


def test_the_candidate_is_the_oldest_and_neither_refused_nor_waiting(ledger: FullLedger) -> None:
    """Only accepted exchanges answer for a key, and of these the one that was recorded first."""
    exchanges.deliver(ledger, exchanges.waiting("Z0", [ENTRY]))
    for n in range(3):
        exchanges.deliver(ledger, exchanges.accepted(f"M{n}", keys=[ENTRY], at=after(seconds=n)))
    exchanges.deliver(ledger, replace(exchanges.rejected(), keys=(ENTRY,)))
    with ledger.write((), NOW, RULES) as book:
        assert [c.message_id for c in book.candidates(exchanges.waiting(answers=[ENTRY]))[ENTRY]] == ["M0"]


def test_many_messages_of_others_with_a_key_hide_no_asker(ledger: FullLedger) -> None:
    """Whoever sent them, and however many: an answer that names who asked finds what that one sent."""
    exchanges.record(ledger, *(exchanges.accepted(f"R{n}", BOB, keys=[ENTRY]) for n in range(300)))
    exchanges.record(ledger, exchanges.accepted("M1", keys=[ENTRY]))
    answer = replace(exchanges.waiting(answers=[ENTRY]), askers=(ALICE,))
    with ledger.write((), NOW, RULES) as book:
        assert [c.message_id for c in book.candidates(answer)[ENTRY]] == ["M1"]


def test_many_messages_to_others_with_a_key_hide_no_question(ledger: FullLedger) -> None:
    """What was not delivered to who answers is no question to it, nor is what it sent itself to nobody's question."""
    elsewhere = [exchanges.accepted(f"R{n}", BOB, to=(PORT,), keys=[ENTRY]) for n in range(300)]
    own = [exchanges.accepted(f"C{n}", CUSTOMS, to=(ALICE,), keys=[ENTRY]) for n in range(300)]
    exchanges.record(ledger, *elsewhere, *own, exchanges.accepted("M1", keys=[ENTRY]))
    with ledger.write((), NOW, RULES) as book:
        found = book.candidates(exchanges.waiting(answers=[ENTRY]))
    assert [c.message_id for c in found[ENTRY]] == ["M1"]


def test_candidates_among_this_very_batch(ledger: FullLedger) -> None:
    """An answer finds the message it belongs to when both stand in one batch."""
    fresh = exchanges.accepted(keys=[ENTRY])
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        book.record([Entry(identity(fresh), fresh)])
        assert [c.exchange_id for c in book.candidates(exchanges.waiting(answers=[ENTRY]))[ENTRY]] == [
            fresh.exchange_id
        ]


def test_an_answered_exchange_names_its_asker(ledger: FullLedger) -> None:
    """An answer recorded with its parent is a candidate that says whom it answered."""
    question = exchanges.accepted(keys=[ENTRY])
    exchanges.deliver(ledger, question)
    parent = exchanges.parent_of(question)
    answer = exchanges.waiting("Z1", [ENTRY])
    copies = exchanges.answer_copy(answer, parent), *answer.copies
    matched = replace(answer, outcome=Outcome.ACCEPTED, copies=copies, keys=(ENTRY, BILL))
    exchanges.record(ledger, matched, parent=parent)
    with ledger.write(lookups(matched), NOW, RULES) as book:
        found = book.candidates(exchanges.waiting(answers=[ENTRY, BILL]))
        unsent = book.known(lookups(matched))[identity(matched)].unsent
    assert [candidate.asker for candidate in found[ENTRY]] == [None]
    assert found[BILL] == (Candidate(answer.exchange_id, CUSTOMS, "Z1", frozenset({ALICE}), parent),)
    assert unsent == (exchanges.answer_copy(answer, parent),)
    assert unsent[0].correlation_id == "M1"


def test_candidates_by_message_id(ledger: FullLedger) -> None:
    """An answer may name the envelope's own id: of several senders' messages, the one's that is meant."""
    exchanges.deliver(
        ledger, exchanges.accepted("M7", ALICE), exchanges.accepted("M7", BOB), exchanges.accepted("M8", BOB)
    )
    key = BusinessKey("MessageId", "M7")
    with ledger.write((), NOW, RULES) as book:
        for askers, sender in (((), ALICE), ((BOB,), BOB), ((BOB, ALICE), ALICE)):
            answer = replace(exchanges.waiting(answers=[key]), askers=askers)
            assert [c.sender for c in book.candidates(answer)[key]] == [sender]


def test_happenings_stand_in_the_audit_trail(ledger: FullLedger, database: Database) -> None:
    """Events are kept with exchange, time and detail, as often as they happen."""
    fresh = exchanges.accepted()
    exchanges.deliver(ledger, fresh)
    for _ in range(2):
        with ledger.write((), after(seconds=1), RULES) as book:
            book.note([Happening(fresh.exchange_id, Event.REPEATED, "twice")])
    at = 1772415001123456
    assert database.rows("SELECT at, event, detail FROM event ORDER BY id") == [(at, "repeated", "twice")] * 2


def test_settling_a_batch_that_recorded_nothing_settles_no_other(ledger: FullLedger) -> None:
    """Batch numbers are never used twice: copies of a later batch stay due when an earlier, empty one is settled."""
    with ledger.write((), NOW, RULES) as only_repeats:
        pass
    fresh = exchanges.accepted()
    exchanges.record(ledger, fresh)
    ledger.settle(only_repeats.batch, (), NOW)
    assert {copy.to for copy in ledger.due(after(seconds=61), 10)} == {CUSTOMS, ALICE}


_RECORD_AND_DIE = """
import os, signal, sys
from swexchange.store import open_ledger
from tests.contract.exchanges import accepted, record
with open_ledger(sys.argv[1]) as ledger:
    record(ledger, *(accepted(f"M{n}") for n in range(20)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_after_the_commit_keeps_all(ledger: FullLedger, database: Database) -> None:
    """What was committed is there after the process died without warning."""
    done = subprocess.run([sys.executable, "-c", _RECORD_AND_DIE, database.url], cwd=Path.cwd(), check=False)
    assert done.returncode == -signal.SIGKILL
    assert database.rows("SELECT count(*) FROM exchange") == [(20,)]
    assert len(ledger.due(after(seconds=61), 100)) == 40


def test_every_field_of_a_decision_is_kept(ledger: FullLedger) -> None:
    """A waiting answer comes back as it was decided, field by field."""
    fresh = replace(
        exchanges.waiting("Z1", [ENTRY]),
        key_id="k1",
        envelope_edition="dxp/202205",
        edition="dec/4.9.7",
        route="answers",
        findings=exchanges.rejected().findings,
        results=exchanges.accepted().results,
    )
    exchanges.record(ledger, fresh)
    (found,) = ledger.waiting(after(seconds=2), 10)
    assert replace(found, rules_digest=RULES) == replace(fresh, copies=())


def test_the_parent_is_kept(ledger: FullLedger, database: Database) -> None:
    """Exchange, sender and message id of the parent stand in the row."""
    answer = replace(exchanges.waiting(), outcome=Outcome.ACCEPTED)
    exchanges.record(ledger, answer, parent=Parent("0" * 32, ALICE, "M1"))
    query = "SELECT parent_exchange_id, parent_sender, parent_message_id FROM exchange"
    assert database.rows(query) == [("0" * 32, ALICE, "M1")]
