"""What doctor sees of a real database, set up as it should not be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from swexchange.errors import ConfigFault, StoreDown
from swexchange.health.database import Postgresql, Sqlite, judge_postgresql, judge_sqlite
from swexchange.store.look import look
from tests import postgres
from tests.contract.conftest import Database


def _set(database: Database, setting: str) -> None:
    with psycopg.connect(postgres.shared().url, autocommit=True) as link:
        link.execute(f'ALTER DATABASE "{database.url.rpartition("/")[2]}" SET {setting}')


def test_a_database_as_it_should_be(database: Database) -> None:
    """Nothing to say of either, but for where this test keeps SQLite's file; the clock is ours."""
    state = look(database.url)
    if isinstance(state, Postgresql):
        assert list(judge_postgresql(state)) == []
        assert abs(state.clock - datetime.now(UTC)) < timedelta(seconds=5)
    else:
        assert isinstance(state, Sqlite)
        assert state.files[0].path == database.path
        assert 0 < state.free < state.size
        assert state.file_system
        assert {p.name for p in judge_sqlite(state) if "tmpfs" not in p.what} <= {"disk", "database"}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("synchronous_commit = off", "PostgreSQL has synchronous_commit=off"),
        ("default_transaction_read_only = on", "is read-only"),
    ],
)
def test_a_wrong_postgresql_is_seen(database: Database, setting: str, what: str) -> None:
    """A setting of this one database, made for real, is what the connection sees."""
    _set(database, setting)
    state = look(database.url)
    assert isinstance(state, Postgresql)
    (found,) = judge_postgresql(state)
    assert what in found.what


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_wrong_place_of_sqlite_is_seen(database: Database, tmp_path: Path) -> None:
    """A file open to others, and one beside it; the file system of another mount; a folder that is not there."""
    Path(database.path).chmod(0o666)
    state = look(database.url)
    assert isinstance(state, Sqlite)
    assert [p.what for p in judge_sqlite(state) if p.name == "database" and "may" in p.what] == [
        f"others may write {database.path}",
        f"everybody may read {database.path}",
    ]
    shm = look("sqlite:////dev/shm/none.db")
    assert isinstance(shm, Sqlite)
    assert (shm.file_system, shm.files) == ("tmpfs", ())
    with pytest.raises(ConfigFault, match="folder: No such file"):
        look(f"sqlite:///{tmp_path}/none/x.db")


def test_a_database_that_is_away_is_a_fault() -> None:
    """Nobody at the port: one clear line, without the password."""
    with pytest.raises(StoreDown, match="refused") as fault:
        look("postgresql://swx:s3cret@127.0.0.1:9/x")
    assert "s3cret" not in str(fault.value)
