"""The databases of a run: new ones for each measurement, and how many bytes an exchange takes. Measures no time."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests import postgres
from tests.postgres import Cluster

EXCHANGES = "SELECT count(*) FROM exchange"
SEALED = "SELECT coalesce(max(size), 0) FROM checkpoint"
# Bytes as stored, compressed or not.
MESSAGES, RECEIPTS = "SELECT sum({size}(body)) FROM exchange", "SELECT sum({size}(body)) FROM copy"
STARTS = 50  # attempts
TABLES = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"


class Database(Protocol):
    """One kind of database."""

    @property
    def process(self) -> int | None:
        """Process id of the server, if it has one."""

    @property
    def version(self) -> str:
        """The version of SQLite or of the server."""

    def empty(self) -> AbstractContextManager[str]:
        """The URL of a new database without tables, removed at the end."""

    def exchanges(self, url: str) -> int:
        """How many exchanges are recorded."""

    def sealed(self, url: str) -> int:
        """How many leaves the audit log has."""

    def settle(self, url: str) -> None:
        """Do now what would otherwise be done in the background some time after much was written."""

    def sizes(self, url: str) -> Mapping[str, int]:
        """Bytes an exchange on disk: total, body, receipt, other."""


@dataclass(frozen=True, slots=True)
class Sqlite:
    """SQLite databases in a folder."""

    folder: Path
    numbers: Iterator[int] = field(default_factory=count)
    process: int | None = None

    @property
    def version(self) -> str:
        """Of the library."""
        return sqlite3.sqlite_version

    @contextmanager
    def empty(self) -> Iterator[str]:
        """See Database."""
        path = self.folder / f"{next(self.numbers)}.db"
        try:
            yield f"sqlite:///{path}"
        finally:
            for file in self.folder.glob(f"{path.name}*"):
                file.unlink()

    def exchanges(self, url: str) -> int:
        """See Database."""
        with closing(_sqlite(url)) as link:
            return _one(link, EXCHANGES)

    def sealed(self, url: str) -> int:
        """See Database."""
        with closing(_sqlite(url)) as link:
            return _one(link, SEALED)

    def settle(self, url: str) -> None:
        """See Database."""
        with closing(_sqlite(url)) as link:
            link.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def sizes(self, url: str) -> Mapping[str, int]:
        """See Database."""
        self.settle(url)
        with closing(_sqlite(url)) as link:
            pages, size = _one(link, "PRAGMA page_count"), _one(link, "PRAGMA page_size")
            return _parts(link, pages * size, "length")


@dataclass(frozen=True, slots=True)
class Postgresql:
    """Databases of one private cluster."""

    cluster: Cluster
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def process(self) -> int | None:
        """See Database."""
        return self.cluster.process

    @property
    def version(self) -> str:
        """Of the server."""
        with psycopg.connect(self.cluster.url) as link:
            return str(link.info.parameter_status("server_version"))

    @contextmanager
    def empty(self) -> Iterator[str]:
        """See Database."""
        name = f"bench{next(self.numbers)}"
        try:
            yield self.cluster.create(name)
        finally:
            self.cluster.drop(name)
            self.settle(self.cluster.url)  # so that its writes do not disturb the next measurement

    def exchanges(self, url: str) -> int:
        """See Database."""
        with psycopg.connect(url) as link:
            return _one(link, EXCHANGES)

    def sealed(self, url: str) -> int:
        """See Database."""
        with psycopg.connect(url) as link:
            return _one(link, SEALED)

    def settle(self, url: str) -> None:
        """See Database."""
        with psycopg.connect(url, autocommit=True) as link:
            link.execute("VACUUM (ANALYZE)")
            link.execute("CHECKPOINT")

    def sizes(self, url: str) -> Mapping[str, int]:
        """See Database."""
        with psycopg.connect(url) as link:
            return _parts(link, _one(link, TABLES), "pg_column_size")

    def kill_and_start(self) -> float:
        """End the server as a power cut would, and start it again; when, on the monotonic clock, it died.

        Returns when it answers again.
        """
        os.kill(self.cluster.process, signal.SIGKILL)
        killed = time.monotonic()
        for _ in range(STARTS):  # the dead server's children may still hold its memory, for a moment
            with suppress(RuntimeError):
                self.cluster.start()
                return killed
            time.sleep(0.1)
        raise RuntimeError("PostgreSQL did not start again after it was killed")


@contextmanager
def started(folder: Path) -> Iterator[dict[str, Database]]:
    """SQLite and a new PostgreSQL cluster in a folder; the cluster is stopped at the end."""
    place = folder / "postgresql"
    place.mkdir()
    cluster = postgres.new(place)
    try:
        yield {"sqlite": Sqlite(folder), "postgresql": Postgresql(cluster)}
    finally:
        cluster.stop("immediate")


def _sqlite(url: str) -> sqlite3.Connection:
    return sqlite3.connect(url.removeprefix("sqlite:///"))


def _parts(link: Any, total: int, size: str) -> Mapping[str, int]:
    exchanges = _one(link, EXCHANGES)
    body, receipt = (_one(link, query.format(size=size)) for query in (MESSAGES, RECEIPTS))
    sums = {"total": total, "body": body, "receipt": receipt, "other": total - body - receipt}
    return {name: round(value / exchanges) for name, value in sums.items()}


def _one(link: Any, query: str) -> int:
    return int(link.execute(query).fetchone()[0])
