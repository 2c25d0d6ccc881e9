"""Fixtures of the contract tests of the store: each runs on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
import pytest

from swexchange.evidence.sealer import Sealer
from swexchange.store import Evidence, FullLedger, migrate, open_evidence, open_ledger, open_pruning
from tests import postgres
from tests.contract.place import Place, sealer_of

_numbers = count()


@dataclass(frozen=True)
class Database:
    """A database of the current version, of one test alone."""

    kind: str
    url: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds, past the store."""
        with closing(self.connect()) as link:
            found: list[tuple[Any, ...]] = link.execute(query).fetchall()
            link.commit()
            return found

    def connect(self) -> Any:
        """A connection of the plain driver."""
        return sqlite3.connect(self.path) if self.kind == "sqlite" else psycopg.connect(self.url)

    @property
    def path(self) -> str:
        """The file of a SQLite database."""
        return self.url.removeprefix("sqlite:///")


def change(database: Database, *statements: str) -> None:
    """What somebody with the database's password does."""
    with closing(database.connect()) as link:
        for statement in statements:
            link.execute(statement)
        link.commit()


@cache
def _empty_sqlite(folder: Path) -> Path:
    path = folder / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@cache
def _empty_postgresql() -> str:
    migrate.upgrade(postgres.shared().create("template_swx"))
    return "template_swx"


@pytest.fixture(scope="session")
def templates() -> Iterator[Path]:
    """The folder of databases that others are copies of."""
    folder = Path(mkdtemp(prefix="swx-databases-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, templates: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    if request.param == "sqlite":
        shutil.copy(_empty_sqlite(templates), tmp_path / "store.db")
        yield Database("sqlite", f"sqlite:///{tmp_path}/store.db")
        return
    name = f"test{next(_numbers)}"
    yield Database("postgresql", postgres.shared().create(name, _empty_postgresql()))
    postgres.shared().drop(name)


@pytest.fixture
def ledger(database: Database) -> Iterator[FullLedger]:
    """The store on an empty database."""
    with open_ledger(database.url) as opened:
        yield opened


@pytest.fixture
def log(database: Database) -> Iterator[Evidence]:
    """The Merkle log on that database; modules that need more of it say so."""
    with open_evidence(database.url) as opened:
        yield opened


@pytest.fixture
def sealer(log: Evidence, tmp_path: Path) -> Sealer:
    """Seals the log, and remembers it in audit.head."""
    return sealer_of(log, tmp_path / "audit.head")


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Iterator[Place]:
    """A log on that database, its sealer, its archive files, and who prunes."""
    with open_pruning(database.url) as opened:
        yield Place(opened, tmp_path)
