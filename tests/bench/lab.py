"""Everything a run of the benchmark works with, set up once and torn down at the end, whatever happens."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from swexchange.store import migrate
from tests.bench import databases, node, parties
from tests.bench.databases import Database
from tests.bench.messages import Stock
from tests.bench.node import Node
from tests.bench.parties import Parties
from tests.bench.progress import Progress
from tests.bench.scale import Scale


@dataclass(frozen=True, slots=True)
class Lab:
    """One broker, both databases on the same disk, rules files, and prepared messages."""

    folder: Path
    parties: Parties
    node: Node
    stock: Stock
    databases: Mapping[str, Database]  # sqlite, postgresql
    scale: Scale
    progress: Progress

    @contextmanager
    def fresh(self, name: str) -> Iterator[str]:
        """The URL of a new database with the store's tables and nothing in them; removed at the end."""
        with self.databases[name].empty() as url:
            migrate.upgrade(url)
            yield url


@contextmanager
def opened(parent: Path | None, scale: Scale, progress: Progress) -> Iterator[Lab]:
    """A laboratory in a new folder below `parent` (default: the system's temporary folder)."""
    folder = Path(tempfile.mkdtemp(prefix="swx-bench-", dir=parent))
    folder.chmod(0o711)  # PostgreSQL's own user has to reach its data
    try:
        people = parties.write(folder)
        with node.started(folder / "rabbit", people.everyone) as broker, databases.started(folder) as found:
            yield Lab(folder, people, broker, Stock(folder / "messages"), found, scale, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
