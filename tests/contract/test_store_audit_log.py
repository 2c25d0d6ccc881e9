"""What the audit log answers: one exchange in full, a search by each of its parts, what is open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from swexchange.core.codes import HELD
from swexchange.core.model import BusinessKey, Event, Fate, Happening, Kind, Outcome
from swexchange.core.search import State
from swexchange.errors import StoreDown
from swexchange.store import AuditLog, Filter, FullLedger, open_audit_log, open_backlog, open_history
from tests.contract import exchanges
from tests.contract.conftest import Database
from tests.contract.exchanges import ALICE, BOB, CUSTOMS, NOW, PORT, RULES, after

ENTRY = BusinessKey("EntryId", "530420261040012345")


@pytest.fixture
def audit_log(database: Database) -> Iterator[AuditLog]:
    """The audit log of the same database, on connections of its own."""
    with open_audit_log(database.url) as opened:
        yield opened


def _found(audit_log: AuditLog, **wanted: object) -> list[str]:
    """Message ids of what a search finds, in its order."""
    return [summary.message_id for summary in audit_log.search(Filter(**wanted))]  # type: ignore[arg-type]


@pytest.fixture
def six(ledger: FullLedger) -> None:
    """Six exchanges, a second apart."""
    exchanges.deliver(ledger, exchanges.accepted("M0", ALICE, keys=[ENTRY]))
    exchanges.deliver(ledger, exchanges.accepted("M1", BOB, to=(CUSTOMS, PORT), at=after(seconds=1)))
    exchanges.deliver(ledger, replace(exchanges.rejected(at=after(seconds=2)), message_id="M2"))
    exchanges.deliver(
        ledger, replace(exchanges.rejected(b"x", BOB, at=after(seconds=3), code="1003"), message_id="M1", keys=(ENTRY,))
    )
    exchanges.deliver(ledger, exchanges.waiting("M4", [ENTRY], at=after(seconds=4)))
    exchanges.deliver(ledger, exchanges.accepted("M5", ALICE, to=(PORT,), at=after(seconds=5), kind="CEB311Message"))


@pytest.mark.usefixtures("six")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["M5", "M4", "M1", "M2", "M1", "M0"]),
        ({"message_id": "M1"}, ["M1", "M1"]),
        ({"message_id": "M1", "sender": BOB}, ["M1", "M1"]),
        ({"message_id": "M1", "sender": ALICE}, []),
        ({"message_id": "M"}, []),
        ({"key": ENTRY}, ["M4", "M1", "M0"]),
        ({"key": BusinessKey("", ENTRY.value)}, ["M4", "M1", "M0"]),
        ({"key": BusinessKey("SeqNo", ENTRY.value)}, []),
        ({"key": ENTRY, "sender": BOB}, ["M1"]),
        ({"key": ENTRY, "limit": 2}, ["M4", "M1"]),
        ({"sender": ALICE}, ["M5", "M2", "M0"]),
        ({"receiver": PORT}, ["M5", "M1"]),
        ({"receiver": ALICE}, []),
        ({"type": "CEB311Message"}, ["M5"]),
        ({"outcome": "rejected"}, ["M1", "M2"]),
        ({"outcome": "waiting"}, ["M4"]),
        ({"outcome": "accepted"}, ["M5", "M1", "M0"]),
        ({"code": "1003"}, ["M1"]),
        ({"code": "0000", "sender": BOB}, ["M1"]),
        ({"outcome": "rejected", "code": "0002"}, ["M2"]),
        ({"since": after(seconds=4)}, ["M5", "M4"]),
        ({"until": after(seconds=1)}, ["M0"]),
        ({"since": after(seconds=1), "until": after(seconds=3)}, ["M2", "M1"]),
        ({"limit": 2}, ["M5", "M4"]),
    ],
)
def test_a_search_finds_what_fits_every_part(audit_log: AuditLog, wanted: dict[str, object], found: list[str]) -> None:
    """Newest first, at most `limit`, and only what fits all that was asked."""
    assert _found(audit_log, **wanted) == found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"state": State.SENT}, ["D", "C", "B", "A"]),
        ({"state": State.SENT, "receiver": CUSTOMS}, ["B", "A"]),
        ({"state": State.DUE}, ["B"]),
        ({"state": State.DUE, "receiver": PORT}, ["B"]),
        ({"state": State.DUE, "receiver": CUSTOMS}, []),
        ({"state": State.QUEUED}, ["C"]),
        ({"state": State.QUEUED, "sender": BOB}, []),
        ({"state": State.DROPPED}, ["D"]),
        ({"state": State.DROPPED, "until": after(seconds=3)}, []),
        ({"state": State.UNSETTLED}, ["E"]),
        ({"state": State.UNSETTLED, "receiver": PORT}, []),
        ({"state": State.HELD}, ["H"]),
        ({"state": State.WAITING}, ["W"]),
        ({"state": State.WAITING, "receiver": ALICE}, []),
    ],
)
def test_a_search_by_state(
    database: Database, ledger: FullLedger, audit_log: AuditLog, wanted: dict[str, object], found: list[str]
) -> None:
    """How an exchange or one of its copies stands now; the what-if and the plans of replays find the same."""
    mixed = exchanges.accepted("B", to=(CUSTOMS, PORT), at=after(seconds=1))
    queued, dropped = (exchanges.accepted(m, at=after(seconds=s)) for m, s in (("C", 2), ("D", 3)))
    exchanges.deliver(ledger, exchanges.accepted("A"))
    ledger.settle(exchanges.record(ledger, mixed), [(mixed.copies[1], Fate.RETURNED)], after(seconds=1))
    for one in (queued, dropped):
        ledger.settle(exchanges.record(ledger, one, remote=frozenset({CUSTOMS})), (), after(seconds=3))
    with open_backlog(database.url) as backlog:
        assert backlog.drop(dropped.exchange_id, CUSTOMS, "gone", after(seconds=4)) == 1
    exchanges.record(ledger, exchanges.accepted("E", at=after(seconds=4)))
    unread = replace(exchanges.rejected(at=after(seconds=5), code=HELD), message_id="H", copies=())
    exchanges.deliver(ledger, unread)
    exchanges.deliver(ledger, replace(exchanges.waiting("W", [ENTRY], at=after(seconds=6)), copies=()))
    assert _found(audit_log, **wanted) == found
    asked = Filter(**wanted)  # type: ignore[arg-type]
    with open_history(database.url) as history:
        past = [one for part in history.stretches(asked, 2) for one in history.read(asked, part)]
        assert [one.decision.message_id for one in past] == found[::-1]
        assert history.count(asked) == len(found)


@pytest.mark.usefixtures("six")
def test_a_search_goes_on_behind_the_last_one(audit_log: AuditLog) -> None:
    """Pages follow each other without gap or repeat."""
    pages, last = [], ""
    while page := audit_log.search(Filter(limit=4, after=last)):
        pages.append([summary.message_id for summary in page])
        last = page[-1].exchange_id
    assert pages == [["M5", "M4", "M1", "M2"], ["M1", "M0"]]


@pytest.mark.usefixtures("six")
def test_a_summary_is_a_line_of_facts(audit_log: AuditLog) -> None:
    """What a search shows of an exchange is as it was decided."""
    (found,) = audit_log.search(Filter(type="CEB311Message"))
    fresh = exchanges.accepted("M5", ALICE, to=(PORT,), at=after(seconds=5), kind="CEB311Message")
    assert (found.exchange_id, found.received_at) == (fresh.exchange_id, fresh.received_at)
    assert (found.sender, found.submitter, found.message_id) == (ALICE, ALICE, "M5")
    assert (found.type, found.outcome, found.code, found.route) == ("CEB311Message", "accepted", "0000", "declarations")


def test_show_tells_everything(ledger: FullLedger, audit_log: AuditLog) -> None:
    """An exchange comes back with its decision field by field, its receipt, copies, times and events."""
    fresh = exchanges.accepted(to=(CUSTOMS, PORT), keys=[ENTRY])
    ledger.settle(exchanges.record(ledger, fresh), [(fresh.copies[1], Fate.RETURNED)], after(seconds=1))
    with ledger.write((), after(seconds=2), RULES) as book:
        book.note([Happening(fresh.exchange_id, Event.REPEATED)])
    trail = audit_log.show(fresh.exchange_id)
    assert trail is not None
    assert trail.decision == replace(fresh, copies=())
    assert (trail.parent, trail.committed_at, trail.settled_at) == (None, NOW, after(seconds=1))
    assert fresh.receipt is not None
    assert trail.receipt == fresh.receipt.body
    assert [(c.id, c.kind, c.to, c.bytes) for c in trail.copies] == [
        (c.id, c.kind, c.to, len(c.body)) for c in fresh.copies
    ]
    assert [(c.state, c.at, c.tries) for c in trail.copies] == [
        ("sent", after(seconds=1), 0),
        ("due", after(seconds=11), 1),
        ("sent", after(seconds=1), 0),
    ]
    assert [(at, what) for at, what, _ in trail.events] == [
        (after(seconds=1), "returned"),
        (after(seconds=2), "repeated"),
    ]


def test_show_of_a_batch_in_doubt(ledger: FullLedger, audit_log: AuditLog) -> None:
    """Before the settling, copies are neither sent nor due, and say so."""
    fresh = exchanges.accepted()
    exchanges.record(ledger, fresh)
    trail = audit_log.show(fresh.exchange_id)
    assert trail is not None
    assert trail.settled_at is None
    assert {(c.state, c.at) for c in trail.copies} == {("unsettled", None)}


def test_show_of_a_copy_sent_late(ledger: FullLedger, audit_log: AuditLog) -> None:
    """A copy that got through at last shows when."""
    fresh = exchanges.accepted()
    ledger.settle(exchanges.record(ledger, fresh), [(fresh.copies[0], Fate.UNKNOWN)], NOW)
    ledger.mark([(fresh.copies[0], Fate.CONFIRMED)], after(seconds=30))
    trail = audit_log.show(fresh.exchange_id)
    assert trail is not None
    assert (trail.copies[0].state, trail.copies[0].at) == ("sent", after(seconds=30))


def test_show_of_a_matched_answer(ledger: FullLedger, audit_log: AuditLog) -> None:
    """An answer shows whom it answered, and the copy that went there."""
    question, answer = exchanges.accepted(keys=[ENTRY]), exchanges.waiting(answers=[ENTRY])
    exchanges.deliver(ledger, question)
    exchanges.deliver(ledger, answer)
    parent = exchanges.parent_of(question)
    with ledger.matching(after(seconds=5)) as book:
        book.match(answer, parent, exchanges.answer_copy(answer, parent))
    trail = audit_log.show(answer.exchange_id)
    assert trail is not None
    assert (trail.parent, trail.decision.outcome) == (parent, Outcome.ACCEPTED)
    assert [(c.kind, c.to, c.state) for c in trail.copies] == [
        (Kind.RECEIPT, CUSTOMS, "sent"),
        (Kind.MESSAGE, ALICE, "due"),
    ]
    assert [what for _, what, _ in trail.events] == ["matched"]


def test_show_of_an_unknown_id_is_nothing(audit_log: AuditLog) -> None:
    """An id that no exchange has is no error."""
    assert audit_log.show("0" * 32) is None


def test_what_is_open(ledger: FullLedger, audit_log: AuditLog) -> None:
    """Waiting answers, copies due by recipient, unsettled batches, the last hour, each with its age."""
    exchanges.deliver(ledger, exchanges.accepted("old", at=after(hours=-2)), now=after(hours=-2))
    late = exchanges.accepted("M1", to=(CUSTOMS, PORT))
    ledger.settle(exchanges.record(ledger, late), [(c, Fate.RETURNED) for c in late.copies[:2]], NOW)
    exchanges.deliver(ledger, exchanges.waiting("Z1", [ENTRY], at=after(seconds=1)))
    exchanges.deliver(ledger, exchanges.rejected(at=after(seconds=2)))
    exchanges.record(ledger, exchanges.accepted("M2", at=after(seconds=3)))
    found = audit_log.open(after(seconds=4))
    assert (found.waiting, found.waiting_since) == (1, after(seconds=1))
    assert found.due == {CUSTOMS: 1, PORT: 1}
    assert found.due_since == NOW
    assert found.due_failures == {"returned": 2}
    assert (found.unsettled, found.last_received) == (1, after(seconds=3))
    assert (found.received_last_hour, found.refused_last_hour) == (4, 1)


def test_what_is_due_says_how_it_failed(ledger: FullLedger, audit_log: AuditLog) -> None:
    """The last failure of each copy, of its own recipient; a copy that was not tried again has none."""
    sent = exchanges.accepted("M1", to=(CUSTOMS, PORT))
    failed = [(sent.copies[0], Fate.RETURNED), (sent.copies[1], Fate.REFUSED)]
    ledger.settle(exchanges.record(ledger, sent), failed, NOW)
    other = exchanges.accepted("M2", to=(CUSTOMS,))
    ledger.settle(exchanges.record(ledger, other), [(other.copies[0], Fate.RETURNED)], NOW)
    assert audit_log.open(NOW).due_failures == {"returned": 2, "refused": 1}
    ledger.mark([(sent.copies[0], Fate.UNKNOWN), (sent.copies[1], Fate.CONFIRMED)], after(minutes=1))
    assert audit_log.open(NOW).due_failures == {"returned": 1, "unconfirmed": 1}


def test_nothing_is_open_in_an_empty_database(audit_log: AuditLog) -> None:
    """No exchange: no counts, no times."""
    found = audit_log.open(NOW)
    assert (found.waiting, found.due, found.unsettled, found.received_last_hour) == (0, {}, 0, 0)
    assert (found.waiting_since, found.due_since, found.last_received) == (None, None, None)


def test_reading_does_not_wait_for_a_writer(ledger: FullLedger, audit_log: AuditLog) -> None:
    """While a batch is being written, a search answers with what was committed."""
    exchanges.deliver(ledger, exchanges.accepted("M1"))
    with ledger.write((), NOW, RULES):
        assert _found(audit_log) == ["M1"]


def test_the_audit_log_cannot_write(audit_log: AuditLog, database: Database) -> None:
    """Whatever reads the audit log could not change it if it tried."""
    with pytest.raises(StoreDown), audit_log._reading() as connection:
        connection.exec_driver_sql("DELETE FROM exchange")
    assert database.rows("SELECT count(*) FROM exchange") == [(0,)]
