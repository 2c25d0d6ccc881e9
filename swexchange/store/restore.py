"""Puts what `snapshot` saved into an empty database of either kind: all of it, or nothing."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection, cast, exists, func, insert, inspect, select, text
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.engine import URL

from swexchange.crashpoint import crashpoint
from swexchange.durable import making, sync
from swexchange.errors import ConfigFault, StoreDown
from swexchange.store import rows
from swexchange.store.engine import is_sqlite, make_engine, one_transaction, parse_url, where
from swexchange.store.migrate import upgrade_within
from swexchange.store.snapshot import Advance, Snapshot, open_saved
from swexchange.store.tables import batch, batch_number, metadata
from swexchange.store.version import NEWEST, version_within

GAP = 1_000_000_000  # batch numbers that are left out: more than a database gives out between two backups
_BESIDE = ("", "-wal", "-shm", "-journal")  # files of an SQLite database, after its own name
_LOCK = text("LOCK TABLE batch IN ACCESS EXCLUSIVE MODE")


def require_empty(url: str) -> None:
    """Raise ConfigFault where a database holds anything, StoreDown where it cannot be asked."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        _refuse_files(Path(str(parsed.database)))
        return
    with one_transaction(make_engine(parsed, read_only=True), where(parsed)) as connection:
        _refuse_rows(connection, where(parsed))


def restore(saved: Path, url: str, now: datetime, advance: Advance) -> None:
    """Make an empty database hold what a saved file does; `advance` is told of rows done.

    A crash at any moment leaves the database as empty as it was. Raises ConfigFault, StoreDown.
    """
    require_empty(url)
    parsed = parse_url(url)
    with open_saved(saved) as snapshot:
        if snapshot.version != NEWEST:
            what = f"the backup is of database version {snapshot.version}, this program makes {NEWEST}"
            do = "Restore it with the program that made it, then run `swexchange db upgrade` of this one"
            raise ConfigFault(what, where=str(saved), do=do)
        total = sum(snapshot.rows.values())  # asked first: a file without them is no backup
        if parsed.get_backend_name() == "sqlite":
            _as_file(saved, Path(str(parsed.database)), now)
            advance(total)
        else:
            _into_server(snapshot, parsed, now, advance)


def remove(url: str) -> None:
    """Take away what `restore` made: the tables, or the file."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        for end in _BESIDE:
            Path(f"{parsed.database}{end}").unlink(missing_ok=True)
        return
    with one_transaction(make_engine(parsed), where(parsed)) as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")


def _into_server(snapshot: Snapshot, url: URL, now: datetime, advance: Advance) -> None:
    with one_transaction(make_engine(url), where(url)) as connection:
        upgrade_within(connection)
        connection.execute(_LOCK)  # nobody writes a first row from here on
        _refuse_rows(connection, where(url))
        snapshot.copy(connection, where(url), advance)
        _count_on(connection)
        _leave_gap(connection, now)
        crashpoint("restored")


def _refuse_rows(connection: Connection, place: str) -> None:
    found = version_within(connection)
    tables = inspect(connection).get_table_names()
    if found == NEWEST:
        tables = [t.name for t in metadata.sorted_tables if connection.execute(select(exists(select(t)))).scalar()]
    if tables:
        raise ConfigFault(
            f"the database is not empty: it has {', '.join(tables[:3])}",
            where=place,
            do="Name an empty one; if it is what a restore or drill left that was cut off, make this one anew",
        )


def _refuse_files(path: Path) -> None:
    for there in (path.with_name(path.name + end) for end in _BESIDE):
        if there.exists():
            do = "Move it away together with its -wal and -shm, or name another database in SWX_DATABASE_URL"
            raise ConfigFault("a database is there already", where=str(there), do=do)


def _as_file(saved: Path, path: Path, now: datetime) -> None:
    """The saved file under its new name, which it gets in one step and only if nobody has it."""
    new = path.with_name(path.name + ".restoring")
    try:
        with making(new, 0o600):  # it holds every message
            # Of a restore that was killed: SQLite would put what it says into this file.
            new.with_name(new.name + "-journal").unlink(missing_ok=True)
            shutil.copyfile(saved, new)
            with one_transaction(sqlalchemy.create_engine(f"sqlite:///{new}"), str(new)) as connection:
                _leave_gap(connection, now)
            sync(new)
            crashpoint("restored")
            os.link(new, path)
        sync(path.parent)
    except FileExistsError:
        _refuse_files(path)
    except OSError as error:
        raise StoreDown(f"cannot write the database: {error.strerror}", where=str(path)) from None


def _count_on(connection: Connection) -> None:
    """PostgreSQL's sequences go on behind what was restored."""
    for number in (table.autoincrement_column for table in metadata.sorted_tables):
        if number is None:
            continue
        sequence = cast(func.pg_get_serial_sequence(number.table.name, number.name), REGCLASS)
        following = func.coalesce(func.max(number), 0) + 1
        connection.execute(select(func.setval(sequence, following, False)))


def _leave_gap(connection: Connection, now: datetime) -> None:
    """An empty batch far behind the last one: those after it get no number of a batch that was lost.

    A worker that outlived the restore would else settle, for its own, a batch of somebody else.
    """
    last = connection.execute(select(batch.c.id, batch.c.rules_digest).order_by(batch.c.id.desc()).limit(1)).first()
    number, at = (last.id if last else 0) + GAP, rows.microseconds(now)
    row = {"id": number, "rules_digest": last.rules_digest if last else "", "committed_at": at, "settled_at": at}
    connection.execute(insert(batch), row)
    if not is_sqlite(connection):  # which counts on from its last row
        connection.execute(select(func.setval(cast(batch_number.name, REGCLASS), number)))
