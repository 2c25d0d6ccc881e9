"""Judges the database: what is durable only in appearance, and what will stop it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from swexchange.health.problem import Danger, Problem

# What a commit must survive; synchronous_commit may be stricter, or leave replicas out.
DURABLE = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_write", "remote_apply", "local"),
}
_WHY = {
    "fsync": "A power cut may take what was committed, and damage the rest",
    "full_page_writes": "A power cut in the middle of a page damages it",
    "synchronous_commit": "A crash of PostgreSQL takes the last commits: their messages were acknowledged already",
}
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs")
_IN_MEMORY = ("tmpfs", "ramfs")


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A PostgreSQL as our connection sees it."""

    where: str
    settings: Mapping[str, str]  # as SHOW says
    clock: datetime
    is_standby: bool = False
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """One of the files of an SQLite database."""

    path: str
    owner: int  # user id
    mode: int  # permission bits


@dataclass(frozen=True, slots=True)
class Sqlite:
    """An SQLite database on its disk."""

    folder: str
    files: tuple[File, ...]  # the database first, then what SQLite keeps beside it
    file_system: str  # ext4, nfs4, ...; '' = unknown
    free: int  # bytes of the disk that our user may still fill
    size: int  # bytes of the disk


def judge_postgresql(found: Postgresql) -> Iterator[Problem]:
    """What could lose a commit, or refuses one."""
    yield from judge_settings(found.settings)
    if found.is_standby:
        do = "Name the primary in SWX_DATABASE_URL"
        yield Problem("database", f"{found.where} is a standby", do, "Nothing can be recorded there")
    elif found.is_read_only:
        do = "Unset default_transaction_read_only for this user and database"
        yield Problem("database", f"{found.where} is read-only", do, "Nothing can be recorded")


def judge_settings(settings: Mapping[str, str]) -> Iterator[Problem]:
    """PostgreSQL's settings against `DURABLE`."""
    for name, good in DURABLE.items():
        if (found := settings[name]) not in good:
            do = f"Set {name}={good[0]}"
            yield Problem("database", f"PostgreSQL has {name}={found}", do, _WHY[name], Danger.LOSS)


def judge_sqlite(found: Sqlite) -> Iterator[Problem]:
    """What is wrong with the place of an SQLite database."""
    where = f"{found.folder} is on {found.file_system}"
    if found.file_system in _REMOTE:
        why = "SQLite's locks and its WAL do not hold there: two writers damage the database"
        yield Problem("database", where, "Put it on a local disk, or use PostgreSQL", why, Danger.LOSS)
    if found.file_system in _IN_MEMORY:
        yield Problem("database", where, "Put it on a disk", "A power cut or a restart empties it", Danger.LOSS)
    yield from _files(found.files)
    if found.free < 1e9 or found.free < found.size / 50:
        why = "On a full disk nothing is recorded, so nothing is acknowledged"
        yield Problem("disk", f"{found.free / 1e9:.1f} GB free at {found.folder}", "Free disk space", why)


def _files(files: tuple[File, ...]) -> Iterator[Problem]:
    """A database and what stands beside it have one owner, who alone may write."""
    for file in files:
        if file.owner != files[0].owner:
            what = f"{file.path} is user {file.owner}'s, the database user {files[0].owner}'s"
            do = "Stop everything that has it open, then give all its files to the daemon's user (chown)"
            yield Problem("database", what, do, "One of them cannot write it; a command run as root made it")
        if file.mode & 0o022:
            what = f"others may write {file.path}"
            yield Problem("database", what, f"chmod go-w {file.path}", "They may change the audit log", Danger.RISK)
        if file.mode & 0o004:
            what = f"everybody may read {file.path}"
            yield Problem("database", what, f"chmod o-r {file.path}", "It holds all declarations", Danger.RISK)
