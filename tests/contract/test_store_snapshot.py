"""A snapshot of either database goes into either: every row as it was, and nothing that collides afterwards."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swexchange.core.keys import Key
from swexchange.core.log import Archived, Kind
from swexchange.core.model import BusinessKey, Decision, Event, Fate, Happening
from swexchange.core.replay import Does, Item
from swexchange.core.search import Filter
from swexchange.errors import ConfigFault, StoreDown
from swexchange.evidence import bundle
from swexchange.evidence.auditor import Findings, audit, audit_unsealed
from swexchange.evidence.tree_check import Problem
from swexchange.store import (
    Attempts,
    FullLedger,
    open_archives,
    open_evidence,
    open_holds,
    open_ledger,
    open_replays,
    snapshot,
    version,
)
from swexchange.store.lost import lost
from swexchange.store.replays import Plan
from swexchange.store.restore import GAP, remove, require_empty, restore
from swexchange.store.snapshot import PAGE, TABLES, open_saved, open_snapshot
from swexchange.store.tables import metadata
from tests import evidence, postgres, world
from tests.contract.conftest import Database, change
from tests.contract.exchanges import (
    ALICE,
    BOB,
    CUSTOMS,
    NOW,
    RULES,
    accepted,
    after,
    answer_copy,
    deliver,
    parent_of,
    record,
    rejected,
    waiting,
)
from tests.contract.place import sealer_of

ENTRY = BusinessKey("EntryId", "530420261040012345")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A place to restore into: no file, or a database without tables."""
    if request.param == "sqlite":
        yield Database("sqlite", f"sqlite:///{tmp_path}/restored.db")
        return
    yield Database("postgresql", postgres.shared().create("test_restored"))
    postgres.shared().drop("test_restored")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Where snapshots are saved."""
    return tmp_path / "saved.db"


def furnish(database: Database, ledger: FullLedger, head: Path) -> Decision:
    """Rows in every table: all outcomes, all states of copies, a sealed and an unsealed part. One of the accepted."""
    asked, answer, failed = accepted("M1", keys=[ENTRY]), waiting(answers=[ENTRY]), accepted("M2", BOB)
    deliver(ledger, asked, rejected(bytes(range(256))), answer)
    with ledger.matching(NOW) as book:
        book.match(answer, parent_of(asked), answer_copy(answer, parent_of(asked)))
    ledger.settle(record(ledger, failed), [(failed.copies[0], Fate.RETURNED)], NOW)
    record(ledger, accepted("M3", to=(CUSTOMS, BOB)), remote=frozenset([CUSTOMS]))
    ledger.note_rules("d" * 64, [Key("钥匙", ALICE, bytes(32), NOW)], NOW)
    with open_evidence(database.url) as log:
        sum(sealer_of(log, head).seal_all())
    with ledger.write({"E"}, NOW, RULES) as book:
        book.note([Happening(asked.exchange_id, Event.REPEATED)])
    record(ledger, accepted("M4"))
    with open_replays(database.url) as replays:
        number = replays.begin(Plan("resend", {}, RULES, "admin"), NOW)
        replays.freeze(number, [Item(65536, Does.SEND, ())])
        replays.seal(number, {}, "admin", NOW)
    with open_archives(database.url) as archives, open_holds(database.url) as holds:
        archives.note_archive(Archived(0, 5, "000000000000-000000000004.zip", b"\3" * 32, 1, 2, 3), NOW)
        holds.add(Filter(sender=ALICE), "admin", "case 7", NOW)
    digest = "X'07'" if database.kind == "sqlite" else r"'\x07'"
    taken = f"'A:long/ago', '{'0' * 32}', {digest}"
    change(database, f"INSERT INTO taken VALUES ({taken})", "INSERT INTO gone VALUES (900, 1)")
    row = "'province', 'forwarder-1', 7, 'closed', '', NULL, 8, 9, 10, NULL, NULL, NULL, NULL"
    change(database, f"INSERT INTO upstream VALUES ({row})")
    with closing(Attempts(database.url, "worker-1")) as attempts:
        attempts.begin_alone(b"\1" * 32)
    return asked


def save(database: Database, saved: Path) -> None:
    saved.unlink(missing_ok=True)
    with open_snapshot(database.url) as snapshot:
        snapshot.save(saved, lambda _: None)


def move(database: Database, saved: Path, empty: Database) -> None:
    """Save, and restore an hour later."""
    save(database, saved)
    restore(saved, empty.url, after(hours=1), lambda _: None)


def content(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, but for the empty batch that a restore adds."""
    found = {name: sorted(map(_plain, database.rows(f"SELECT * FROM {name}")), key=repr) for name in metadata.tables}
    return {**found, "batch": [row for row in found["batch"] if row[0] < GAP]}


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)


def problems(database: Database, head: Path) -> list[Problem]:
    found = Findings()
    with open_evidence(database.url) as log:
        keys = [sealer_of(log, head).verifier]
        return [*audit(log, keys, {"kept": head.read_text()}, found), *audit_unsealed(log, found)]


# -- out and in


def test_every_row_comes_out_as_it_was(
    database: Database, ledger: FullLedger, empty: Database, saved: Path, tmp_path: Path
) -> None:
    """Four directions; the log verifies; what workers had in hand at that moment is left out."""
    furnish(database, ledger, tmp_path / "audit.head")
    before = content(database)
    assert all(before.values()), "a table without rows proves nothing"
    move(database, saved, empty)
    assert content(empty) == {**before, "attempt": []}
    assert content(database) == before
    assert version.check(empty.url) == []
    assert saved.stat().st_mode & 0o077 == 0
    assert problems(empty, tmp_path / "audit.head") == []


def test_the_snapshot_says_what_it_holds(database: Database, ledger: FullLedger, saved: Path, tmp_path: Path) -> None:
    """Counts by table and the newest checkpoint, the same from the database and from the file; the bar ends full."""
    furnish(database, ledger, tmp_path / "audit.head")
    done: list[int] = []
    with open_snapshot(database.url) as snapshot:
        snapshot.save(saved, done.append)
        with open_saved(saved) as file:
            assert file.rows == snapshot.rows
            assert file.checkpoint == snapshot.checkpoint == (tmp_path / "audit.head").read_text()
    assert sum(done) == sum(snapshot.rows.values())
    assert snapshot.rows.keys() == {table.name for table in TABLES} == metadata.tables.keys() - {"attempt"}


def test_reading_a_saved_file_changes_nothing(database: Database, ledger: FullLedger, saved: Path) -> None:
    """Not a byte of it, and nothing beside it: it may lie on a disk that cannot be written."""
    record(ledger, accepted())
    save(database, saved)
    before, beside = saved.read_bytes(), sorted(saved.parent.glob("saved*"))
    with open_saved(saved) as file:
        assert file.rows["exchange"] == 1
    assert (saved.read_bytes(), sorted(saved.parent.glob("saved*"))) == (before, beside)


def test_more_than_a_page_in_order(database: Database, ledger: FullLedger, empty: Database, saved: Path) -> None:
    decisions = [accepted(f"M{n}") for n in range(2 * PAGE + 1)]
    record(ledger, *decisions)
    move(database, saved, empty)
    found = empty.rows("SELECT exchange_id FROM exchange ORDER BY seq")
    assert [number for (number,) in found] == [decision.exchange_id for decision in decisions]


def test_a_saved_file_reaches_the_disk_as_it_grows(
    database: Database, ledger: FullLedger, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all of it at the end, when daemons would wait behind it."""
    synced: list[int] = []
    monkeypatch.setattr(snapshot, "sync", lambda path: synced.append(path.stat().st_size))
    record(ledger, *(replace(accepted(f"M{n}"), body=bytes(100_000)) for n in range(2 * PAGE)))
    save(database, saved)
    assert synced[0] < saved.stat().st_size
    assert synced[-1] == saved.stat().st_size


def test_golden_evidence_is_still_proved(empty: Database, saved: Path, tmp_path: Path) -> None:
    """A restored log gives the bundles and the export that were handed out before the disaster, byte for byte."""
    wanted = evidence.made_in(tmp_path)
    move(Database("sqlite", f"sqlite:///{tmp_path}/golden.db"), saved, empty)
    with open_evidence(empty.url) as log:
        for name in ("accepted.zip", "refused.zip"):
            with zipfile.ZipFile(io.BytesIO(wanted[name])) as packed:
                number = json.loads(packed.read("bundle.json"))["exchange"]
            assert bundle.prove(log, number, lambda: "", world.schemas().get) == wanted[name]
        assert evidence.packed(bundle.export(log)) == wanted["log.zip"]


# -- afterwards


def test_what_comes_after_collides_with_nothing(
    database: Database, ledger: FullLedger, empty: Database, saved: Path, tmp_path: Path
) -> None:
    """New batches get numbers that no lost one had, new events and rules the next ones; all of it is sealed."""
    head = tmp_path / "audit.head"
    asked = furnish(database, ledger, head)
    save(database, saved)
    lost_batches = {record(ledger, accepted(f"LOST{n}")) for n in range(5)}
    restore(saved, empty.url, after(hours=1), lambda _: None)
    with open_ledger(empty.url) as restored, open_evidence(empty.url) as log:
        number = record(restored, accepted("LOST0", at=after(hours=2)), now=after(hours=2))
        assert number > GAP > max(lost_batches)
        with restored.write({"E"}, after(hours=2), RULES) as book:
            book.note([Happening(asked.exchange_id, Event.REPEATED)])
        restored.note_rules("e" * 64, (), after(hours=2))
        with open_replays(empty.url) as replays:
            replays.begin(Plan("resend", {}, RULES, "admin"), after(hours=2))
        with open_holds(empty.url) as holds:
            assert holds.add(Filter(sender=BOB), "admin", "case 8", after(hours=2)) == 2
        assert sum(sealer_of(log, head).seal_all()) > 3
    assert problems(empty, head) == []
    assert {span.kind for span in _spans(empty)} == set(Kind)


def _spans(database: Database) -> list[Any]:
    with open_evidence(database.url) as log:
        return list(log.spans())


def test_a_worker_that_outlived_the_restore_settles_nothing_of_others(
    database: Database, ledger: FullLedger, empty: Database, saved: Path
) -> None:
    """It holds the number of a batch that is lost: no batch of the restored database gets it."""
    record(ledger, accepted("M1"))
    save(database, saved)
    held = record(ledger, accepted("LOST"))
    restore(saved, empty.url, after(hours=1), lambda _: None)
    with open_ledger(empty.url) as restored:
        numbers = {record(restored, accepted(f"M{n}")) for n in range(2, 6)}
        restored.settle(held, (), NOW)
    found = {number for (number,) in empty.rows("SELECT id FROM batch WHERE settled_at IS NULL")}
    assert numbers <= found


def test_an_empty_database_is_saved_and_restored(database: Database, empty: Database, saved: Path) -> None:
    move(database, saved, empty)
    with open_ledger(empty.url) as restored:
        assert record(restored, accepted()) > GAP


# -- while others write


def test_a_snapshot_is_one_moment(database: Database, ledger: FullLedger, saved: Path) -> None:
    """Rows that are committed while it is written are not in it, and their writer waits for nobody."""
    record(ledger, accepted("M1"))
    with open_snapshot(database.url) as snapshot:
        record(ledger, accepted("M2"))
        ledger.settle(1, (), NOW)
        snapshot.save(saved, lambda _: None)
    with open_saved(saved) as file:
        assert (file.rows["exchange"], file.rows["copy"]) == (1, 2)
    assert database.rows("SELECT count(*) FROM exchange") == [(2,)]


def test_under_load_it_holds_a_prefix(database: Database, saved: Path) -> None:
    """A writer at work the whole time: whole batches, all up to one and none after it."""
    stop, count = threading.Event(), 0

    def write() -> None:
        nonlocal count
        with open_ledger(database.url) as ledger:
            while not stop.is_set():
                deliver(ledger, *(accepted(f"M{count}-{n}") for n in range(10)))
                count += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            while count < 5:
                stop.wait(0.01)
            save(database, saved)
            with closing(Database("sqlite", f"sqlite:///{saved}").connect()) as link:
                batches = [row[0] for row in link.execute("SELECT id FROM batch ORDER BY id")]
                exchanges = link.execute("SELECT batch_id, count(*) FROM exchange GROUP BY batch_id").fetchall()
            assert batches == list(range(1, len(batches) + 1))
            assert dict(exchanges) == dict.fromkeys(batches, 10)
    finally:
        stop.set()
        writer.join()


# -- refused


def test_only_an_empty_place_is_restored_into(database: Database, ledger: FullLedger, saved: Path) -> None:
    record(ledger, accepted())
    save(database, saved)
    for refusing in (require_empty, lambda url: restore(saved, url, NOW, lambda _: None)):
        with pytest.raises(ConfigFault, match=r"is not empty|is there already"):
            refusing(database.url)
    assert database.rows("SELECT count(*) FROM exchange") == [(1,)]


def test_tables_without_rows_are_an_empty_place(database: Database, saved: Path) -> None:
    """Of PostgreSQL; an SQLite file is refused whatever it holds: somebody may have it open."""
    save(database, saved)
    if database.kind == "sqlite":
        with pytest.raises(ConfigFault, match="is there already"):
            require_empty(database.url)
        return
    restore(saved, database.url, NOW, lambda _: None)
    assert database.rows("SELECT count(*) FROM batch") == [(1,)]


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_what_is_left_of_another_database_is_refused(end: str, tmp_path: Path) -> None:
    """SQLite would take a stale -wal for part of the new file."""
    (tmp_path / f"new.db{end}").write_bytes(b"stale")
    with pytest.raises(ConfigFault, match="is there already"):
        require_empty(f"sqlite:///{tmp_path}/new.db")


def test_tables_of_somebody_else_are_refused(saved: Path) -> None:
    other = Database("postgresql", postgres.shared().create("test_other"))
    change(other, "CREATE TABLE event (mine TEXT)")
    with pytest.raises(ConfigFault, match="is not empty: it has event"):
        require_empty(other.url)
    postgres.shared().drop("test_other")


def test_a_backup_of_another_version_is_refused(database: Database, empty: Database, saved: Path) -> None:
    """The error says so, whatever tables that version has."""
    save(database, saved)
    other = "UPDATE alembic_version SET version_num = '9999'", "DROP TABLE upstream"
    change(Database("sqlite", f"sqlite:///{saved}"), *other)
    with pytest.raises(ConfigFault, match="version 9999"):
        restore(saved, empty.url, NOW, lambda _: None)
    require_empty(empty.url)


def test_a_restore_that_fails_leaves_the_place_empty(
    database: Database, ledger: FullLedger, empty: Database, saved: Path
) -> None:
    """Given up by its operator among the rows; or a file without all tables."""
    record(ledger, *(accepted(f"M{n}") for n in range(PAGE)))
    save(database, saved)

    def give_up(_: int) -> None:
        raise KeyboardInterrupt

    if empty.kind == "postgresql":  # of SQLite all rows come at once
        with pytest.raises(KeyboardInterrupt):
            restore(saved, empty.url, NOW, give_up)
        require_empty(empty.url)
    change(Database("sqlite", f"sqlite:///{saved}"), "DROP TABLE checkpoint")
    with pytest.raises(StoreDown, match="checkpoint"):
        restore(saved, empty.url, NOW, lambda _: None)
    require_empty(empty.url)


def test_what_a_killed_restore_left_does_no_harm(database: Database, ledger: FullLedger, tmp_path: Path) -> None:
    """Of another backup: neither its journal gets into this one, nor this one into the database that it had made."""
    made, new = tmp_path / "made.db", tmp_path / "made.db.restoring"
    record(ledger, *(accepted(f"M-{i}") for i in range(40)))
    save(database, tmp_path / "older.db")
    record(ledger, *(accepted(f"M-{i}") for i in range(40, 90)))
    save(database, tmp_path / "newer.db")

    shutil.copy(tmp_path / "older.db", new)
    with closing(sqlite3.connect(new)) as killed:
        killed.execute("PRAGMA cache_size=1")  # so that its journal is on the disk before it commits
        for column in ("body", "detail"):
            killed.execute(f"UPDATE exchange SET {column} = {column} || 'x'")
        shutil.copy(f"{new}-journal", tmp_path / "journal")
        killed.rollback()
    shutil.copy(tmp_path / "journal", f"{new}-journal")
    restore(tmp_path / "newer.db", f"sqlite:///{made}", NOW, lambda _: None)
    assert content(Database("sqlite", f"sqlite:///{made}"))["exchange"] == content(database)["exchange"]
    assert version.check(f"sqlite:///{made}") == []

    (away := tmp_path / "away.db").hardlink_to(made)
    made.rename(new)  # as if it was killed between its two names, and what it had made was moved away
    kept = away.read_bytes()
    restore(tmp_path / "older.db", f"sqlite:///{made}", NOW, lambda _: None)
    assert away.read_bytes() == kept
    assert not list(tmp_path.glob("made.db?*"))


def test_what_was_restored_can_be_removed(database: Database, ledger: FullLedger, empty: Database, saved: Path) -> None:
    record(ledger, accepted())
    move(database, saved, empty)
    with open_ledger(empty.url) as restored:
        record(restored, accepted("M2"))
    remove(empty.url)
    require_empty(empty.url)


# -- what would be lost


def test_nothing_is_lost_of_what_was_saved(database: Database, ledger: FullLedger, saved: Path) -> None:
    record(ledger, accepted())
    save(database, saved)
    with open_saved(saved) as file, open_snapshot(database.url) as live:
        found = lost(file, live)
    assert (found.exchanges, found.receipts, found.events, found.first, found.unknown) == (0, 0, 0, (), 0)


def test_what_came_later_is_told(database: Database, ledger: FullLedger, saved: Path) -> None:
    """Exchanges, receipts and events; by sender, the first of them by id."""
    record(ledger, accepted("M0"))
    save(database, saved)
    later = [*(accepted(f"M{n}", ALICE) for n in range(1, 13)), accepted("B1", BOB)]
    record(ledger, *later)
    with ledger.write({"E"}, NOW, RULES) as book:
        book.note([Happening(later[0].exchange_id, Event.REPEATED)])
    with open_saved(saved) as file, open_snapshot(database.url) as live:
        found = lost(file, live)
    assert (found.exchanges, found.receipts, found.events, found.unknown) == (13, 13, 1, 0)
    assert found.first == tuple(decision.exchange_id for decision in later[:10])
    assert list(found.senders.items()) == [(ALICE, 12), (BOB, 1)]


def test_a_database_that_lacks_what_was_saved_is_told(database: Database, ledger: FullLedger, saved: Path) -> None:
    record(ledger, accepted("M0"), accepted("M1"))
    save(database, saved)
    change(database, "DELETE FROM exchange WHERE message_id = 'M0'")
    with open_saved(saved) as file, open_snapshot(database.url) as live:
        assert lost(file, live).unknown == 1
