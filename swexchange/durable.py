"""Files that are whole after a crash: a small one replaced in one step, what was written brought to the disk."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    """Put a text in UTF-8 in place of a file's content; once it returns, no loss of power brings the old one back.

    Raises OSError.
    """
    new = path.with_name(path.name + ".new")
    new.write_text(text, "utf-8")
    put_in_place(new, path)


def create_file(path: Path, content: bytes, *, secret: bool = True) -> None:
    """Make a file with this content, synced to disk, and its folder; never over one that exists.

    A secret one is for its owner alone. Raises FileExistsError, OSError.
    """
    path.parent.mkdir(mode=0o700 if secret else 0o755, parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(new, path)
    finally:
        new.unlink(missing_ok=True)


def put_in_place(new: Path, path: Path) -> None:
    """Give a file that was written its name, first its content and then its name synced to disk. Raises OSError."""
    sync(new)
    new.replace(path)
    sync(path.parent)


def remove_file(path: Path) -> None:
    """Delete a file, if it is there, and have that on the disk. Raises OSError."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring what was written to a file, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
