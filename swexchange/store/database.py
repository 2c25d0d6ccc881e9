"""What every part of the store opens: one connection to write, one to read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, event

from swexchange.store.engine import (
    faults,
    is_sqlite,
    make_engine,
    parse_url,
    require_same_files,
    transaction,
    where,
)

_PAGES = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
_SIZE = "SELECT pg_database_size(current_database())"


class Database:
    """A database by its URL, connected when first used; for one thread. Close it.

    Readers have a connection of their own: SQLite's writers wait for each other, readers for nobody.
    """

    def __init__(self, url: str) -> None:
        parsed = parse_url(url)
        self._where = where(parsed)
        self._engine, self._reader = make_engine(parsed), make_engine(parsed, read_only=True)
        event.listen(self._engine, "connect", lambda *_: self._connected())

    def close(self) -> None:
        """End all connections."""
        for engine in (self._engine, self._reader):
            engine.dispose()

    def _connected(self) -> None:
        """Behind a new connection there may be another database, a restored one: what was known of it is forgotten."""

    def stored(self) -> int:
        """Bytes that the database holds, without what was freed and is used again. Raises StoreDown."""
        with self._reading() as connection:
            return int(connection.exec_driver_sql(_PAGES if is_sqlite(connection) else _SIZE).scalar_one())

    @contextmanager
    def _reading(self, *, snapshot: bool = False) -> Iterator[Connection]:
        """A transaction; in a snapshot all its statements see one moment, as SQLite's always do."""
        with faults(self._where), self._reader.connect() as connection:
            if snapshot and not is_sqlite(connection):
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                if is_sqlite(connection):
                    require_same_files(connection)  # else what others have written since would never be seen
                yield connection

    @contextmanager
    def _writing(self, *, synced: bool = True) -> Iterator[Connection]:
        """A transaction; see `engine.transaction` for one that is not synced."""
        with faults(self._where), transaction(self._engine, synced=synced) as connection:
            yield connection
