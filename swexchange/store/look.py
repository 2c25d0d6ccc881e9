"""Looks at the database for `doctor`, past the checks that would refuse it: facts of `health.database`."""

from __future__ import annotations

import shutil
from pathlib import Path

import sqlalchemy
from sqlalchemy.engine import URL

from swexchange.errors import ConfigFault
from swexchange.health.database import DURABLE, File, Postgresql, Sqlite
from swexchange.store.engine import SERVER_LIMITS, faults, is_missing, parse_url, where


def look(url: str) -> Sqlite | Postgresql:
    """The condition of a database. Raises ConfigFault for a wrong URL, StoreDown for one that does not answer."""
    parsed = parse_url(url)
    return _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)


def _postgresql(url: URL) -> Postgresql:
    engine = sqlalchemy.create_engine(url, hide_parameters=True, connect_args=dict(SERVER_LIMITS))
    try:
        with faults(where(url)), engine.connect() as connection:

            def said(expression: str) -> str:
                return str(connection.exec_driver_sql("SELECT current_setting(%s)", (expression,)).scalar_one())

            return Postgresql(
                where=where(url),
                settings={name: said(name) for name in DURABLE},
                clock=connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one(),
                is_standby=bool(connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()),
                is_read_only=said("default_transaction_read_only") == "on",
            )
    finally:
        engine.dispose()


def _sqlite(url: URL) -> Sqlite:
    database = Path(str(url.database)).resolve()
    beside = [database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))]
    try:
        usage = shutil.disk_usage(database.parent)
    except OSError as error:
        raise ConfigFault(f"cannot look at the database's folder: {error.strerror}", where=where(url)) from None
    return Sqlite(
        folder=str(database.parent),
        files=() if is_missing(url) else tuple(_file(path) for path in beside if path.exists()),
        file_system=_file_system(database.parent),
        free=usage.free,
        size=usage.total,
    )


def _file(path: Path) -> File:
    stat = path.stat()
    return File(str(path), stat.st_uid, stat.st_mode & 0o777)


def _file_system(folder: Path) -> str:
    """The type of the file system that holds a folder (Linux); '' where the system does not say."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    kinds = {line.split()[1].replace("\\040", " "): line.split()[2] for line in lines}
    return next((kinds[str(place)] for place in (folder, *folder.parents) if str(place) in kinds), "")
