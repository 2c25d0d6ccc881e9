"""Files that are whole after a crash: a small one replaced in one step, what was written brought to the disk.

A file is filled under a name of passage beside its own, by one process at a time. What a crash left under that name
is removed by the next one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, *, synced: bool = True) -> None:
    """Put a content in place of a file's; see `replacing`. Raises OSError."""
    with replacing(path, synced=synced) as put:
        put(content)


@contextmanager
def replacing(path: Path, *, synced: bool = True) -> Iterator[Callable[[bytes], None]]:
    """What puts a content in place of a file's, which keeps its mode; nobody else does meanwhile. Raises OSError.

    A reader finds all of the old one, or of the new. Once it returns, no loss of power brings the old one back,
    unless it need not be `synced`.
    """
    new = path.with_name(path.name + ".new")

    def put(content: bytes) -> None:
        with suppress(FileNotFoundError):
            os.fchmod(descriptor, path.stat().st_mode & 0o777)
        _fill(descriptor, content, synced=synced)
        new.replace(path)
        if synced:
            sync(path.parent)

    with making(new) as descriptor:
        yield put


def create_file(path: Path, content: bytes, *, secret: bool = True) -> None:
    """Make a file with this content, synced to disk, and its folder; never over one that exists.

    A secret one is for its owner alone. Raises FileExistsError, OSError.
    """
    path.parent.mkdir(mode=0o700 if secret else 0o755, parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with making(new, 0o600 if secret else 0o644) as descriptor:
        _fill(descriptor, content, synced=True)
        os.link(new, path)


@contextmanager
def making(new: Path, mode: int = 0o666) -> Iterator[int]:
    """A file under a name of passage, empty and ours alone, as a descriptor to write to; give it its own name within.

    Its end takes the name of passage away. Whoever else makes it waits until then. Raises OSError.
    """
    descriptor = _alone(new, mode)
    try:
        yield descriptor
    finally:
        if _is_at(descriptor, new):  # nobody takes the name from us while we hold the lock
            new.unlink()
        os.close(descriptor)


def _alone(new: Path, mode: int) -> int:
    while True:
        with suppress(FileNotFoundError):
            _remove_left(new)
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_at(descriptor, new):
            return descriptor
        os.close(descriptor)  # somebody took it for one that was left, before it was locked


def _remove_left(new: Path) -> None:
    """Wait for whoever is filling it; remove what is left by one who died."""
    descriptor = os.open(new, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_at(descriptor, new):
            new.unlink()
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _fill(descriptor: int, content: bytes, *, synced: bool) -> None:
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    if synced:
        os.fsync(descriptor)


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
