"""What the store promises of its queries: with many exchanges, none of a worker's or a search's reads a whole table.

SQLite alone says so without data; its planner knows no statistics, so what it chooses here it chooses always.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from swexchange.core.identity import claim, lookups
from swexchange.core.lanes import Weights
from swexchange.core.log import Kind as LeafKind
from swexchange.core.log import Span
from swexchange.core.model import BusinessKey, Fate, Kind
from swexchange.core.replay import Does, Done, Item, Target
from swexchange.core.search import State
from swexchange.store import (
    Filter,
    FullLedger,
    Runner,
    migrate,
    open_audit_log,
    open_backlog,
    open_evidence,
    open_history,
    open_ledger,
    open_replays,
    open_running,
)
from swexchange.store.replays import Plan
from tests.contract.exchanges import ALICE, CUSTOMS, NOW, PORT, RULES, accepted, after, deliver, record, waiting

ENTRY = BusinessKey("EntryId", "530420261040012345")
# Reading one of these from end to end is reading what is open, and no more.
OF_OPEN_THINGS = (
    "replay_item_outstanding",
    "batch_unsettled",
    "copy_due",
    "exchange_waiting",
    "exchange_outcome",
    "exchange_code",
    "copy_queued",
    "copy_lane",
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite database."""
    made = f"sqlite:///{tmp_path}/store.db"
    migrate.upgrade(made)
    return made


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every statement of the test with its parameters."""
    seen: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", remember)
    yield seen
    event.remove(Engine, "before_cursor_execute", remember)


def _plans(url: str, statements: list[tuple[str, Any]]) -> list[str]:
    """What SQLite does for each statement, step by step."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as link:
        plans = [
            row[3]
            for statement, parameters in statements
            if statement.startswith(("SELECT", "UPDATE")) and isinstance(parameters, tuple)
            for row in link.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert plans
    return plans


def _whole_tables(url: str, statements: list[tuple[str, Any]]) -> list[str]:
    """Steps of the plans that read a table or a large index from end to end."""
    names = ("exchange", "copy", "business_key", "batch", "event", "replay_item", "replay_log", "sealed", "tile")
    tables = tuple(f"SCAN {name}" for name in names)
    plans = _plans(url, statements)
    return [step for step in plans if step.startswith(tables) and not step.endswith(OF_OPEN_THINGS)]


def test_no_query_of_a_worker_reads_a_whole_table(url: str, statements: list[tuple[str, Any]]) -> None:
    """Repeats, candidates, settling, marking, the sweep and the claims are all found through an index."""
    fresh, left = accepted("M1", keys=[ENTRY]), accepted("M2")
    with open_ledger(url) as ledger:
        ledger.settle(record(ledger, fresh), [(fresh.copies[0], Fate.REFUSED)], NOW)
        record(ledger, left)
        statements.clear()
        _all_of_a_worker(ledger, fresh)
    assert _whole_tables(url, statements) == []


def _all_of_a_worker(ledger: FullLedger, fresh: Any) -> None:
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        assert book.known(lookups(fresh))
        answer = waiting(answers=[ENTRY, BusinessKey("MessageId", "M1")])
        assert book.candidates(answer)
        assert book.candidates(replace(answer, askers=(ALICE,)))
    ledger.settle(book.batch, [(fresh.copies[0], Fate.RETURNED)], NOW)
    due = ledger.due(after(minutes=20), 10)
    assert len(due) == 3
    ledger.mark([(copy, Fate.CONFIRMED) for copy in due], after(minutes=20))
    assert not ledger.waiting(NOW + timedelta(days=1), 10)


def test_no_query_of_a_forwarder_reads_a_whole_table(url: str, statements: list[tuple[str, Any]]) -> None:
    """Whoever is first in its lane, and whatever came of it, is found through the indexes of what waits."""
    fresh = replace(accepted("M1"), lane="A n=1")
    with open_ledger(url) as ledger, open_backlog(url) as backlog:
        record(ledger, fresh, remote=frozenset({CUSTOMS}))
        statements.clear()
        (taken,) = backlog.take({CUSTOMS}, backlog.newest(), 10, Weights(), 10**6, NOW)
        backlog.settle([(taken, Fate.CONFIRMED)], NOW)
        assert backlog.size({CUSTOMS}) == (0, None)
        assert backlog.drop(fresh.exchange_id, CUSTOMS, "gone", NOW) == 0
    assert _whole_tables(url, statements) == []


SEARCHES: dict[str, Filter] = {
    "key": Filter(key=ENTRY),
    "key of any name": Filter(key=BusinessKey("", ENTRY.value)),
    "key and sender": Filter(key=ENTRY, sender=ALICE, since=NOW),
    "message id": Filter(message_id="M1"),
    "message id and sender": Filter(message_id="M1", sender=ALICE),
    "sender": Filter(sender=ALICE),
    "refused": Filter(outcome="rejected"),
    "waiting": Filter(outcome="waiting"),
    "code": Filter(code="0002"),
    "due": Filter(state=State.DUE),
    "queued": Filter(state=State.QUEUED),
    "unsettled": Filter(state=State.UNSETTLED),
    "held": Filter(state=State.HELD),
    "waiting for its parent": Filter(state=State.WAITING),
    "a receiver's dropped": Filter(state=State.DROPPED, receiver=CUSTOMS, since=NOW),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_no_search_for_something_rare_reads_a_whole_table(
    url: str, statements: list[tuple[str, Any]], name: str
) -> None:
    """What fits few exchanges is found through an index of its own."""
    with open_audit_log(url) as audit_log:
        statements.clear()
        audit_log.search(SEARCHES[name])
    assert _whole_tables(url, statements) == []


@pytest.mark.parametrize("name", ["message id and sender", "key and sender"])
def test_a_search_uses_the_sharpest_index(url: str, statements: list[tuple[str, Any]], name: str) -> None:
    """A sender has very many exchanges: together with an id or a key, the sender's index is not the one to use."""
    with open_audit_log(url) as audit_log:
        statements.clear()
        audit_log.search(SEARCHES[name])
    statement, parameters = statements[-1]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as link:
        plan = [row[3] for row in link.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert not [step for step in plan if "exchange_sender" in step or "exchange_listing" in step]


def test_show_reads_one_exchange(url: str, statements: list[tuple[str, Any]]) -> None:
    """An exchange in full takes its rows and no others."""
    with open_ledger(url) as ledger:
        deliver(ledger, accepted())
    with open_audit_log(url) as audit_log:
        statements.clear()
        assert audit_log.show(accepted().exchange_id) is not None
    assert _whole_tables(url, statements) == []


def test_a_replay_reads_its_own_rows(url: str, statements: list[tuple[str, Any]]) -> None:
    """Planning, taking, claiming, marking and looking find all through an index, however many replays there are."""
    with open_ledger(url) as ledger:
        deliver(ledger, accepted(keys=[ENTRY]))
    item = Item(65536, Does.SEND, (Target(Kind.MESSAGE, CUSTOMS, True), Target(Kind.MESSAGE, PORT)))
    with open_replays(url) as replays:
        statements.clear()
        number = replays.begin(Plan("resend", {}, RULES, "ann@host"), NOW)
        replays.freeze(number, [item], dropped=[1])
        assert replays.held([claim(ALICE, "M1")])
        replays.seal(number, {}, "ann@host", NOW)
        with open_running(url, number, Runner("one", "ann@host", "why"), 1) as running:
            running.take("", NOW)
            running.mark([Done(parcel) for parcel in running.claim(-1, 10, NOW)], NOW)
            running.end("complete", NOW, complete=True)
        assert replays.get(number).state == "done"
    assert _whole_tables(url, statements) == []


def test_the_past_is_read_from_where_it_was_asked_for(url: str, statements: list[tuple[str, Any]]) -> None:
    """A week of many years costs a week."""
    with open_ledger(url) as ledger:
        deliver(ledger, accepted())
    with open_history(url) as history:
        statements.clear()
        for stretch in history.stretches(Filter(since=NOW), 1000):
            assert list(history.read(Filter(since=NOW), stretch))
        assert history.count(Filter(since=NOW)) == 1
    assert _whole_tables(url, statements) == []


def test_how_far_the_log_is_takes_no_look_at_all_of_it(url: str, statements: list[tuple[str, Any]]) -> None:
    """The ends of indexes alone: status, doctor and the metrics ask again and again."""
    with open_ledger(url) as ledger:
        deliver(ledger, accepted())
    with open_evidence(url) as log:
        statements.clear()
        assert log.state().unsealed == 1
    assert _whole_tables(url, statements) == []
    assert not [step for step in _plans(url, statements) if "TEMP B-TREE" in step], "nothing is sorted"


def test_an_audit_looks_for_each_business_key_by_all_of_it(url: str, statements: list[tuple[str, Any]]) -> None:
    """Any number of exchanges may have the same value."""
    with open_ledger(url) as ledger:
        deliver(ledger, accepted(keys=[ENTRY]))
    with open_evidence(url) as log:
        statements.clear()
        assert log.key_sum([Span(LeafKind.BATCH, 1, 1)], 7).rows == 1
    assert "SEARCH business_key USING PRIMARY KEY (value=? AND name=? AND seq=?)" in _plans(url, statements)
    assert _whole_tables(url, statements) == []
