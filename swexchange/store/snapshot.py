"""All rows of a database at one moment, and one SQLite file that holds them, whatever kind of database it was.

Rows are read table by table in one transaction, which sees nothing of what is written meanwhile and
holds nobody up. Putting them back is `restore`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Connection, Engine, func, select

from swexchange.durable import sync
from swexchange.store.engine import SQLITE_PAGE, faults, make_engine, one_transaction, parse_url, where
from swexchange.store.evidence_tables import checkpoint
from swexchange.store.ledger import add_rows
from swexchange.store.migrate import upgrade_within
from swexchange.store.tables import attempt, metadata
from swexchange.store.version import require_current, version_within

PAGE = 200  # rows held in memory: messages may be large
UNSYNCED = 1024 * 1024  # bytes of a file that is written, about, before they are brought to the disk
TABLES = [table for table in metadata.sorted_tables if table is not attempt]  # workers of that moment: none is left

Advance = Callable[[int], object]
_newest = select(checkpoint.c.note).order_by(checkpoint.c.size.desc()).limit(1)


class Snapshot:
    """A database as it was at one moment, of any version until its rows are asked for."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.version = connection, version_within(connection)

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """How many there are, by table."""
        counts = ((table.name, select(func.count()).select_from(table)) for table in TABLES)
        return {name: self.connection.execute(count).scalar_one() for name, count in counts}

    @cached_property
    def checkpoint(self) -> str:
        """The log's newest, with its signatures; '' = nothing is sealed."""
        return self.connection.execute(_newest).scalar() or ""

    def save(self, path: Path, advance: Advance) -> None:
        """Write all of it into a new SQLite file; `advance` is told of rows done. Raises StoreDown, OSError.

        The file is whole once this returns: it has no journal, and is synced to disk at the end.
        """
        path.touch(0o600, exist_ok=False)  # it holds every message
        with one_transaction(_fresh(path), str(path)) as target:
            upgrade_within(target)
            self.copy(target, str(path), _synced(path, advance))
        sync(path)

    def copy(self, target: Connection, place: str, advance: Advance) -> None:
        """Add all rows to the empty tables of another database; faults of that one name the place."""
        for table in TABLES:
            query = select(table).order_by(*table.primary_key).execution_options(yield_per=PAGE)
            for page in self.connection.execute(query).partitions():
                with faults(place):
                    add_rows(target, table, page)
                advance(len(page))


@contextmanager
def open_snapshot(url: str) -> Iterator[Snapshot]:
    """A database as it is now, for as long as this is open. Raises ConfigFault, StoreDown."""
    require_current(url)
    parsed = parse_url(url)
    engine = make_engine(parsed, read_only=True)
    if parsed.get_backend_name() != "sqlite":  # there, any transaction that reads is a snapshot
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with one_transaction(engine, where(parsed)) as connection:
        yield Snapshot(connection)


@contextmanager
def open_saved(path: Path) -> Iterator[Snapshot]:
    """A file that `Snapshot.save` wrote; not a byte of it, or beside it, is changed. Raises StoreDown."""
    name = f"file:{quote(str(path.resolve()))}?immutable=1"
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: sqlite3.connect(name, uri=True))
    with one_transaction(engine, str(path)) as connection:
        yield Snapshot(connection)


def _synced(path: Path, advance: Advance) -> Advance:
    """`advance`, and the file on the disk as far as it is written: all at the end, daemons would wait behind it."""
    synced = 0

    def go_on(rows: int) -> None:
        nonlocal synced
        size = path.stat().st_size
        if size - synced >= UNSYNCED:
            sync(path)
            synced = size
        advance(rows)

    return go_on


def _fresh(path: Path) -> Engine:
    """A new SQLite file, to be written once and as fast as it goes."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", hide_parameters=True)

    @sqlalchemy.event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in (f"page_size={SQLITE_PAGE}", "journal_mode=OFF", "synchronous=OFF", "cache_size=-16000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
