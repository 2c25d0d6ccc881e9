"""Archives of a folder: one process at a time, whichever user it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from swexchange.errors import Busy, ConfigFault
from swexchange.evidence.folder_lock import locked


def test_the_second_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    """The folder is made, and the file stays: who holds it is not told by its being there."""
    lock = tmp_path / "archive" / "archive.lock"
    for _ in range(2):
        with locked(lock, "busy"), pytest.raises(Busy, match="busy"), locked(lock, "busy"):
            pass
    assert lock.exists()


def test_a_lock_file_of_another_user_need_not_be_written(tmp_path: Path) -> None:
    """Made by root's `archive write` by hand, it is only read by the timer's, who may not write to it."""
    lock = tmp_path / "archive.lock"
    lock.write_text("somebody else's")
    with locked(lock, "busy"), pytest.raises(Busy), locked(lock, "busy"):
        pass
    assert lock.read_text() == "somebody else's"


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    """By the path of the lock file."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigFault, match="archives cannot be written") as caught, locked(tmp_path / "file" / "a", ""):
        pass
    assert caught.value.where == str(tmp_path / "file" / "a")
