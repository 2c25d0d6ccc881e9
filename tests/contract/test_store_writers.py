"""What the ledger promises where several workers write: one of them records a message, and nobody hangs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

from swexchange.core.identity import identity, lookups
from swexchange.core.model import Decision, Entry
from swexchange.store import FullLedger, open_ledger
from tests.contract.conftest import Database
from tests.contract.exchanges import NOW, RULES, accepted, after, record

SECONDS = 60


def _record_unknown(url: str, decisions: list[Decision], start: threading.Barrier) -> int:
    """Record what is not known yet, as the pipeline does; how many that were."""
    names = [name for decision in decisions for name in lookups(decision)]
    with open_ledger(url) as ledger:
        start.wait(SECONDS)
        with ledger.write(names, NOW, RULES) as book:
            known = book.known(names)
            fresh = [d for d in decisions if identity(d) not in known]
            book.record([Entry(identity(d), d) for d in fresh])
    return len(fresh)


def test_writers_of_equal_identities_record_each_once(database: Database) -> None:
    """Four writers with the same messages in different orders: each message is recorded once, nobody deadlocks."""
    decisions = [accepted(f"M{n}") for n in range(100)]
    orders = [decisions, decisions[::-1], decisions[50:] + decisions[:50], decisions[::2] + decisions[1::2]]
    start = threading.Barrier(len(orders))
    with ThreadPoolExecutor(len(orders)) as pool:
        done = [pool.submit(_record_unknown, database.url, order, start) for order in orders]
        assert not wait(done, SECONDS).not_done
    assert sorted(future.result() for future in done) == [0, 0, 0, 100]
    assert database.rows("SELECT count(*), count(DISTINCT identity) FROM exchange") == [(100, 100)]


def test_writers_of_other_identities_get_numbers_of_their_own(database: Database) -> None:
    """Batches and rows of writers at the same time never share a number."""
    start = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(_record_unknown, database.url, [accepted(f"M{w}-{n}") for n in range(50)], start)
            for w in range(4)
        ]
        assert [future.result(SECONDS) for future in done] == [50] * 4
    assert database.rows("SELECT count(DISTINCT batch_id), count(DISTINCT seq) FROM exchange") == [(4, 200)]


def test_a_reader_sees_a_batch_whole_or_not_at_all(ledger: FullLedger, database: Database) -> None:
    """Before the commit nothing of a batch is to be seen from outside."""
    decisions = [accepted(f"M{n}") for n in range(3)]
    with ledger.write((), NOW, RULES) as book:
        book.record([Entry(identity(d), d) for d in decisions])
        assert database.rows("SELECT count(*) FROM exchange") == [(0,)]
    assert database.rows("SELECT count(*) FROM exchange") == [(3,)]


def test_workers_share_what_is_due(ledger: FullLedger, database: Database) -> None:
    """Claims of several workers at once are disjoint and complete."""
    decisions = [accepted(f"M{n}", at=NOW + timedelta(milliseconds=n)) for n in range(100)]
    record(ledger, *decisions)
    start = threading.Barrier(4)

    def claim_all() -> list[str]:
        claimed: list[str] = []
        with open_ledger(database.url) as own:
            start.wait(SECONDS)
            while part := own.due(after(seconds=61), 30):
                claimed += [copy.id for copy in part]
        return claimed

    with ThreadPoolExecutor(4) as pool:
        claims = [future.result(SECONDS) for future in [pool.submit(claim_all) for _ in range(4)]]
    taken = sorted(copy for claim in claims for copy in claim)
    assert taken == sorted({copy.id for decision in decisions for copy in decision.copies})
