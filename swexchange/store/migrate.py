"""The version of a database: made current, or found wanting. Alembic does the work."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import inspect, text

from swexchange.errors import ConfigFault, StoreDown
from swexchange.store.engine import faults, is_missing, make_engine, parse_url, where
from swexchange.store.tables import metadata


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("swexchange.store").joinpath("migrations")))
    return config


def newest() -> str:
    """The version that this code works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def upgrade(url: str) -> tuple[str, str]:
    """Bring a database to the newest version; (before, after), '' = it was empty.

    A step that fails leaves the database as it was. Raises ConfigFault for one that is newer than this code.
    """
    parsed = parse_url(url)
    before = version(url)
    _refuse_newer(before, where(parsed))
    if is_missing(parsed):
        _create(Path(str(parsed.database)))
    engine = make_engine(parsed)
    try:
        with faults(where(parsed)), engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigFault(f"the database cannot be upgraded: {error}", where=where(parsed)) from error
    finally:
        engine.dispose()
    return before, newest()


def _create(path: Path) -> None:
    """An empty database that only its owner and group may read; SQLite gives its other files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o660))
    except OSError as error:
        raise StoreDown(f"cannot create the database: {error.strerror}", where=str(path)) from None


def version(url: str) -> str:
    """The version of a database; '' for one without our tables. Raises StoreDown."""
    parsed = parse_url(url)
    if is_missing(parsed):
        return ""
    engine = make_engine(parsed, read_only=True)
    try:
        with faults(where(parsed)), engine.begin() as connection:
            return MigrationContext.configure(connection).get_current_revision() or ""
    finally:
        engine.dispose()


def _refuse_newer(found: str, place: str) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found and found not in known:
        what = f"the database has version {found}, this program knows {newest()} at most"
        raise ConfigFault(what, where=place, do="Run the newer program, or restore an older database")


def require_current(url: str) -> None:
    """Raise ConfigFault unless the database is at the newest version."""
    place, found = where(parse_url(url)), version(url)
    _refuse_newer(found, place)
    if found != newest():
        what = f"the database is at version {found or 'none'}, {newest()} is needed"
        raise ConfigFault(what, where=place, do="Run `swexchange db upgrade`")


def check(url: str) -> list[str]:
    """What is wrong with a database: its version, SQLite's own integrity. Raises StoreDown, ConfigFault."""
    require_current(url)
    parsed = parse_url(url)
    engine = make_engine(parsed, read_only=True)
    try:
        with faults(where(parsed)), engine.begin() as connection:
            if connection.dialect.name != "sqlite":
                missing = set(metadata.tables) - set(inspect(connection).get_table_names())
                return [f"table {name} is missing" for name in sorted(missing)]
            found = connection.execute(text("PRAGMA quick_check(20)")).scalars().all()
            return [str(line) for line in found if line != "ok"]
    finally:
        engine.dispose()
