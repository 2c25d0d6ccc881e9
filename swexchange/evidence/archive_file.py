"""An archive file: a run of leaves with their messages, receipts and details, and the proof of all of it.

A ZIP file; docs/reference/evidence.md says what is in it. Read in a stream: however large a file
is, one exchange at a time is in memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import IO

from swexchange.core import merkle
from swexchange.core.checkpoint import BadNote, Checkpoint, Verifier, trusted
from swexchange.core.log import Archived
from swexchange.core.rules_manifest import digest_of as digest_of_rules
from swexchange.errors import ConfigFault
from swexchange.evidence.pace import no_pause

FORMAT = "swexchange-archive/v1"
MOST_BYTES = 256 * 1024 * 1024  # of what is read in one piece, however well it is compressed
ENTRY_BYTES, PART_BYTES = 2, 4  # of the length before each entry; before each message, receipt, detail
PARTS = ("details", "messages", "receipts")  # of exchanges, each a member of the ZIP file
_EXCHANGE = b'{"entry":"exchange/v1",'
_BROKEN = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),  # a RuntimeError is what zipfile says of an encrypted file
)


class Damaged(ConfigFault):
    """An archive file that is not what it should be."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(what, where=str(path), do="Put a good copy of it in its place")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive file says of itself."""

    first: int  # leaf
    entries: int
    exchanges: int
    since: int  # when the first exchange came, in microseconds since 1970; 0 = there is none
    until: int  # and the last
    previous: tuple[str, str] | None  # name and SHA-256, in hex, of the file before it
    left: tuple[bytes, ...]  # hashes of what stands left of its leaves, see merkle.cover
    right: tuple[bytes, ...]  # and right of them, up to the checkpoint
    rules: tuple[int, ...]  # leaves of the rules whose keys it holds

    def write(self) -> bytes:
        """The text of `archive.json`."""
        previous = dict(zip(("name", "sha256"), self.previous, strict=True)) if self.previous else None
        told = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in ("first", "entries", "exchanges", "since", "until")},
            "previous": previous,
            **{name: [base64.b64encode(h).decode() for h in getattr(self, name)] for name in ("left", "right")},
            "rules": list(self.rules),
        }
        return json.dumps(told, indent=1).encode()

    @classmethod
    def read(cls, text: bytes) -> Manifest:
        """The manifest of `archive.json`. Raises ValueError, LookupError, TypeError."""
        told = json.loads(text)
        if told["format"] != FORMAT:
            raise ValueError(f"the format {told['format']!r} is unknown")
        previous = told["previous"]
        return cls(
            **{name: int(told[name]) for name in ("first", "entries", "exchanges", "since", "until")},
            previous=(str(previous["name"]), str(previous["sha256"])) if previous else None,
            left=tuple(base64.b64decode(text, validate=True) for text in told["left"]),
            right=tuple(base64.b64decode(text, validate=True) for text in told["right"]),
            rules=tuple(int(leaf) for leaf in told["rules"]),
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """One leaf of an archive file."""

    leaf: int
    entry: bytes
    parts: Mapping[str, bytes]  # of an exchange: those of PARTS that were asked for

    @property
    def is_exchange(self) -> bool:
        """Whether it is a message that was decided."""
        return self.entry.startswith(_EXCHANGE)


class ArchiveFile:
    """An archive file, open to read. Every method raises Damaged. Close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.reading():
            _require_file(path)
            self._zip = zipfile.ZipFile(path)
            whole = (info.file_size for info in self._zip.infolist() if info.filename not in ("entries", *PARTS))
            _require_size(sum(whole))
            self.manifest = Manifest.read(self._zip.read("archive.json"))

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around whatever believes what the file says: where that makes no sense, the file is Damaged."""
        try:
            yield
        except _BROKEN as error:
            raise Damaged(self.path, f"the archive file is damaged: {error}") from None

    def records(self, parts: Sequence[str] = ()) -> Iterator[Stored]:
        """Its leaves in order, with these parts of the exchanges."""
        with self.reading():
            entries = self._frames("entries", ENTRY_BYTES)
            streams = {name: self._frames(name, PART_BYTES) for name in parts}
            for leaf, entry in enumerate(entries, self.manifest.first):
                is_exchange = entry.startswith(_EXCHANGE)
                yield Stored(leaf, entry, {n: _next(frames) for n, frames in streams.items()} if is_exchange else {})
            if left := [name for name, frames in streams.items() if next(frames, None) is not None]:
                raise ValueError(f"there are more {left[0]} than exchanges")

    def _frames(self, name: str, width: int) -> Iterator[bytes]:
        with self._zip.open(name) as stream:
            while length := stream.read(width):
                yield _exactly(stream, int.from_bytes(length.ljust(width, b"\xff")))  # a cut length is never met

    def manifest_of(self, leaf: int) -> str:
        """The manifest of rules; '' where the file has none."""
        with self.reading():
            name = f"rules/{leaf}.manifest"
            return self._zip.read(name).decode() if name in self._zip.namelist() else ""

    def keys(self, leaf: int) -> tuple[bytes, bytes, str]:
        """Of rules: the entry, its proof, the keys as JSON."""
        with self.reading():
            names = (f"rules/{leaf}.json", f"rules/{leaf}.tlog-proof", f"rules/{leaf}.keys.json")
            entry, proof, keys = map(self._zip.read, names)
            return entry, proof, keys.decode()

    def note(self) -> str:
        """The signed checkpoint."""
        with self.reading():
            return self._zip.read("checkpoint").decode()

    def require(self, known: Archived, keys: Sequence[Verifier], pause: Callable[[], object] = no_pause) -> Checkpoint:
        """As `verify`, and that it is the very file that is known."""
        if digest_of(self.path) != known.digest:
            raise Damaged(self.path, "the archive file is not the one that was written")
        if (self.manifest.first, self.manifest.entries) != (known.first, known.leaves):
            raise Damaged(self.path, "the archive file holds other leaves than it should")
        return self.verify(keys, pause)

    def verify(self, keys: Sequence[Verifier], pause: Callable[[], object] = no_pause) -> Checkpoint:
        """The checkpoint that signs it, once every byte was read and found to be what the checkpoint says.

        `pause` is called behind each leaf.
        """
        manifest = self.manifest
        with self.reading():
            checkpoint, _ = _trusted(self.note(), keys)
            run, exchanges = merkle.Range(manifest.first, manifest.left), 0
            for stored in self.records(PARTS):
                run.append(merkle.leaf_hash(stored.entry))
                exchanges += stored.is_exchange
                if stored.is_exchange:
                    require_parts(stored)
                pause()
            if (run.size - manifest.first, exchanges) != (manifest.entries, manifest.exchanges):
                raise ValueError("it has not as many entries as it says")
            for leaf in manifest.rules:
                self._require_rules(leaf, checkpoint)
            if run.root(checkpoint.size, manifest.right) != checkpoint.root:
                raise ValueError("its entries are not those that its checkpoint signed")
        return checkpoint

    def _require_rules(self, leaf: int, checkpoint: Checkpoint) -> None:
        """The keys are those that the entry says, and the entry stands in the log."""
        entry, proof, keys = self.keys(leaf)
        _, index, *path = proof.decode().partition("\n\n")[0].split("\n")
        hashes = [base64.b64decode(line, validate=True) for line in path]
        stands = index == f"index {leaf}" and merkle.includes(
            merkle.leaf_hash(entry), leaf, checkpoint.size, hashes, checkpoint.root
        )
        if not stands or hashlib.sha256(keys.encode()).hexdigest() != json.loads(entry)["keys"]:
            raise ValueError(f"the keys of the rules of leaf {leaf} are not what was logged")
        if (named := self.manifest_of(leaf)) and digest_of_rules(named) != json.loads(entry)["rules"]:
            raise ValueError(f"the manifest of the rules of leaf {leaf} is not what was logged")


def _trusted(note: str, keys: Sequence[Verifier]) -> tuple[Checkpoint, object]:
    try:
        return trusted(note, keys)
    except BadNote as error:
        raise ValueError(str(error)) from None


def require_parts(stored: Stored) -> None:
    """Raise ValueError unless message, receipt and details are what the entry says; a message may be gone."""
    said = json.loads(stored.entry)
    receipts = [copy[2] for copy in said["copies"] if copy[0] == "receipt"]
    wanted = {"details": said["detail"], "messages": said["digest"], "receipts": receipts[0] if receipts else ""}
    for name, content in stored.parts.items():
        is_missing = not content and (name == "messages" or not wanted[name])
        if not is_missing and hashlib.sha256(content).hexdigest() != wanted[name]:
            raise ValueError(f"leaf {stored.leaf}: one of its {name} is not what was logged")


def _next(frames: Iterator[bytes]) -> bytes:
    found = next(frames, None)
    if found is None:
        raise EOFError("it ends too early")
    return found


def _require_file(path: Path) -> None:
    if not S_ISREG(path.stat().st_mode):  # to open a pipe would wait for a writer, perhaps for good
        raise ValueError("it is no file")


def _require_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes in one piece are too many")


def _exactly(stream: IO[bytes], length: int) -> bytes:
    _require_size(length)
    content = stream.read(length)
    if len(content) != length:
        raise EOFError("it ends too early")
    return content


def digest_of(path: Path) -> bytes:
    """SHA-256 of a file. Raises Damaged."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise Damaged(path, f"the archive file cannot be read: {error.strerror}") from None


def member(name: str) -> zipfile.ZipInfo:
    """A member of the ZIP file, without time or owner: the same evidence makes the same bytes."""
    info = zipfile.ZipInfo(name)  # 1980, the earliest that a ZIP file knows
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
