"""What is made of archive files, pruning and backups: the judgement alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from swexchange.core.log import Archived, LogState
from swexchange.evidence.archiver import Bounds
from swexchange.health.keeping import FILE, LATE, judge_archiving, judge_backup, judge_files, judge_pruning

NOW = datetime(2026, 11, 25, tzinfo=UTC)
KEEP = timedelta(days=400)
WELL = LogState(50_000, NOW, 3, 45_000, "a.zip", NOW - timedelta(hours=20), NOW - timedelta(days=3))


def days(count: float) -> datetime:
    return NOW - timedelta(days=count)


@pytest.mark.parametrize(
    ("changes", "keep", "what"),
    [
        ({}, KEEP, ""),
        ({"unarchived_since": days(401)}, KEEP, "5000 entries lie in no archive file, the oldest 401 days"),
        ({"unarchived_since": days(401)}, None, ""),
        ({"archived": 30_000}, KEEP, ""),
        (
            {"archived": 30_000, "archived_at": days(3)},
            None,
            "20000 entries lie in no archive file, and the newest was",
        ),
        ({"archived_at": days(90)}, KEEP, ""),  # little traffic: no file is full
        ({"archived": 0, "archive": "", "archived_at": None}, None, ""),  # nobody archives, and nothing is pruned
        ({"archived": 50_000, "unarchived_since": None}, KEEP, ""),
    ],
)
def test_what_is_sealed_gets_into_files_in_time(changes: dict[str, Any], keep: timedelta | None, what: str) -> None:
    """By its age, where something is pruned; by the files that should have been written, where some are."""
    found = list(judge_archiving(replace(WELL, **changes), keep, NOW))
    assert len(found) == bool(what)
    assert all(what in p.what and p.danger == "risk" and p.why and p.do for p in found)


def test_a_full_file_is_what_the_archiver_takes_for_one() -> None:
    assert Bounds().entries == FILE


def test_messages_that_should_be_gone_are_told() -> None:
    """Of a file all of whose messages are old enough for some days; a younger one beside it is not due."""

    def file(first: int, until: datetime) -> Archived:
        return Archived(first, 10, f"{first}.zip", b"", 9, 1, int(until.timestamp() * 1_000_000))

    due, young = file(0, NOW - LATE - timedelta(hours=1)), file(10, NOW - LATE + timedelta(hours=1))
    assert list(judge_pruning([young], NOW)) == []
    (found,) = judge_pruning([due, young], NOW)
    assert found.what == "messages of 1 archive files, from 0.zip on, are older than retention says"


@pytest.mark.parametrize(
    ("there", "emptied", "found"),
    [
        ("abc", "ab", []),
        ("ab", "a", ["risk: 1 of 3 archive files are not in SWX_ARCHIVE, the first: c"]),
        ("bc", "a", ["loss: 1 of 3 archive files are not in SWX_ARCHIVE, the first: a"]),
        ("", "a", ["risk: 3 of 3 archive files are not in SWX_ARCHIVE, the first: a"]),  # another machine's
    ],
)
def test_missing_files(there: str, emptied: str, found: list[str]) -> None:
    """One whose messages were pruned is a loss, unless none is there at all: then the folder is elsewhere."""
    assert [f"{p.danger}: {p.what}" for p in judge_files("abc", there, emptied)] == found


def test_backups() -> None:
    assert list(judge_backup(days(1), "/b", NOW)) == []
    assert [p.what for p in judge_backup(days(3), "/b", NOW)] == ["the newest in /b is 3 days old"]
    assert [p.what for p in judge_backup(None, "/b", NOW)] == ["there is none in /b"]
