"""The folder of a backup: whole or not there, and believed only as far as its list of contents goes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from swexchange.backup import DATABASE, MANIFEST, Taken, new_folder, newest, read_manifest, verify, write_manifest
from swexchange.durable import create_file
from swexchange.errors import ConfigFault

NOW = datetime(2026, 3, 2, 1, 30, 0, 123456, tzinfo=UTC)
TAKEN = Taken("0.1.0", "sqlite:///x.db", "0001", {"exchange": 3}, "note", NOW, NOW, False)
FILES = {DATABASE: b"rows" * 1000, "routes.yaml": b"rules", "schemas/dec/钥.xsd": b"schema", "empty": b""}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A whole backup."""
    with new_folder(tmp_path / "backup") as folder:
        for name, content in FILES.items():
            create_file(folder / name, content)
        write_manifest(folder, TAKEN)
    return tmp_path / "backup"


def edit(made: Path, **changes: Any) -> None:
    path = made / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


def test_what_was_written_is_read(made: Path) -> None:
    """Every value of the manifest; every file is as listed, and the bar ends full."""
    manifest, done = read_manifest(made), list[int]()
    verify(made, manifest, done.append)
    assert manifest.taken == TAKEN
    assert {name: file.bytes for name, file in manifest.files.items()} == {n: len(c) for n, c in FILES.items()}
    assert sum(done) == manifest.bytes == sum(map(len, FILES.values()))


def test_it_has_its_name_only_when_whole(tmp_path: Path) -> None:
    """Until then it is `.partial`, and an error removes it."""
    with new_folder(tmp_path / "backup") as folder:
        assert folder.name == "backup.partial"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert not (tmp_path / "backup").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]
    with pytest.raises(ConfigFault, match="No space left"), new_folder(tmp_path / "other"):
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "other"):
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("there", ["backup", "backup.partial"])
def test_an_existing_folder_is_refused(tmp_path: Path, there: str) -> None:
    (tmp_path / there / "mine").mkdir(parents=True)
    with pytest.raises(ConfigFault, match="exists already"), new_folder(tmp_path / "backup"):
        pass
    assert (tmp_path / there / "mine").exists()


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_without_a_name_exists_already(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigFault, match="exists already"), new_folder(Path(name)):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigFault, match="cannot make the backup"), new_folder(tmp_path / "file" / "backup"):
        pass


@pytest.mark.parametrize("name", [DATABASE, "routes.yaml", "schemas/dec/钥.xsd"])
@pytest.mark.parametrize("harm", ["changed", "cut", "missing"])
def test_a_damaged_file_is_named(made: Path, name: str, harm: str) -> None:
    path, content = made / name, FILES[name]
    middle = len(content) // 2
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:middle] + (b"!" + content[middle + 1 :] if harm == "changed" else b""))
    with pytest.raises(ConfigFault, match=r"damaged|cannot read") as refused:
        verify(made, read_manifest(made))
    assert refused.value.where == str(path)


def test_a_pipe_in_place_of_a_file_is_named(made: Path) -> None:
    """And not waited for."""
    (made / "routes.yaml").unlink()
    os.mkfifo(made / "routes.yaml")
    with pytest.raises(ConfigFault, match="it is not there") as refused:
        verify(made, read_manifest(made))
    assert refused.value.where == str(made / "routes.yaml")


def test_a_file_that_is_not_listed_is_named(made: Path) -> None:
    (made / "schemas" / "more.xsd").write_bytes(b"")
    with pytest.raises(ConfigFault, match="no part of the backup") as refused:
        verify(made, read_manifest(made))
    assert refused.value.where == str(made / "schemas" / "more.xsd")


def test_without_a_list_it_is_no_backup(made: Path) -> None:
    (made / MANIFEST).unlink()
    with pytest.raises(ConfigFault, match="this is no backup, or one that was not finished"):
        read_manifest(made)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"{}", b"\xff", b'{"a":' + b"[" * 100_000),
        *(b'{"format": "swexchange-backup/v1"}', b'{"format": 7, "files": {}}'),
    ],
)
def test_a_damaged_list_is_refused(made: Path, content: bytes) -> None:
    (made / MANIFEST).write_bytes(content)
    with pytest.raises(ConfigFault, match=r"damaged|knows swexchange-backup/v1 only"):
        read_manifest(made)


@pytest.mark.parametrize(
    "change",
    [
        *({"files": {DATABASE: {}}}, {"files": {DATABASE: []}}, {"taken": {}}, {"files": 7}),
        {"files": {DATABASE: {"bytes": float("inf"), "sha256": ""}}},
    ],
)
def test_a_list_that_lacks_something_is_refused(made: Path, change: dict[str, Any]) -> None:
    edit(made, **change)
    with pytest.raises(ConfigFault, match="damaged"):
        read_manifest(made)


@pytest.mark.parametrize(
    "change",
    [
        *({"rows": 7}, {"rows": {"exchange": "many"}}, {"rows": {"exchange": float("inf")}}, {"more": 1}),
        *({"begun_at": "today"}, {"begun_at": "0001-01-01T00:00:00+14:00"}),  # the latter: in UTC no calendar has it
    ],
)
def test_a_list_that_says_nonsense_is_refused(made: Path, change: dict[str, Any]) -> None:
    taken = json.loads((made / MANIFEST).read_text("utf-8"))["taken"]
    edit(made, taken={**taken, **change})
    with pytest.raises(ConfigFault, match="damaged"):
        read_manifest(made)


@pytest.mark.parametrize(
    "name",
    ["../outside", "schemas/../../outside", "/etc/passwd", "samples//etc/cron.d/x", "schemas/./x", "keys/", "./x", ""],
)
def test_a_list_leads_nowhere_else(made: Path, name: str) -> None:
    """Names in it are written to when it is restored."""
    edit(made, files={DATABASE: {"bytes": 1, "sha256": ""}, name: {"bytes": 1, "sha256": ""}})
    with pytest.raises(ConfigFault, match="outside of the backup"):
        read_manifest(made)


@pytest.mark.parametrize("name", ["schemas/\0", "schemas/\ud800", "schemas/" + "x" * 5000, "schemas", "absent"])
def test_a_name_that_no_file_has_is_refused(made: Path, name: str) -> None:
    listed = json.loads((made / MANIFEST).read_text("utf-8"))["files"]
    edit(made, files={**listed, name: {"bytes": 0, "sha256": ""}})
    with pytest.raises(ConfigFault, match="it is not there"):
        verify(made, read_manifest(made))


def test_a_backup_without_a_database_is_refused(made: Path) -> None:
    edit(made, files={})
    with pytest.raises(ConfigFault, match="no database"):
        read_manifest(made)


def test_files_are_made_once_and_whole(tmp_path: Path) -> None:
    """Never over another; a half-written one of a crash is no obstacle."""
    (tmp_path / "a.new").write_bytes(b"half")
    create_file(tmp_path / "a", b"whole")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "a", b"other")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"whole"}
    create_file(tmp_path / "public" / "b", b"", secret=False)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "public", "public/b")] == [0o600, 0o755, 0o644]


def test_the_newest_is_found_by_what_it_is_of(made: Path, tmp_path: Path) -> None:
    """Not by its name or by the time of its folder; half a backup and a damaged one do not count."""
    for name, age in (("older", timedelta(days=1)), ("partial", -timedelta(days=1))):
        with new_folder(tmp_path / name) as folder:
            create_file(folder / DATABASE, b"rows")
            write_manifest(folder, replace(TAKEN, begun_at=NOW - age))
    (tmp_path / "partial").rename(tmp_path / "now.partial")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / MANIFEST).write_text("{")
    (tmp_path / "a file").touch()
    assert newest(tmp_path) == TAKEN
    (made / MANIFEST).unlink()
    found = newest(tmp_path)
    assert found
    assert found.begun_at == NOW - timedelta(days=1)
    assert newest(made) is None
    assert newest(tmp_path / "none") is None
    with pytest.raises(ConfigFault, match="cannot look for backups: Not a directory"):
        newest(tmp_path / "a file")
