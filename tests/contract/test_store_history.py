"""What the store promises of the past: all that a filter finds, once, in stretches, with what went to whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swexchange.core.compare import PastCopy
from swexchange.core.model import BusinessKey, Fate, Kind
from swexchange.store import Filter, FullLedger, History, open_backlog, open_history
from swexchange.store.history import Stretch
from tests.contract.conftest import Database
from tests.contract.exchanges import ALICE, BOB, CUSTOMS, NOW, PORT, accepted, after, deliver, parent_of, record

ENTRY = BusinessKey("EntryId", "530420261040012345")
ALL = Stretch("", "g")  # no id is greater


@pytest.fixture
def history(database: Database) -> Iterator[History]:
    """The past of the same database, on connections of its own."""
    with open_history(database.url) as opened:
        yield opened


@pytest.mark.parametrize("size", [1, 3, 10, 11, 100])
def test_stretches_leave_no_gap_and_no_overlap(ledger: FullLedger, history: History, size: int) -> None:
    """Whatever their size, together they are all that is found, oldest first."""
    for n in range(10):
        deliver(ledger, accepted(f"M{n}", (ALICE, BOB)[n % 2], at=after(seconds=n)))
    stretches = list(history.stretches(Filter(), size))
    found = [past.decision.message_id for s in stretches for past in history.read(Filter(), s)]
    assert found == [f"M{n}" for n in range(10)]
    assert len(stretches) == -(-10 // size)
    of_bob = Filter(sender=BOB, limit=2)
    assert history.count(of_bob) == 5
    assert sum(1 for s in history.stretches(of_bob, size) for _ in history.read(of_bob, s)) == 5


def test_nothing_found_is_no_stretch(history: History) -> None:
    """An empty past has none."""
    assert history.count(Filter()) == 0
    assert list(history.stretches(Filter(), 5)) == []


def test_an_exchange_comes_back_with_its_copies(ledger: FullLedger, history: History) -> None:
    """Bytes, parent, and who got what: sent, or still owed by the daemon."""
    asked = accepted("M1", to=(CUSTOMS, PORT))
    deliver(ledger, asked)
    answer = accepted("M2", CUSTOMS, to=(ALICE,), at=after(seconds=1))
    number = record(ledger, answer, parent=parent_of(asked))
    ledger.settle(number, [(answer.copies[0], Fate.RETURNED)], NOW)
    left = accepted("M3", at=after(seconds=2))
    record(ledger, left)
    first, second, third = history.read(Filter(), ALL)
    assert (first.decision.body, first.parent, second.parent) == (asked.body, None, parent_of(asked))
    assert first.copies == (
        PastCopy(Kind.MESSAGE, CUSTOMS, True),
        PastCopy(Kind.MESSAGE, PORT, True),
        PastCopy(Kind.RECEIPT, ALICE, True),
    )
    assert second.copies == (PastCopy(Kind.MESSAGE, ALICE, False), PastCopy(Kind.RECEIPT, CUSTOMS, True))
    assert not any(copy.sent for copy in third.copies)
    assert first.seq < second.seq < third.seq


def test_what_waits_for_an_upstream_is_owed_until_an_operator_drops_it(
    ledger: FullLedger, history: History, database: Database
) -> None:
    """Queued: its forwarder sends it. Dropped: nobody does."""
    sent = accepted("M1", to=(PORT,))
    ledger.settle(record(ledger, sent, remote=frozenset({PORT})), (), NOW)
    for dropped in (False, True):
        (past,) = history.read(Filter(), ALL)
        assert past.copies[0] == PastCopy(Kind.MESSAGE, PORT, sent=False, dropped=dropped)
        assert (past.copies[0].owed, past.copies[1].owed) == (not dropped, False)
        with open_backlog(database.url) as backlog:
            backlog.drop(sent.exchange_id, PORT, "anna: withdrawn", NOW)


def test_the_further_parts_of_a_filter(ledger: FullLedger, history: History) -> None:
    """By id, by route, by key: as in a search."""
    one, two = accepted("M1", keys=[ENTRY]), accepted("M2", at=after(seconds=1))
    deliver(ledger, one, two)
    for wanted, count in (
        (Filter(exchanges=(one.exchange_id, "0" * 32)), 1),
        (Filter(exchanges=(one.exchange_id, two.exchange_id)), 2),
        (Filter(route="declarations"), 2),
        (Filter(route="declaration"), 0),
        (Filter(key=ENTRY), 1),
    ):
        assert history.count(wanted) == count
        assert len(list(history.read(wanted, ALL))) == count
