"""All SQL: what was decided, what is owed, and the audit log that answers for both.

The only importer of SQLAlchemy, Alembic and psycopg. Read `tables.py`, then `ledger.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from swexchange.store.archive import Archive, Filter
from swexchange.store.migrate import require_current
from swexchange.store.owed import FullLedger

__all__ = ["Archive", "Filter", "FullLedger", "open_archive", "open_ledger"]


@contextmanager
def open_ledger(url: str) -> Iterator[FullLedger]:
    """The store of a worker. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    ledger = FullLedger(url)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def open_archive(url: str) -> Iterator[Archive]:
    """The audit log, to read. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    archive = Archive(url)
    try:
        yield archive
    finally:
        archive.close()
