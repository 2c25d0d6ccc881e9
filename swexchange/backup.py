"""A backup: a folder with its list of contents, written whole or not at all, and checked before it is believed.

`manifest.json` has the size and SHA-256 of every file; what else is in it, and how it is restored:
docs/how-to/backup.md. What the files mean is not known here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from swexchange.crashpoint import crashpoint
from swexchange.durable import create_file, sync
from swexchange.errors import ConfigFault

FORMAT = "swexchange-backup/v1"
MANIFEST, DATABASE = "manifest.json", "database.db"
_OTHER = "Use another backup"
_CHUNK = 1024 * 1024  # bytes

Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Taken:
    """What a backup is of."""

    program: str  # its version
    database: str  # where it was, without password
    version: str  # of the database
    rows: Mapping[str, int]  # by table
    checkpoint: str  # the log's newest, with its signatures; '' = nothing is sealed
    begun_at: datetime  # the rows are those of this moment
    ended_at: datetime
    private_keys: bool


@dataclass(frozen=True, slots=True)
class File:
    """A file of a backup."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup: every file by its name, folders divided by '/'."""

    taken: Taken
    files: Mapping[str, File]

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files.values())


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill with synced files, which gets its name only when it is complete. Raises ConfigFault.

    An error leaves nothing behind; a crash leaves the folder under the name that ends in `.partial`.
    """
    partial = Path(f"{folder.absolute()}.partial")  # of `.` too, which has no name
    for there in (folder, partial):
        if there.exists():
            do = "Choose another name" if there is folder else "A backup is being made, or was cut off: then remove it"
            raise ConfigFault("this folder exists already", where=str(there), do=do)
    with _writing(folder):
        partial.mkdir(mode=0o700, parents=True)
    try:
        with _writing(folder):
            yield partial
            for inner in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
                sync(inner)
            crashpoint("backup-written")
            partial.rename(folder)
            sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"cannot make the backup: {error.strerror or error}"
        raise ConfigFault(what, where=error.filename or str(folder)) from None


def write_manifest(folder: Path, taken: Taken) -> Manifest:
    """List everything that the folder holds by now. Raises OSError."""
    manifest = Manifest(taken, {name: _file(folder / name) for name in _names(folder)})
    content = {"format": FORMAT, **asdict(manifest)}
    create_file(folder / MANIFEST, json.dumps(content, ensure_ascii=False, indent=1, default=str).encode())
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What a backup says that it holds. Raises ConfigFault."""
    path = folder / MANIFEST
    try:
        found: Any = json.loads(path.read_bytes())
        if found["format"] != FORMAT:
            raise ConfigFault(f"this program knows {FORMAT} only, not {found['format']}", where=str(path))
        files = {name: File(int(file["bytes"]), str(file["sha256"])) for name, file in found["files"].items()}
        manifest = Manifest(_taken(found["taken"]), files)
    except OSError as error:
        what = f"this is no backup, or one that was not finished: {error.strerror}"
        raise ConfigFault(what, where=str(path), do=_OTHER) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ConfigFault("the list of contents is damaged", where=str(path), do=_OTHER) from None
    for name in manifest.files:
        if not _is_inside(name):
            raise ConfigFault(f"it names a file outside of the backup: {name}", where=str(path), do=_OTHER)
    if DATABASE not in manifest.files:
        raise ConfigFault("it names no database", where=str(path), do=_OTHER)
    return manifest


def _is_inside(name: str) -> bool:
    """Whether a name leads into the folder, and is written as the folder's own listing writes it.

    What is checked and what is restored is then one file: `schemas//etc/x` is a file of the backup
    when it is read below the folder, and /etc/x when `schemas/` is taken off.
    """
    path = PurePosixPath(name)
    return str(path) == name and not path.is_absolute() and ".." not in path.parts


def newest(folder: Path) -> Taken | None:
    """What the newest of the backups in a folder is of; None = there is none. What is no backup is passed over.

    Raises ConfigFault where the folder cannot be read.
    """
    try:
        if not folder.exists():  # the first backup makes it
            return None
        places = [path for path in folder.iterdir() if path.suffix != ".partial" and (path / MANIFEST).exists()]
    except OSError as error:
        raise ConfigFault(f"cannot look for backups: {error.strerror}", where=str(folder)) from None
    found = []
    for path in places:
        with suppress(ConfigFault):  # damaged: it is not to be relied on
            found.append(read_manifest(path).taken)
    return max(found, key=lambda taken: taken.begun_at, default=None)


def _taken(found: dict[str, Any]) -> Taken:
    times = {name: datetime.fromisoformat(found[name]).astimezone(UTC) for name in ("begun_at", "ended_at")}
    rows = {str(table): int(count) for table, count in found["rows"].items()}
    return Taken(**{**found, **times, "rows": {"exchange": 0, **rows}})


def verify(folder: Path, manifest: Manifest, advance: Advance = lambda _: None) -> None:
    """Read every file of a backup; `advance` is told of bytes done. Raises ConfigFault that names a file."""
    there = set(_names(folder))
    if more := there - {MANIFEST, *manifest.files}:
        raise ConfigFault("this file is no part of the backup", where=str(folder / min(more)), do="Move it away")
    for name, wanted in manifest.files.items():
        path = folder / name
        if name not in there or not path.is_file():  # no text that a file cannot be called is opened, and no pipe
            raise ConfigFault("cannot read it: it is not there", where=str(path), do=_OTHER)
        try:
            found = _file(path, advance)
        except OSError as error:
            raise ConfigFault(f"cannot read it: {error.strerror}", where=str(path), do=_OTHER) from None
        if found != wanted:
            what = f"it has {found.bytes} bytes" if found.bytes != wanted.bytes else f"its SHA-256 is {found.sha256}"
            raise ConfigFault(f"the file is damaged: {what}, not as listed", where=str(path), do=_OTHER)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _file(path: Path, advance: Advance = lambda _: None) -> File:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            advance(len(chunk))
    return File(size, digest.hexdigest())
