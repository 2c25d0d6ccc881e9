"""The version of a database: looked up and found wanting. Without Alembic, since every start asks for it."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from swexchange.errors import ConfigFault
from swexchange.store.engine import is_missing, is_sqlite, make_engine, one_transaction, parse_url, where
from swexchange.store.tables import metadata

VERSIONS = ("0001", "0002")  # oldest first; each is a module of `migrations`
NEWEST = VERSIONS[-1]  # the one that this code works with

# We have none. One that somebody planted, in a backup too, could mark what is owed as sent.
_SQLITE_TRIGGERS = text("SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1, 2")
_TRIGGERS = text("""
    SELECT class.relname, tgname FROM pg_trigger JOIN pg_class AS class ON class.oid = tgrelid
    WHERE NOT tgisinternal AND class.relnamespace = current_schema()::regnamespace ORDER BY 1, 2
""")


def version(url: str) -> str:
    """The version of a database; '' for one without our tables. Raises StoreDown."""
    parsed = parse_url(url)
    if is_missing(parsed):
        return ""
    with one_transaction(make_engine(parsed, read_only=True), where(parsed)) as connection:
        return version_within(connection)


def version_within(connection: Connection) -> str:
    """The version that an open transaction sees; '' for a database without our tables."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def refuse_newer(found: str, place: str) -> None:
    """Raise ConfigFault for a version that this code does not know."""
    if found and found not in VERSIONS:
        what = f"the database has version {found}, this program knows {NEWEST} at most"
        raise ConfigFault(what, where=place, do="Run the newer program, or restore an older database")


def require_current(url: str) -> None:
    """Raise ConfigFault unless the database is at the newest version."""
    place, found = where(parse_url(url)), version(url)
    refuse_newer(found, place)
    if found != NEWEST:
        what = f"the database is at version {found or 'none'}, {NEWEST} is needed"
        raise ConfigFault(what, where=place, do="Run `swexchange db upgrade`")


def check(url: str) -> list[str]:
    """What is wrong with a database: its version, its tables, triggers. Raises StoreDown, ConfigFault."""
    require_current(url)
    parsed = parse_url(url)
    with one_transaction(make_engine(parsed, read_only=True), where(parsed)) as connection:
        triggers = connection.execute(_SQLITE_TRIGGERS if is_sqlite(connection) else _TRIGGERS).all()
        foreign = [f"table {table} has a trigger {name} that is not ours: see what it does" for table, name in triggers]
        if not is_sqlite(connection):
            missing = set(metadata.tables) - set(inspect(connection).get_table_names())
            return [*(f"table {name} is missing" for name in sorted(missing)), *foreign]
        found = connection.execute(text("PRAGMA quick_check(20)")).scalars().all()
        return [*(str(line) for line in found if line != "ok"), *foreign]
