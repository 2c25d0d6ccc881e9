"""Connections: how each database must be set up to keep a promise, checked at every connect.

SQLite is in WAL mode with synchronous=FULL; transactions begin IMMEDIATE, since a read that
turns into a write fails at once under concurrency. PostgreSQL must have fsync and commits durable.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.engine import URL, make_url

from swexchange.errors import ConfigFault, StoreDown, Unstorable

BUSY_SECONDS = 30
SQLITE_CACHE_KIB = 32_000
_FULL, _NORMAL = 2, 1
_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": _FULL,
    "busy_timeout": BUSY_SECONDS * 1000,
    "cache_size": -SQLITE_CACHE_KIB,
    "wal_autocheckpoint": 4000,  # pages
    "journal_size_limit": 64 * 1024 * 1024,
}
_NO_WAIT_WITHOUT_END = {  # seconds, but for the last: milliseconds without an answer
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": BUSY_SECONDS * 1000,
}
_DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


def parse_url(url: str) -> URL:
    """A database URL: sqlite:///path or postgresql://user:password@host/name. Raises ConfigFault."""
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        raise ConfigFault("the database URL is wrong", do="Use sqlite:///path or postgresql://...") from None
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise ConfigFault(
            f"there is no store for {parsed.get_backend_name()}", do="Use sqlite:///path or postgresql://..."
        )
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


def make_engine(url: URL, *, durable: bool = True, read_only: bool = False) -> Engine:
    """An engine; without `durable` a commit is not synced to disk and may be undone by a crash."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, durable, read_only)
    options = f"-c lock_timeout={BUSY_SECONDS}s -c statement_timeout={2 * BUSY_SECONDS}s"
    options += " -c idle_in_transaction_session_timeout=300s"
    if not durable:
        options += " -c synchronous_commit=off"
    arguments = {**_NO_WAIT_WITHOUT_END, "options": options}
    # Pinged before use: after a restart of the server, a connection at rest must not cost a batch.
    engine = sqlalchemy.create_engine(
        url, pool_size=1, pool_pre_ping=True, hide_parameters=True, connect_args=arguments
    )
    if durable:
        event.listen(engine, "connect", _check_postgresql)
    return engine


def _sqlite(url: URL, durable: bool, read_only: bool) -> Engine:
    # Transactions are begun by us, not by the driver.
    arguments = {"timeout": BUSY_SECONDS, "isolation_level": None}
    engine = sqlalchemy.create_engine(url, pool_size=1, hide_parameters=True, connect_args=arguments)
    pragmas = _PRAGMAS if durable else {**_PRAGMAS, "synchronous": _NORMAL}

    @event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
        for name, value in pragmas.items():
            connection.execute(f"PRAGMA {name}={value}")
            found = connection.execute(f"PRAGMA {name}").fetchone()[0]
            if found != value:
                what = f"SQLite has {name}={found}, {value} is needed"
                raise ConfigFault(what, do="Put the database on a local disk")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _check_postgresql(connection: Any, _record: object) -> None:
    for name, wanted in _DURABLE.items():
        found = connection.execute(f"SHOW {name}").fetchone()[0]
        if found != wanted and not (
            name == "synchronous_commit" and found in ("remote_write", "remote_apply", "local")
        ):
            raise ConfigFault(f"PostgreSQL has {name}={found}: it could lose messages", do=f"Set {name}={wanted}")
    connection.commit()


@contextmanager
def faults(place: str) -> Iterator[None]:
    """Turns the drivers' errors into ours: refused data apart from a database that does not do its work."""
    try:
        yield
    except (exc.DataError, exc.IntegrityError) as error:
        raise Unstorable(f"the database refuses the data: {_said(error)}", where=place) from error
    except exc.DBAPIError as error:
        do = "Check that it runs, its disk has room, and its permissions"
        raise StoreDown(f"the database fails: {_said(error)}", where=place, do=do) from error
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


def _said(error: exc.DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0][:300]


def is_sqlite(connection: Connection) -> bool:
    """Whether this is SQLite."""
    return connection.dialect.name == "sqlite"
