"""All SQL: what was decided, what is owed, and the audit log that answers for both.

The only importer of SQLAlchemy, Alembic and psycopg. Read `tables.py`, then `ledger.py`.
"""

from contextlib import AbstractContextManager, closing

from swexchange.store.archive import Archive, Filter
from swexchange.store.attempts import Attempts
from swexchange.store.backlog import Backlog
from swexchange.store.evidence import Evidence
from swexchange.store.history import History
from swexchange.store.migrate import require_current
from swexchange.store.owed import FullLedger

__all__ = [
    "Archive",
    "Attempts",
    "Backlog",
    "Evidence",
    "Filter",
    "FullLedger",
    "History",
    "open_archive",
    "open_backlog",
    "open_evidence",
    "open_history",
    "open_ledger",
]


def open_ledger(url: str) -> AbstractContextManager[FullLedger]:
    """The store of a worker. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(FullLedger(url))


def open_backlog(url: str) -> AbstractContextManager[Backlog]:
    """The store of an upstream's forwarder. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Backlog(url))


def open_archive(url: str) -> AbstractContextManager[Archive]:
    """The audit log, to read. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Archive(url))


def open_evidence(url: str) -> AbstractContextManager[Evidence]:
    """The Merkle log. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Evidence(url))


def open_history(url: str) -> AbstractContextManager[History]:
    """The audit log, to decide much of it again. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(History(url))
