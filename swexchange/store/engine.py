"""Connections: how each database must be set up to keep a promise, checked at every connect.

SQLite is in WAL mode with synchronous=FULL; transactions begin IMMEDIATE, since a read that
turns into a write fails at once under concurrency. PostgreSQL must have fsync and commits durable.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Connection, Engine, PoolProxiedConnection, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from swexchange.errors import ConfigFault, StoreDown, Unstorable
from swexchange.health.database import DURABLE, judge_settings

_URLS = "Use sqlite:///path or postgresql://..."
_IMPATIENT, _PATIENT = "PRAGMA busy_timeout=0", "PRAGMA busy_timeout=30000"  # the latter is BUSY_SECONDS
LOOK_SECONDS = 0.001  # between two looks at the write lock
BUSY_SECONDS = 30
SQLITE_CACHE_KIB = 8_000
SQLITE_PAGE = 8192  # bytes: a declaration and its receipt fill one; of a file that exists it stays as it is
_FULL, _NORMAL = 2, 1
_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": _FULL,
    "busy_timeout": BUSY_SECONDS * 1000,
    "cache_size": -SQLITE_CACHE_KIB,
    "wal_autocheckpoint": 4000,  # pages
    "journal_size_limit": 64 * 1024 * 1024,
}
SERVER_LIMITS = {  # seconds, but for the last: milliseconds without an answer
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": BUSY_SECONDS * 1000,
}
_ADVICE = {
    # Every identity of a batch is locked for itself; PostgreSQL's usual settings have room for some 12,000.
    "out of shared memory": "Raise PostgreSQL's max_locks_per_transaction, or lower SWX_BATCH",
    "disk is full": "Free disk space",
    "malformed": "Restore the database from a backup; `swexchange db check` says more",
}


def parse_url(url: str) -> URL:
    """A database URL: sqlite:///path or postgresql://user:password@host/name. Raises ConfigFault."""
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):  # the latter: of a port that is no number
        raise ConfigFault("the database URL is wrong", do=_URLS) from None
    if parsed.get_backend_name() == "postgresql":
        if "@" in (parsed.host or ""):  # the rest of a password: it would be shown wherever the host is
            raise ConfigFault("the database URL has more than one @", do="Write one in a password as %40")
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise ConfigFault(f"there is no store for {parsed.drivername}", do=_URLS)
    if parsed.database in (None, "", ":memory:") or parsed.host or parsed.query:
        raise ConfigFault("the database URL names no file, or more than a file", do=_URLS)
    return parsed


def where(url: URL) -> str:
    """The database as an error names it: without password."""
    return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)


def folder_of(url: str) -> Path | None:
    """The folder of an SQLite database; None for PostgreSQL. Raises ConfigFault."""
    parsed = parse_url(url)
    return Path(str(parsed.database)).resolve().parent if parsed.get_backend_name() == "sqlite" else None


def is_missing(url: URL) -> bool:
    """Whether an SQLite database has no file yet: opening it would make one, with the wrong owner perhaps."""
    return url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()


def make_engine(url: URL, *, read_only: bool = False) -> Engine:
    """An engine with one connection at rest, set up and checked when it is made."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, read_only)
    options = f"-c lock_timeout={BUSY_SECONDS}s -c statement_timeout={2 * BUSY_SECONDS}s"
    options += " -c idle_in_transaction_session_timeout=300s"
    if read_only:
        options += " -c default_transaction_read_only=on"
    arguments = {**SERVER_LIMITS, "options": options}
    # Pinged before use: after a restart of the server, a connection at rest must not cost a batch.
    engine = sqlalchemy.create_engine(
        url, pool_size=1, pool_pre_ping=True, hide_parameters=True, connect_args=arguments
    )
    event.listen(engine, "connect", _check_postgresql)
    return engine


def _sqlite(url: URL, read_only: bool) -> Engine:
    # Without creating it: a file that was moved away would have an empty one in its place. Transactions are begun
    # by us, not by the driver.
    name = f"file:{quote(str(url.database))}?mode=rw"
    options = {"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False}  # the pool sees to that
    connect = partial(sqlite3.connect, name, uri=True, **options)
    engine = sqlalchemy.create_engine(url, pool_size=1, hide_parameters=True, creator=connect)

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        connection.execute(f"PRAGMA page_size={SQLITE_PAGE}")
        for name, value in _PRAGMAS.items():
            connection.execute(f"PRAGMA {name}={value}")
            found = connection.execute(f"PRAGMA {name}").fetchone()[0]
            if found != value:
                what = f"SQLite has {name}={found}, {value} is needed"
                raise ConfigFault(what, do="Put the database on a local disk")
        connection.execute(f"PRAGMA query_only={int(read_only)}")
        record.info["files"] = _files(url)
        connection.create_function("sha256", 1, _sha256, deterministic=True)  # PostgreSQL has its own

    def begin(connection: PoolProxiedConnection) -> None:
        driver: Any = connection.driver_connection
        if read_only:
            driver.execute("BEGIN")
        else:
            _begin_immediate(driver)

    # Not by an event: with a listener, every connection taken from the pool sets up those of all events.
    engine.dialect.do_begin = begin  # type: ignore[method-assign, assignment]
    return engine


def _sha256(value: object) -> bytes | None:
    """Of a value that is no bytes, as SQLite allows, there is none, unless it is as empty as they would be."""
    known = b"" if value == "" else value
    return hashlib.sha256(known).digest() if isinstance(known, bytes) else None


def _begin_immediate(driver: sqlite3.Connection) -> None:
    """Wait for the one write lock, looking every millisecond: SQLite's own handler sleeps up to 100."""
    deadline = time.monotonic() + BUSY_SECONDS
    driver.execute(_IMPATIENT)
    try:
        while True:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS)
            else:
                return
    finally:
        driver.execute(_PATIENT)


def _check_postgresql(connection: Any, _record: object) -> None:
    settings = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in DURABLE}
    for problem in judge_settings(settings):
        raise ConfigFault(f"{problem.what}: it could lose messages", do=problem.do)
    connection.commit()


@contextmanager
def transaction(engine: Engine, *, synced: bool = True) -> Iterator[Connection]:
    """A transaction; without `synced` its commit does not wait for the disk, and a crash may undo it.

    Both on one connection: a second one that writes would spoil SQLite's page cache at every turn.
    """
    with engine.connect() as connection:
        if is_sqlite(connection):
            require_same_files(connection)
            pragma = f"PRAGMA synchronous={_FULL if synced else _NORMAL}"
            driver: Any = connection.connection.driver_connection
            with as_sqlalchemy(connection, pragma):
                driver.execute(pragma)  # within a transaction it could not be changed any more
        with connection.begin():
            if not (synced or is_sqlite(connection)):
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield connection
        if is_sqlite(connection):
            require_same_files(connection)


def _files(url: URL) -> dict[str, tuple[int, int] | None]:
    """Which files are at the paths that an SQLite database consists of while it is open; None = there is none."""
    return {path: _file(path) for path in (f"{url.database}{end}" for end in ("", "-wal", "-shm"))}


def _file(path: str) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)  # noqa: PTH116 - at every transaction, and a Path takes as long again
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def require_same_files(connection: Connection) -> None:
    """Refuse to go on with files that are not at their paths any more: nobody would find there what was committed.

    Before a transaction: whoever comes later has another -shm, where no lock of ours is seen, and two would write at
    once. After the commit: what is moved or removed later has it, as whoever does that means it to.
    """
    opened: dict[str, tuple[int, int] | None] = connection.info["files"]
    for path, file in opened.items():
        if file != _file(path):
            raise StoreDown(
                f"the database file {path} was moved, removed or replaced while it was in use",
                where=where(connection.engine.url),
                do="Put it back, or stop the daemon, see to it that the right one is there, and start again",
            )


@contextmanager
def one_transaction(engine: Engine, place: str) -> Iterator[Connection]:
    """The only transaction of an engine, which is disposed of behind it; faults name the place."""
    try:
        with faults(place), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def faults(place: str) -> Iterator[None]:
    """Turns the drivers' errors into ours: refused data apart from a database that does not do its work."""
    try:
        yield
    except (exc.DataError, exc.IntegrityError) as error:
        raise Unstorable(f"the database refuses the data: {_said(error)}", where=place) from error
    except exc.DBAPIError as error:
        said = _said(error)
        raise StoreDown(f"the database fails: {said}", where=place, do=_advice(said)) from error
    except exc.TimeoutError as error:
        raise StoreDown("no connection became free in time", where=place) from error


@contextmanager
def as_sqlalchemy(connection: Connection, statement: str) -> Iterator[None]:
    """For work on the driver itself: its errors become SQLAlchemy's, which `faults` knows."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        raise exc.DBAPIError.instance(statement, None, error, driver.Error, True, dialect=connection.dialect) from error


def _advice(said: str) -> str:
    known = (advice for symptom, advice in _ADVICE.items() if symptom in said)
    return next(known, "Check that it runs, its disk has room, and its permissions")


def _said(error: exc.DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0][:300]


def is_sqlite(connection: Connection) -> bool:
    """Whether this is SQLite."""
    return connection.dialect.name == "sqlite"
