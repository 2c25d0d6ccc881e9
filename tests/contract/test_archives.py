"""Archiving, on both databases: every sealed leaf lies in one file, whatever died between two steps."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from swexchange.core.log import Archived, LogState
from swexchange.core.model import Event, Happening
from swexchange.errors import Busy, ConfigFault
from swexchange.evidence.archive_file import PARTS, ArchiveFile, Stored
from swexchange.evidence.archive_folder import gaps
from swexchange.evidence.archiver import Archiver, Bounds
from swexchange.evidence.pace import no_pause
from swexchange.evidence.sealer import Sealer
from swexchange.store import Archives, FullLedger, open_archives
from tests.contract.conftest import Database
from tests.contract.exchanges import NOW, RULES, accepted, deliver, record, rejected


@pytest.fixture
def log(database: Database) -> Iterator[Archives]:
    with open_archives(database.url) as opened:
        yield opened


class Archive:
    """A folder, and what writes into it."""

    def __init__(self, log: Archives, sealer: Sealer, folder: Path) -> None:
        self.log, self.sealer, self.folder = log, sealer, folder

    def archiver(self, entries: int = 10, log: Any = None) -> Archiver:
        keys = [self.sealer.verifier]
        return Archiver(log or self.log, self.folder, keys, lambda: NOW, no_pause, Bounds(entries))

    def write(self, *, everything: bool = True) -> list[Archived]:
        return list(self.archiver().write_all(everything=everything))

    def stored(self) -> list[Stored]:
        """Every leaf of every file, read back."""
        found: list[Stored] = []
        for one in self.log.archives():
            with closing(ArchiveFile(self.folder / one.name)) as file:
                file.require(one, [self.sealer.verifier])
                found += file.records(PARTS)
        return found


@pytest.fixture
def archive(log: Archives, sealer: Sealer, tmp_path: Path) -> Archive:
    return Archive(log, sealer, tmp_path / "archive")


def fill(ledger: FullLedger, sealer: Sealer, count: int, first: int = 0) -> None:
    """So many messages, in batches of three, each with a step of the sealer; some refused, some that came again."""
    for n in range(first, first + count, 3):
        some = [accepted(f"M{n}"), rejected(b"<junk n='%d'/>" % n), accepted(f"N{n}")]
        for decision in some:
            deliver(ledger, decision)
        with ledger.write({f"E{n}"}, NOW, RULES) as book:
            book.note([Happening(some[0].exchange_id, Event.REPEATED)])
        sealer.seal()


def test_every_leaf_lies_in_one_file(log: Archives, ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    ledger.note_rules(RULES, (), NOW)
    fill(ledger, sealer, 30)
    made = archive.write()
    entries = [leaf.entry for span in log.spans() for leaf in log.leaves(span)]
    stored = archive.stored()
    assert [one.entry for one in stored] == entries
    assert [one.leaf for one in stored] == list(range(41))
    assert [(one.first, one.leaves) for one in made] == [(0, 12), (12, 12), (24, 12), (36, 5)]
    assert list(log.archives()) == made
    exchanges = [one for one in stored if one.is_exchange]
    assert len(exchanges) == 30
    assert {one.parts["messages"] for one in exchanges} >= {accepted("M0").body, accepted("N27").body}
    assert all(one.parts["receipts"] and one.parts["details"] for one in exchanges)


def test_what_fills_no_file_waits(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    fill(ledger, sealer, 6)
    assert archive.write(everything=False) == []
    assert archive.write() != []
    assert archive.write() == []
    fill(ledger, sealer, 9, first=6)
    assert [one.first for one in archive.write(everything=False)] == [8]


def test_large_messages_fill_a_file_sooner(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    fill(ledger, sealer, 9)
    bounds = Bounds(10_000, 1_000)
    archiver = Archiver(archive.log, archive.folder, [sealer.verifier], lambda: NOW, no_pause, bounds)
    assert len(list(archiver.write_all())) > 1


def test_what_is_not_sealed_is_not_archived(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    record(ledger, accepted())
    assert archive.write() == []
    sealer.seal()
    assert [one.leaves for one in archive.write()] == [1]


def test_equal_logs_make_equal_files(ledger: FullLedger, sealer: Sealer, archive: Archive, tmp_path: Path) -> None:
    fill(ledger, sealer, 15)
    made = archive.write()
    again = Archive(archive.log, sealer, tmp_path / "again").archiver(log=_Forgetful(archive.log))
    assert [one.digest for one in again.write_all(everything=True)] == [one.digest for one in made]


class _Forgetful:
    """A log of which nothing is archived yet, that notes nothing in the database."""

    def __init__(self, log: Archives) -> None:
        self._log, self._made = log, list[Archived]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def last_archive(self) -> Archived | None:
        return self._made[-1] if self._made else None

    def note_archive(self, made: Archived, _now: datetime) -> None:
        self._made.append(made)


class _Dying(_Forgetful):
    """A log whose database dies when the file has its name."""

    def note_archive(self, made: Archived, _now: datetime) -> None:
        raise KeyboardInterrupt


def test_a_file_that_the_database_does_not_know_is_taken_up(
    ledger: FullLedger, sealer: Sealer, archive: Archive
) -> None:
    """It is not written anew, even if another one would have been written by now."""
    fill(ledger, sealer, 12)
    with pytest.raises(KeyboardInterrupt):
        list(archive.archiver(log=_Dying(archive.log)).write_all(everything=True))
    (left,) = archive.folder.glob("*.zip")
    before = left.stat()
    fill(ledger, sealer, 30, first=12)
    made = archive.write()
    assert (made[0].name, left.stat().st_mtime_ns) == (left.name, before.st_mtime_ns)
    assert len(archive.stored()) == 56


def test_a_file_of_another_log_is_not_taken_up(
    ledger: FullLedger, sealer: Sealer, archive: Archive, tmp_path: Path
) -> None:
    """Nor one that was damaged; neither is written over."""
    fill(ledger, sealer, 12)
    archive.folder.mkdir()
    left = archive.folder / "000000000000-000000000009.zip"
    left.write_bytes(b"PK")
    with pytest.raises(ConfigFault, match="damaged"):
        archive.write()
    assert left.read_bytes() == b"PK"
    left.unlink()
    (made, *_) = archive.write()
    fill(ledger, sealer, 30, first=12)
    (archive.folder / f"{16:012}-{20:012}.zip").write_bytes((archive.folder / made.name).read_bytes())
    with pytest.raises(ConfigFault, match="of another log, or of another state"):
        archive.write()


def test_half_a_file_is_written_anew(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    fill(ledger, sealer, 12)
    archive.folder.mkdir()
    (archive.folder / "archive.new").write_bytes(b"PK half of it")
    assert len(archive.write()) == 2
    assert sorted(path.suffix for path in archive.folder.iterdir()) == [".lock", ".zip", ".zip"]


def test_on_a_full_disk_nothing_is_left_in_the_way(
    ledger: FullLedger, sealer: Sealer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file would take the last room; once there is some, the next run writes it."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    fill(ledger, sealer, 3)
    with monkeypatch.context() as patched:
        patched.setattr("zipfile.ZipFile.writestr", full)  # behind the streams
        with pytest.raises(ConfigFault, match="No space left"):
            archive.write()
    assert [path.name for path in archive.folder.iterdir()] == ["archive.lock"]
    assert len(archive.write()) == 1
    assert len(archive.stored()) == 4


def test_one_archiver_at_a_time(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    fill(ledger, sealer, 30)
    first = archive.archiver().write_all()
    next(first)
    with pytest.raises(Busy):
        archive.write()
    assert len(list(first)) == 2


def test_rows_that_were_changed_are_not_archived(
    database: Database, ledger: FullLedger, sealer: Sealer, archive: Archive
) -> None:
    """What was sealed cannot be made from them: the file is not noted, so nothing is pruned by it."""
    fill(ledger, sealer, 12)
    with closing(database.connect()) as link:
        link.execute("UPDATE exchange SET type = 'Other' WHERE message_id = 'M0'")
        link.commit()
    with pytest.raises(ConfigFault, match="not those that were sealed"):
        archive.write()
    assert archive.log.archives() == []
    assert list(archive.folder.glob("*.zip")) == []
    with closing(database.connect()) as link:
        link.execute("DELETE FROM exchange WHERE message_id = 'M0'")
        link.commit()
    with pytest.raises(ConfigFault, match="not the rows that were sealed"):
        archive.write()


def test_the_keys_of_the_rules_lie_beside(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    """In each file, even where the entry of the rules is in none of them yet."""
    fill(ledger, sealer, 12)
    ledger.note_rules(RULES, (), NOW)
    sealer.seal()
    for one in archive.write():
        with closing(ArchiveFile(archive.folder / one.name)) as file:
            assert file.manifest.rules == (16,)
            entry, _, keys = file.keys(16)
            assert (keys, RULES.encode() in entry) == ("[]", True)


def test_a_folder_that_cannot_be_written_is_named(
    ledger: FullLedger, sealer: Sealer, archive: Archive, tmp_path: Path
) -> None:
    fill(ledger, sealer, 3)
    (tmp_path / "archive").write_text("no folder")
    with pytest.raises(ConfigFault, match="archives cannot be written"):
        archive.write()


def test_archives_are_compressed(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    fill(ledger, sealer, 300)
    archive.write()
    names = [archive.folder / one.name for one in archive.log.archives()]
    packed = [info for name in names for info in zipfile.ZipFile(name).infolist() if info.filename == "messages"]
    assert {info.compress_type for info in packed} == {zipfile.ZIP_DEFLATED}


def test_traffic_goes_on_while_it_archives(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    """Whenever it may pause it holds no lock: behind each leaf gathered, some bytes packed, each leaf read back."""
    fill(ledger, sealer, 12)
    numbers = count(1)

    def pause() -> None:
        deliver(ledger, accepted(f"LIVE{next(numbers)}"))

    archiver = Archiver(archive.log, archive.folder, [sealer.verifier], lambda: NOW, pause, Bounds(1_000))
    (made,) = archiver.write_all(everything=True)
    assert made.leaves == 16
    streams = 4
    assert next(numbers) - 1 == 16 + streams + 16


def test_a_gap_between_known_files_is_named(ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    fill(ledger, sealer, 30)
    first, second, *_ = archive.write()
    assert list(gaps([first, second])) == []
    assert [name for name, _ in gaps([second])] == [second.name]
    assert [name for name, _ in gaps([first, second, second])] == [second.name]


def test_how_far_the_log_and_its_files_are(log: Archives, ledger: FullLedger, sealer: Sealer, archive: Archive) -> None:
    """What is recorded, what is sealed, what lies in files, and since when the rest waits."""
    assert log.state() == LogState(0, None, 0, 0, "", None, None)
    fill(ledger, sealer, 3)
    record(ledger, accepted("L1"), accepted("L2"))
    state = log.state()
    assert (state.sealed, state.sealed_at, state.unsealed) == (4, NOW, 2)
    assert (state.archived, state.archive, state.archived_at, state.unarchived_since) == (0, "", None, NOW)
    (made,) = archive.write()
    state = log.state()
    assert (state.archived, state.archive, state.archived_at, state.unarchived_since) == (4, made.name, NOW, None)
    while sealer.seal():
        pass
    assert (log.state().sealed, log.state().unsealed, log.state().unarchived_since) == (6, 0, NOW)
