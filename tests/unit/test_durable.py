"""Files survive: what is replaced is replaced for good, a key is whole or not there."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from swexchange import keyfile
from swexchange.durable import create_file, replace_file
from swexchange.errors import ConfigFault


def test_a_replaced_file_is_replaced_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content is synced before its name, and the name before it returns: a witness answers after that."""
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(f"{'names' if is_folder else 'content'} while it says {(tmp_path / 'seen').read_text()}")

    (tmp_path / "seen").write_text("old")
    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(tmp_path / "seen", b"new")
    assert synced == ["content while it says old", "names while it says new"]
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


def test_a_key_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves no empty file that takes the id for good."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ConfigFault, match="No space left"):
            keyfile.new("k", tmp_path / "keys")
    assert not list((tmp_path / "keys").iterdir())
    key = keyfile.new("k", tmp_path / "keys")
    assert keyfile.load("k", [tmp_path / "keys"]).public == key.public
    assert (tmp_path / "keys" / "k.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigFault, match="exists already"):
        keyfile.new("k", tmp_path / "keys")
    (tmp_path / "keys" / "link.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigFault, match="exists already"):
        keyfile.new("link", tmp_path / "keys")
    assert not (tmp_path / "elsewhere").exists()


def at_once(monkeypatch: pytest.MonkeyPatch, write: Callable[[bytes], object]) -> list[object]:
    """What comes of a first writer, held up with its file half made until a second has had all the time it wants."""
    found: list[object] = [None, None]
    half_made, second_tried, sync = threading.Event(), threading.Event(), os.fsync

    def fsync(descriptor: int) -> None:
        if threading.current_thread() is first:
            half_made.set()
            second_tried.wait(0.3)
        sync(descriptor)

    def go(number: int) -> None:
        try:
            write(b"%d" % number * 100)
        except OSError as error:
            found[number] = type(error)

    first, second = (threading.Thread(target=go, args=(number,)) for number in (0, 1))
    monkeypatch.setattr(os, "fsync", fsync)
    first.start()
    assert half_made.wait(10)
    second.start()
    second.join(0.2)
    second_tried.set()
    first.join()
    second.join()
    return found


def test_of_two_who_make_a_file_at_once_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the file of the one who is told so: a key is handed out by its public half."""
    found = at_once(monkeypatch, lambda content: create_file(tmp_path / "k.key", content))
    assert found == [None, FileExistsError]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"k.key": b"0" * 100}


def test_two_who_replace_a_file_at_once_both_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sealers remember their checkpoints: no half of one is put in place by the other, and neither fails."""
    (tmp_path / "head").write_bytes(b"old")
    (tmp_path / "head").chmod(0o640)
    (tmp_path / "head.new").write_bytes(b"half of one who was killed")
    assert at_once(monkeypatch, lambda content: replace_file(tmp_path / "head", content)) == [None, None]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"head": b"1" * 100}
    assert (tmp_path / "head").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(36, "File name too long")])
def test_a_folder_of_keys_that_may_not_be_looked_into_is_told(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """/etc/swexchange/keys is root's alone: the daemon's user is told so, by path, and what to do."""

    def refused(_: Path) -> bool:
        raise error

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(ConfigFault, match=f"cannot look for keys/k.key: {error.strerror}. Run this as root"):
        keyfile.load("k", [Path("keys")])


def test_a_folder_of_keys_that_is_none_is_named(tmp_path: Path) -> None:
    """Not as if the key were there already."""
    (tmp_path / "keys").write_text("a file")
    for folder, said in ((tmp_path / "keys", "no folder"), (tmp_path / "keys" / "below", "Not a directory")):
        with pytest.raises(ConfigFault, match=said):
            keyfile.new("k", folder)


def test_a_link_that_leads_nowhere_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "k.key").symlink_to("nowhere")
    (tmp_path / "loose.key").touch(0o644)
    assert keyfile.loose([tmp_path]) == [tmp_path / "loose.key"]
    with pytest.raises(ConfigFault, match="no private key"):
        keyfile.load("k", [tmp_path])
