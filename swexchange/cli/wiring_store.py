"""Builds from settings what stands on the store; apart from `wiring`, since most commands need no database."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from swexchange import keyfile
from swexchange.clock import utc_now
from swexchange.core.checkpoint import Verifier, is_name
from swexchange.core.keys import SigningKey
from swexchange.core.watermark import Watermarks
from swexchange.errors import ConfigFault, StoreDown
from swexchange.evidence.sealer import HighWater, Sealer, checked
from swexchange.settings import Settings
from swexchange.store import Evidence, open_evidence
from swexchange.store.engine import folder_of

MB = 1_000_000


def watermarks(settings: Settings) -> Watermarks:
    """When the intake stops and resumes."""
    disk = (mb * MB for mb in (settings.disk_stop_mb, settings.disk_resume_mb))
    return Watermarks(settings.backlog_stop, settings.backlog_resume, *disk)


def free_disk(settings: Settings) -> Callable[[], int | None]:
    """Looks how many bytes are free beside an SQLite database; None: PostgreSQL's disk cannot be seen from here.

    The look raises StoreDown where the folder is not there.
    """
    folder = folder_of(settings.database_url)
    return lambda: _free(folder) if folder else None


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise StoreDown(f"cannot look at the database's folder: {error.strerror}", where=str(folder)) from None


def disk_room(settings: Settings) -> Callable[[], int | None]:
    """Looks how many bytes of disk there are until the intake has to stop; None as above. Raises ConfigFault."""
    free, stop = free_disk(settings), watermarks(settings).disk_stop
    return lambda: None if (found := free()) is None else found - stop


def log_key(settings: Settings) -> tuple[str, SigningKey]:
    """The audit log's name and the key that signs for it. Raises ConfigFault where the settings name none."""
    if not settings.audit_key:
        raise ConfigFault(
            "the audit log has no key",
            where="SWX_AUDIT_KEY",
            do="See docs/how-to/prove-an-exchange.md#switch-it-on",
        )
    if not is_name(settings.audit_origin):
        raise ConfigFault(
            f"{settings.audit_origin!r} is no name for the audit log",
            where="SWX_AUDIT_ORIGIN",
            do="Give it one that nobody else has, without blanks or '+': sw.example.gov.cn/audit",
        )
    return settings.audit_origin, keyfile.load(settings.audit_key, settings.key_folders)


def sealer(settings: Settings, log: Evidence) -> Sealer:
    """What seals the log. Raises ConfigFault where the settings name no log or no key of it."""
    return Sealer(log, *log_key(settings), HighWater(Path(settings.audit_head)), utc_now)


def refuse_rolled_back_log(settings: Settings) -> None:
    """Raise ConfigFault where the database lacks what the audit log has signed; only the sealer needs its key."""
    if settings.audit_key:
        with open_evidence(settings.database_url) as log:
            checked(log, settings.audit_origin, HighWater(Path(settings.audit_head)))


def audit_verifier(settings: Settings) -> Verifier:
    """The log's public key. Raises ConfigFault where the settings name no log or no key of it."""
    origin, key = log_key(settings)
    return Verifier(origin, key.public)
