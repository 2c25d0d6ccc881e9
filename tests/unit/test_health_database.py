"""What is made of a database's condition, of clocks and key files: the judgement alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from swexchange.health.database import File, Postgresql, Sqlite, judge_postgresql, judge_sqlite
from swexchange.health.machine import judge_clock, judge_keys

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
POSTGRESQL = Postgresql("postgresql://x", DURABLE, NOW)
SQLITE = Sqlite("/d", (File("/d/x.db", 7, 0o600), File("/d/x.db-wal", 7, 0o600)), "ext4", 10**11, 10**12)


@pytest.mark.parametrize(
    ("setting", "value", "danger"),
    [
        ("fsync", "off", "loss"),
        ("full_page_writes", "off", "loss"),
        ("synchronous_commit", "off", "loss"),
        ("synchronous_commit", "local", ""),
        ("synchronous_commit", "remote_write", ""),
        ("synchronous_commit", "remote_apply", ""),
    ],
)
def test_settings_of_postgresql(setting: str, value: str, danger: str) -> None:
    """What is durable only in appearance loses messages; stricter settings and ours are fine."""
    found = list(judge_postgresql(replace(POSTGRESQL, settings={**DURABLE, setting: value})))
    assert [str(p.danger) for p in found] == ([danger] if danger else [])
    assert all(setting in p.what and p.why and p.do for p in found)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, []),
        ({"is_standby": True, "is_read_only": True}, ["stop: postgresql://x is a standby"]),
        ({"is_read_only": True}, ["stop: postgresql://x is read-only"]),
    ],
)
def test_a_postgresql_that_takes_nothing(changes: dict[str, Any], what: list[str]) -> None:
    """A standby and a read-only database stop everything."""
    assert [f"{p.danger}: {p.what}" for p in judge_postgresql(replace(POSTGRESQL, **changes))] == what


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({}, []),
        ({"file_system": "nfs4"}, ["loss: /d is on nfs4"]),
        ({"file_system": "tmpfs"}, ["loss: /d is on tmpfs"]),
        ({"file_system": ""}, []),
        ({"files": ()}, []),
        ({"free": 9 * 10**8}, ["stop: 0.9 GB free at /d"]),
        ({"free": 10**10}, ["stop: 10.0 GB free at /d"]),  # 1 % of the disk
        (
            {"files": (SQLITE.files[0], File("/d/x.db-wal", 0, 0o600))},
            ["stop: /d/x.db-wal is user 0's, the database user 7's"],
        ),
        ({"files": (File("/d/x.db", 7, 0o660),)}, ["risk: others may write /d/x.db"]),
        ({"files": (File("/d/x.db", 7, 0o644),)}, ["risk: everybody may read /d/x.db"]),
    ],
)
def test_the_place_of_sqlite(changes: dict[str, Any], what: list[str]) -> None:
    """Network and memory file systems, full disks, files of different owners, files open to others."""
    assert [f"{p.danger}: {p.what}" for p in judge_sqlite(replace(SQLITE, **changes))] == what


def test_clocks() -> None:
    """Half a minute apart is still the same time; more is said, with its direction."""
    assert list(judge_clock("X", NOW, NOW + timedelta(seconds=30))) == []
    (ahead,) = judge_clock("X", NOW, NOW + timedelta(minutes=2))
    (behind,) = judge_clock("X", NOW, NOW - timedelta(hours=1))
    assert (ahead.what, behind.what) == ("it is 120 s ahead of the clock of X", "it is 3600 s behind the clock of X")


def test_key_files() -> None:
    """Each key that others may read is named."""
    assert [p.what for p in judge_keys(["/k/a.key"])] == ["others may read or change /k/a.key"]
