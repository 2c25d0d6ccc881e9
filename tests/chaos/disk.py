"""A disk that can lose its power: ext4 on a loop device, whose file has what reached the disk and nothing else.

What a program writes stays in the file system's memory until it is synced, or the kernel writes it by itself after
half a minute. A copy of the file, taken while nobody writes, is therefore what the next start of a machine would find.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SIZE = 512 * 1024 * 1024
OPTIONS = "commit=300,noauto_da_alloc"  # the journal is written when somebody syncs, and nothing is synced unasked


class Disk:
    """An empty file system, mounted at a place; its files are made in a folder."""

    def __init__(self, folder: Path) -> None:
        self._file, self._device, self._place = folder / "disk.img", "", folder
        with self._file.open("wb") as file:
            file.truncate(SIZE)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._file))

    def mount(self, place: Path) -> None:
        """Show it at a place, over what is there."""
        self._device, self._place = _attached(self._file), place
        _run("mount", "-o", OPTIONS, self._device, str(place))

    def unmount(self) -> None:
        """Take it away; what was under it shows again."""
        _run("umount", str(self._place))
        _run("losetup", "--detach", self._device)

    def fill(self, source: Path) -> None:
        """Put a folder's content onto it, synced, with owners and modes, the folder's own too."""
        _run("cp", "--archive", f"{source}/.", str(self._place))
        shutil.rmtree(self._place / "lost+found", ignore_errors=True)
        _run("sync", "--file-system", str(self._place))

    def image(self) -> Path:
        """What is on the disk at this moment; whoever writes must stand still."""
        return Path(shutil.copyfile(self._file, self._file.with_suffix(".copy")))

    def become(self, image: Path) -> Sequence[str]:
        """Go on with an image; nobody may use the disk. Names of the files that were ahead of it."""
        before = _content(self._place)
        self.unmount()
        image.replace(self._file)
        self.mount(self._place)
        after = _content(self._place)
        return sorted(name for name in before | after if before.get(name) != after.get(name))


def _content(place: Path) -> dict[str, bytes]:
    files = (path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def _attached(file: Path) -> str:
    return _run("losetup", "--find", "--show", str(file)).strip()


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout
