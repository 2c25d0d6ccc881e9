"""Brings a database to the newest version. Alembic does the work."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from swexchange.errors import ConfigFault, StoreDown
from swexchange.store.engine import is_missing, is_sqlite, make_engine, one_transaction, parse_url, where
from swexchange.store.version import NEWEST, refuse_newer, version

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('swexchange/upgrade', 0))")


def upgrade(url: str) -> tuple[str, str]:
    """Bring a database to the newest version; (before, after), '' = it was empty.

    A step that fails leaves the database as it was. Raises ConfigFault for one that is newer than this code.
    """
    parsed = parse_url(url)
    before = version(url)
    refuse_newer(before, where(parsed))
    if is_missing(parsed):
        _create(Path(str(parsed.database)))
    try:
        with one_transaction(make_engine(parsed), where(parsed)) as connection:
            upgrade_within(connection)
    except CommandError as error:
        raise ConfigFault(f"the database cannot be upgraded: {error}", where=where(parsed)) from error
    return before, NEWEST


def upgrade_within(connection: Connection) -> None:
    """The same as part of an open transaction; who does the same meanwhile waits for its end."""
    if not is_sqlite(connection):  # which has one writer anyway
        connection.execute(_LOCK)
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _create(path: Path) -> None:
    """An empty database that only its owner and group may read; SQLite gives its other files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o660))
    except OSError as error:
        raise StoreDown(f"cannot create the database: {error.strerror}", where=str(path)) from None


def configuration() -> Config:
    """Where Alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(files("swexchange.store").joinpath("migrations")))
    return config
