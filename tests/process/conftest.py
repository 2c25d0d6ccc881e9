"""Fixtures of the process tests: a house on the shared RabbitMQ, with SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.house import House, house


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """A furnished house; its daemons end with the test."""
    built = house(tmp_path)
    yield built
    built.close()
