"""Finds exchanges in archive files, without a database: by the same fields as in the audit log, and in full."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from swexchange.core import merkle
from swexchange.core.checkpoint import Checkpoint, Note
from swexchange.core.search import Filter
from swexchange.evidence import bundle
from swexchange.evidence.archive_file import PARTS, ArchiveFile, Damaged, Manifest, Stored, require_parts
from swexchange.evidence.archive_folder import files_in

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = ("message_id", "sender", "type", "outcome", "code", "route")
_TEXTS = ("exchange", "message_id", "sender", "type", "outcome", "code", "rules", "envelope", "edition")


@dataclass(frozen=True, slots=True)
class Hit:
    """One exchange that was found."""

    archive: str  # name of the file
    said: Mapping[str, Any]  # the members of its entry
    received_at: datetime


def search(folder: Path, wanted: Filter) -> Iterator[Hit]:
    """What a filter finds, newest files first, at most its limit. Raises Damaged."""
    left = wanted.limit
    for file in _files(reversed(files_in(folder)), wanted):
        with file.reading():
            found = [said for stored in file.records(("details",)) if (said := _matching(stored, wanted))]
            newest = sorted(found, key=lambda said: str(said["exchange"]), reverse=True)[:left]
            hits = [Hit(file.path.name, said, _moment(said["received_at"])) for said in newest]
        yield from hits
        left -= len(hits)
        if not left:
            return


def _files(paths: Iterable[Path], wanted: Filter) -> Iterator[ArchiveFile]:
    """Those whose times fit, one by one, open."""
    for path in paths:
        with closing(ArchiveFile(path)) as file:
            if _may_hold(file.manifest, wanted):
                yield file


def _may_hold(one: Manifest, wanted: Filter) -> bool:
    """By its times: they are stated, not proved, so a search believes them and a verifier does not."""
    since, until = (_microseconds(at) if at else None for at in (wanted.since, wanted.until))
    return bool(one.since) and not (
        (since is not None and one.until < since)
        or (until is not None and one.since >= until)
        or (wanted.exchanges and not any(_may_hold_id(one, number) for number in wanted.exchanges))
        or (wanted.after and one.since // 1000 > _milliseconds(wanted.after))
    )


def _may_hold_id(one: Manifest, exchange_id: str) -> bool:
    return one.since // 1000 <= _milliseconds(exchange_id) <= one.until // 1000


def _milliseconds(exchange_id: str) -> int:
    """When an exchange came: its id begins with it; 0 for what is no id."""
    try:
        return int(exchange_id[:12], 16)
    except ValueError:
        return 0


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def is_held(stored: Stored, holds: Iterable[Filter]) -> bool:
    """Whether a leaf, with its details, is an exchange that one of these holds finds, or perhaps did.

    Outcome and receivers of an exchange may have changed behind its entry: an answer found its parent, a replay
    added a copy. So these two are not looked at, and rather too much is held.
    """
    return any(_matching(stored, replace(wanted, outcome="", receiver="")) for wanted in holds)


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def _matching(stored: Stored, wanted: Filter) -> dict[str, Any] | None:
    """The entry of an exchange that a filter finds; most others are known by their bytes, which is quick."""
    if not stored.is_exchange or any(word not in stored.entry for word in _words(wanted)):
        return None
    said = _said(stored.entry)
    holds = (
        all(said[name] == value for name in _EXACT if (value := getattr(wanted, name))),
        not wanted.exchanges or said["exchange"] in wanted.exchanges,
        not wanted.since or said["received_at"] >= _microseconds(wanted.since),
        not wanted.until or said["received_at"] < _microseconds(wanted.until),
        not wanted.after or said["exchange"] < wanted.after,
        not wanted.receiver or any(copy[:2] == ["message", wanted.receiver] for copy in said["copies"]),
        not wanted.key or _has_key(stored.parts["details"], wanted.key.name, wanted.key.value),
    )
    return said if all(holds) else None


def _said(entry: bytes) -> dict[str, Any]:
    """The members of an exchange's entry. Raises ValueError where one that is shown is no text."""
    said: dict[str, Any] = json.loads(entry)
    if wrong := [name for name in _TEXTS if not isinstance(said.get(name), str)]:
        raise ValueError(f"an entry has no {wrong[0]}")
    return said


@cache
def _words(wanted: Filter) -> tuple[bytes, ...]:
    """What stands in every entry that a filter finds, as JSON writes it."""
    texts = [value for name in (*_EXACT, "receiver") if (value := getattr(wanted, name))]
    return tuple(json.dumps(text, ensure_ascii=False).encode() for text in texts)


def _has_key(detail: bytes, name: str, value: str) -> bool:
    if json.dumps(value, ensure_ascii=False).encode() not in detail:
        return False
    return any(value == found and name in ("", known) for known, found in json.loads(detail).get("keys", ()))


@dataclass(frozen=True, slots=True)
class Found:
    """One exchange in full."""

    archive: Path
    stored: Stored
    said: Mapping[str, Any]  # the members of its entry


def find(folder: Path, exchange_id: str) -> Found | None:
    """An exchange with its message, receipt and details, which are what its entry says; None where no file has it.

    Raises Damaged.
    """
    wanted = Filter(exchanges=(exchange_id,))
    for file in _files(files_in(folder), wanted):
        with file.reading():
            for stored in file.records(PARTS):
                if said := _matching(stored, wanted):
                    require_parts(stored)
                    return Found(file.path, stored, said)
    return None


def prove(found: Found, schemas: bundle.Schemas, left_out: Callable[[str], object] = lambda _: None) -> bytes:
    """The bundle of an exchange, of archive files alone: its entry, its rules' where they are known, its events'.

    `schemas` and `left_out` as in `bundle.prove`. Raises Damaged.
    """
    proofs: list[tuple[bytes, str]] = []
    keys, manifest = "[]", ""
    with closing(ArchiveFile(found.archive)) as file, file.reading():
        proofs.append((found.stored.entry, _proof(file, found.stored.leaf)))
        for leaf in file.manifest.rules:
            entry, proof, known = file.keys(leaf)
            if json.loads(entry)["rules"] == found.said["rules"]:
                proofs.append((entry, proof.decode()))
                keys, manifest = known, file.manifest_of(leaf)
    about = f'"exchange":"{found.said["exchange"]}"'.encode()
    for path in files_in(found.archive.parent):
        if path < found.archive:
            continue
        with closing(ArchiveFile(path)) as file, file.reading():
            events = [s for s in file.records() if about in s.entry and s.entry.startswith(b'{"entry":"event/v1",')]
            proofs += [(stored.entry, _proof(file, stored.leaf)) for stored in events]
    parts = found.stored.parts
    exhibit = bundle.Contents(
        found.said["exchange"], proofs, parts["details"], keys, manifest, parts["messages"], parts["receipts"] or None
    )
    editions = [found.said[name] for name in ("envelope", "edition") if found.said[name]]
    return bundle.pack(exhibit, editions, schemas, left_out)


def _proof(file: ArchiveFile, leaf: int) -> str:
    """That a leaf of a file stands in the log, as a tlog-proof."""
    manifest, note = file.manifest, file.note()
    signed = Checkpoint.read(Note.read(note).text)
    size = signed.size
    hashes = {(0, stored.leaf): merkle.leaf_hash(stored.entry) for stored in file.records()}
    end = manifest.first + manifest.entries
    for start, stop, cover in ((0, manifest.first, manifest.left), (end, size, manifest.right)):
        hashes.update(zip(merkle.subtrees(start, stop), cover, strict=True))

    def node(level: int, index: int) -> bytes:
        if (level, index) not in hashes:
            if not level:
                raise Damaged(file.path, f"the hash of leaf {index} is missing")
            hashes[level, index] = merkle.node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))
        return hashes[level, index]

    path = merkle.inclusion_proof(leaf, size, node)
    if not merkle.includes(node(0, leaf), leaf, size, path, signed.root):
        raise Damaged(file.path, f"leaf {leaf} is not what its checkpoint signed")
    return bundle.tlog_proof(leaf, path, note)
