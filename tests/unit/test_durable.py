"""Files survive: what is replaced is replaced for good, a key is whole or not there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from swexchange import keyfile
from swexchange.durable import replace_file
from swexchange.errors import ConfigFault


def test_a_replaced_file_is_replaced_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content is synced before its name, and the name before it returns: a witness answers after that."""
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(f"{'names' if is_folder else 'content'} while it says {(tmp_path / 'seen').read_text()}")

    (tmp_path / "seen").write_text("old")
    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(tmp_path / "seen", "new")
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
