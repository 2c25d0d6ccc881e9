"""All SQL: what was decided, what is owed, and the audit log that answers for both.

The only importer of SQLAlchemy, Alembic and psycopg. Read `tables.py`, then `ledger.py`.
"""

from contextlib import AbstractContextManager, closing

from swexchange.core.search import Filter
from swexchange.store.archives import Archives
from swexchange.store.attempts import Attempts
from swexchange.store.audit_log import AuditLog
from swexchange.store.backlog import Backlog
from swexchange.store.evidence import Evidence
from swexchange.store.file_pruning import FilePruning
from swexchange.store.history import History
from swexchange.store.holds import Holds
from swexchange.store.owed import FullLedger
from swexchange.store.readable import OnDamage, ignore
from swexchange.store.replay_run import Runner, Running
from swexchange.store.replays import Replays
from swexchange.store.tally import Tally
from swexchange.store.version import require_current

__all__ = [
    "Archives",
    "Attempts",
    "AuditLog",
    "Backlog",
    "Evidence",
    "FilePruning",
    "Filter",
    "FullLedger",
    "History",
    "Holds",
    "Replays",
    "Runner",
    "Running",
    "Tally",
    "open_archives",
    "open_audit_log",
    "open_backlog",
    "open_evidence",
    "open_history",
    "open_holds",
    "open_ledger",
    "open_pruning",
    "open_replays",
    "open_running",
    "open_tally",
]


def open_ledger(url: str, on_damage: OnDamage = ignore) -> AbstractContextManager[FullLedger]:
    """The store of a worker; `on_damage` is told of rows that it cannot read.

    Raises ConfigFault unless the database is at the current version.
    """
    require_current(url)
    return closing(FullLedger(url, on_damage))


def open_backlog(url: str, on_damage: OnDamage = ignore) -> AbstractContextManager[Backlog]:
    """The store of an upstream's forwarder; `on_damage` as above.

    Raises ConfigFault unless the database is at the current version.
    """
    require_current(url)
    return closing(Backlog(url, on_damage))


def open_audit_log(url: str) -> AbstractContextManager[AuditLog]:
    """The audit log, to read. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(AuditLog(url))


def open_evidence(url: str) -> AbstractContextManager[Evidence]:
    """The Merkle log. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Evidence(url))


def open_archives(url: str) -> AbstractContextManager[Archives]:
    """What is archived, and is to be. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Archives(url))


def open_pruning(url: str) -> AbstractContextManager[FilePruning]:
    """What may be taken out of the database, and out of archives.

    Raises ConfigFault unless the database is at the current version.
    """
    require_current(url)
    return closing(FilePruning(url))


def open_holds(url: str) -> AbstractContextManager[Holds]:
    """Legal holds. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Holds(url))


def open_history(url: str) -> AbstractContextManager[History]:
    """The audit log, to decide much of it again. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(History(url))


def open_replays(url: str) -> AbstractContextManager[Replays]:
    """All replays. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Replays(url))


def open_running(url: str, replay_id: str, runner: Runner, max_bytes: int) -> AbstractContextManager[Running]:
    """The items of one replay, to run it. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Running(url, replay_id, runner, max_bytes))


def open_tally(url: str) -> AbstractContextManager[Tally]:
    """The audit log, counted by day. Raises ConfigFault unless the database is at the current version."""
    require_current(url)
    return closing(Tally(url))
