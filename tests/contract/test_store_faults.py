"""What the ledger promises when the database fails: StoreDown, never a driver's error, and no password in it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from swexchange.core.identity import identity, lookups
from swexchange.core.model import Entry, Fate
from swexchange.errors import ConfigFault, StoreDown, Unstorable
from swexchange.store import FullLedger, engine, migrate, open_ledger
from tests import postgres
from tests.contract.conftest import Database
from tests.contract.exchanges import NOW, RULES, accepted, after, deliver, record


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of these tests alone, to be killed and set up wrongly; each test leaves it running and well."""
    with tempfile.TemporaryDirectory(prefix="swx-postgresql-") as folder:
        made = postgres.new(Path(folder))
        yield made
        made.stop("immediate")


def test_a_killed_server_is_storedown_and_the_next_batch_finds_the_new_one(cluster: postgres.Cluster) -> None:
    """After a crash and restart of the server the same ledger goes on; what was committed is there."""
    url = cluster.create("swx")
    migrate.upgrade(url)
    with open_ledger(url) as ledger:
        deliver(ledger, accepted("M1"))
        cluster.stop("immediate")
        with pytest.raises(StoreDown) as down:
            record(ledger, accepted("M2"))
        assert cluster.password not in str(down.value)
        assert str(cluster.port) in str(down.value)
        cluster.start()
        deliver(ledger, accepted("M3"))
        names = [name for n in (1, 2, 3) for name in lookups(accepted(f"M{n}"))]
        with ledger.write((), NOW, RULES) as book:
            found = {recorded.exchange_id for recorded in book.known(names).values()}
        assert found == {accepted("M1").exchange_id, accepted("M3").exchange_id}
        # That M1 was settled may be lost with the server: then its copies are sent once more.
        assert {copy.exchange_id for copy in ledger.due(after(days=1), 10)} <= {accepted("M1").exchange_id}


def test_a_server_that_dies_within_a_transaction_is_storedown(cluster: postgres.Cluster) -> None:
    """The connection is cut between the lock and the rows: StoreDown, nothing recorded."""
    url = cluster.create("swx")
    migrate.upgrade(url)
    fresh = accepted()
    with open_ledger(url) as ledger:
        with pytest.raises(StoreDown), ledger.write(lookups(fresh), NOW, RULES) as book:  # noqa: PT012
            cluster.stop("immediate")
            book.record([Entry(identity(fresh), fresh)])
        cluster.start()
        deliver(ledger, fresh)


def test_a_database_restored_under_a_running_worker_gets_its_rules_again(cluster: postgres.Cluster) -> None:
    """What was noted in the one before is not in this one."""
    url = cluster.create("swx")
    migrate.upgrade(url)
    with open_ledger(url) as ledger:
        ledger.note_rules(RULES, (), NOW, "")
        deliver(ledger, accepted("M1"))
        migrate.upgrade(cluster.create("swx"))
        for message in ("M2", "M3"):  # the first may be what finds the new one
            ledger.note_rules(RULES, (), NOW, "")
            deliver(ledger, accepted(message))
    with psycopg.connect(url) as link:
        assert link.execute("SELECT digest FROM rules").fetchall() == [(RULES,)]


def test_a_wrong_password_is_storedown_without_the_password() -> None:
    """A refused login names the database, not the secret."""
    cluster = postgres.shared()
    url = cluster.url.replace(cluster.password, "not-the-password")
    with pytest.raises(StoreDown) as down, open_ledger(url):
        pass
    assert "not-the-password" not in str(down.value)
    assert "127.0.0.1" in str(down.value)


@pytest.mark.parametrize("what", ["moved", "removed", "replaced"])
def test_what_goes_into_a_file_that_is_not_at_its_path_is_refused(what: str, tmp_path: Path) -> None:
    """It would be acknowledged, and nobody would find it; with the file back at its place it goes on."""
    file, elsewhere = tmp_path / "exchange.db", tmp_path / "elsewhere.db"
    url = f"sqlite:///{file}"
    migrate.upgrade(url)
    with open_ledger(url) as ledger:
        deliver(ledger, accepted("M1"))
        os.link(file, elsewhere)
        file.unlink()
        if what == "removed":
            elsewhere.unlink()
        if what == "replaced":
            migrate.upgrade(url)
        with pytest.raises(StoreDown, match="moved, removed or replaced"):
            record(ledger, accepted("M2"))
        if what == "moved":
            elsewhere.rename(file)
            deliver(ledger, accepted("M3"))


def test_connections_end_in_another_thread_than_they_began_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A forwarder works in a thread of its own, and its process ends in the first one."""
    url = f"sqlite:///{tmp_path}/exchange.db"
    migrate.upgrade(url)
    with open_ledger(url) as ledger, ThreadPoolExecutor(1) as pool:
        pool.submit(deliver, ledger, accepted("M1")).result()
    assert not caplog.records


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_what_goes_beside_a_file_that_others_do_not_see_is_refused(end: str, tmp_path: Path) -> None:
    """What is committed is in the -wal, and who writes stands in the -shm: gone, they look as if they could go."""
    file = tmp_path / "exchange.db"
    url = f"sqlite:///{file}"
    migrate.upgrade(url)
    with open_ledger(url) as ledger:
        deliver(ledger, accepted("M1"))
        ledger.owed(1)  # who reads has a connection of its own
        beside, elsewhere = Path(f"{file}{end}"), tmp_path / "elsewhere"
        beside.rename(elsewhere)
        with pytest.raises(StoreDown, match=f"exchange.db{end} was moved, removed or replaced"):
            record(ledger, accepted("M2"))
        with pytest.raises(StoreDown, match=f"exchange.db{end} was moved, removed or replaced"):
            ledger.owed(1)
        elsewhere.rename(beside)
        deliver(ledger, accepted("M3"))


@pytest.mark.parametrize("setting", ["synchronous_commit=off", "fsync=off", "full_page_writes=off"])
def test_a_server_that_may_lose_commits_is_refused(cluster: postgres.Cluster, setting: str) -> None:
    """PostgreSQL set up to lose messages in a crash is a fault of configuration that names the setting."""
    name, _, value = setting.partition("=")
    _alter(cluster, f"SET {name} = {value}")
    with pytest.raises(ConfigFault, match=name), open_ledger(cluster.url):
        pass
    _alter(cluster, f"RESET {name}")


def _alter(cluster: postgres.Cluster, change: str) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as link:
        link.execute(f"ALTER SYSTEM {change}")
    cluster.stop()
    cluster.start()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers that wait for a lock for a moment only."""
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    monkeypatch.setitem(engine._PRAGMAS, "busy_timeout", 100)


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_storedown_and_passes(database: Database) -> None:
    """While another program holds the database, a write fails in bounded time; afterwards it succeeds."""
    lock = "BEGIN EXCLUSIVE" if database.kind == "sqlite" else "LOCK TABLE exchange IN ACCESS EXCLUSIVE MODE"
    with open_ledger(database.url) as ledger:
        deliver(ledger, accepted("M1"))
        with closing(database.connect()) as holder:
            holder.execute(lock)
            with pytest.raises(StoreDown):
                record(ledger, accepted("M2"))
            holder.rollback()
        deliver(ledger, accepted("M2"))


def test_a_missing_file_is_not_made_by_the_way(tmp_path: Path) -> None:
    """A worker does not run on a SQLite file that is not there, and leaves none behind."""
    with pytest.raises(ConfigFault, match="swexchange db upgrade"), open_ledger(f"sqlite:///{tmp_path}/store.db"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_is_not_for_everybody(tmp_path: Path) -> None:
    """It holds all declarations: a shell's usual umask must not give it to every account of the machine."""
    before = os.umask(0o022)
    try:
        migrate.upgrade(f"sqlite:///{tmp_path}/store.db")
        with open_ledger(f"sqlite:///{tmp_path}/store.db") as ledger:
            deliver(ledger, accepted("M1"))
            assert {oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()} == {"0o640"}
    finally:
        os.umask(before)


def test_a_missing_folder_is_storedown(tmp_path: Path) -> None:
    """A SQLite file that cannot be made is StoreDown with its path."""
    with pytest.raises(StoreDown, match="no/such"):
        migrate.upgrade(f"sqlite:///{tmp_path}/no/such/store.db")


def test_a_file_that_is_no_database_is_storedown(tmp_path: Path) -> None:
    """A damaged or wrong file is StoreDown with its path."""
    (tmp_path / "store.db").write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreDown, match=r"store\.db"), open_ledger(f"sqlite:///{tmp_path}/store.db"):
        pass


_RECORD_UNTIL_FULL = """
import resource, signal, sys
from swexchange.errors import StoreDown
from swexchange.store import open_ledger
from tests.contract.exchanges import accepted, deliver
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
done = 0
with open_ledger(sys.argv[1]) as ledger:
    deliver(ledger, accepted("M0"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    try:
        for n in range(1, 10_000):
            deliver(ledger, accepted(f"M{n}"))
            done = n
    except StoreDown as fault:
        print(fault, file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    deliver(ledger, accepted("last"))
print(done)
"""


def test_no_room_on_the_disk_is_storedown_and_passes(tmp_path: Path) -> None:
    """When SQLite cannot write, the batch fails whole; once there is room, the same ledger goes on."""
    file = tmp_path / "store.db"
    migrate.upgrade(f"sqlite:///{file}")
    command = [sys.executable, "-c", _RECORD_UNTIL_FULL, f"sqlite:///{file}"]
    done = subprocess.run(command, cwd=Path.cwd(), capture_output=True, text=True, check=True)
    recorded = int(done.stdout)
    assert 0 < recorded < 5_000
    assert "the database fails" in done.stderr
    with closing(sqlite3.connect(file)) as link:
        # M0 and the last, and none of the one that failed.
        assert link.execute("SELECT count(*) FROM exchange").fetchone() == (recorded + 2,)
        assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_data_that_the_database_refuses_is_unstorable(ledger: FullLedger, database: Database) -> None:
    """The same identity twice breaks the transaction by its data: Unstorable, and the ledger goes on."""
    fresh = accepted()
    deliver(ledger, fresh)
    with pytest.raises(Unstorable):
        record(ledger, replace(fresh, exchange_id="f" * 32))
    deliver(ledger, accepted("M2"))
    assert database.rows("SELECT count(*) FROM exchange") == [(2,)]


def test_a_nul_is_unstorable_where_the_database_knows_none(ledger: FullLedger, database: Database) -> None:
    """PostgreSQL refuses a NUL in text as the message's fault, not as its own; SQLite keeps it."""
    fresh = replace(accepted(), key_id="a\0b")
    if database.kind == "postgresql":
        with pytest.raises(Unstorable):
            record(ledger, fresh)
    else:
        record(ledger, fresh)
        assert database.rows("SELECT key_id FROM exchange") == [("a\0b",)]
    deliver(ledger, accepted("M2"))


def test_failures_outside_a_batch_are_storedown_too(ledger: FullLedger, database: Database) -> None:
    """Settling, marking and looking for what is due raise StoreDown alike."""
    fresh = accepted()
    number = record(ledger, fresh)
    with closing(database.connect()) as link:
        for table in ("batch", "copy"):
            link.execute(f"ALTER TABLE {table} RENAME TO gone_{table}")
        link.commit()
    failed = [(fresh.copies[0], Fate.REFUSED)]
    for call in (
        lambda: ledger.settle(number, failed, NOW),
        lambda: ledger.mark(failed, NOW),
        lambda: ledger.due(NOW, 1),
    ):
        with pytest.raises(StoreDown):
            call()


def test_no_body_and_no_statement_stand_in_an_error(ledger: FullLedger) -> None:
    """What goes to logs names the trouble, not the message."""
    deliver(ledger, accepted())
    with pytest.raises(Unstorable) as refused:
        record(ledger, replace(accepted(), exchange_id="f" * 32))
    said = f"{refused.value} {refused.value.__cause__}"
    assert "报关单" not in said
    assert "M1" not in str(refused.value)


def test_every_batch_is_committed_durably(ledger: FullLedger, database: Database) -> None:
    """Under which settings a batch is written, read back from its connection, after a commit that was not synced."""
    deliver(ledger, accepted())
    with ledger.write((), NOW, RULES) as book:
        found = book._connection.exec_driver_sql
        if database.kind == "sqlite":
            assert found("PRAGMA synchronous").scalar_one() == 2
            assert found("PRAGMA journal_mode").scalar_one() == "wal"
        else:
            assert found("SHOW synchronous_commit").scalar_one() == "on"
            assert found("SHOW statement_timeout").scalar_one() != "0"
            assert found("SHOW idle_in_transaction_session_timeout").scalar_one() != "0"
