"""Writes sealed leaves into archive files, oldest first: each file proves itself, and names the one before it.

It runs beside the path of a message and never on it, a little at a time with pauses. What dies between
two steps leaves a file without its name, or one that the database does not know yet: the next
archiver writes the first anew and takes the second up, once it has read it back.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

from swexchange.core.checkpoint import Verifier
from swexchange.core.log import Archived, LoggedRules, Record, Signed, Span
from swexchange.core.tiles import TileTree
from swexchange.crashpoint import crashpoint
from swexchange.durable import making, put_in_place
from swexchange.errors import ConfigFault
from swexchange.evidence.archive_file import ENTRY_BYTES, PART_BYTES, ArchiveFile, Damaged, Manifest, digest_of, member
from swexchange.evidence.archive_folder import begins_with, files_in, name_of
from swexchange.evidence.bundle import tlog_proof
from swexchange.evidence.folder_lock import locked

COPIED = 64 * 1024  # bytes between two looks whether to pause: a millisecond or two of compression
_README = b"""An archive of an audit log: some of its entries in a row, with messages, receipts and details.

Check it with verify-evidence (Python 3.11 and PyNaCl) and the log's public key, which you should
have got from somebody you trust; give all archive files of the log to check that none is missing:

    verify-evidence --log VKEY *.zip
"""


class Log(Protocol):
    """The sealed log as the archiver needs it. Every method raises StoreDown when the database fails it."""

    def last_archive(self) -> Archived | None:
        """The newest archive file; None before the first."""

    def spans_from(self, leaf: int) -> Sequence[Span]:
        """Some of the next spans that begin with this leaf or behind it, in order."""

    def records(self, span: Span) -> Iterator[Record]:
        """The leaves of a span in order, with all that belongs to them."""

    def logged_rules(self, digests: Collection[str]) -> Sequence[LoggedRules]:
        """The leaves that say which keys these rules knew."""

    def checkpoint_over(self, size: int) -> Signed | None:
        """The newest checkpoint of at least this size, one that a witness has signed where there is any."""

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""

    def note_archive(self, made: Archived, now: datetime) -> None:
        """Remember an archive file."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a file is large enough. It ends with a whole span, a thousand leaves or so."""

    entries: int = 10_000
    size: int = 256 * 1024 * 1024  # bytes of messages, receipts and details, before they are compressed


@dataclass(slots=True)
class _Gathered:
    """What goes into one file, in temporary ones: a ZIP file is written member by member."""

    streams: Mapping[str, IO[bytes]]
    first: int
    entries: int = 0
    exchanges: int = 0
    since: int = 0
    until: int = 0
    size: int = 0  # bytes
    rules: set[str] = field(default_factory=set)

    def add(self, record: Record) -> None:
        """The next leaf."""
        self.entries += 1
        self._put("entries", ENTRY_BYTES, record.leaf.entry)
        if not record.rules:
            return
        self.exchanges += 1
        self.since = min(self.since or record.received_at, record.received_at)
        self.until = max(self.until, record.received_at)
        self.rules.add(record.rules)
        for name, content in (
            ("details", record.detail),
            ("messages", record.message),
            ("receipts", record.receipt),
        ):
            self._put(name, PART_BYTES, content)

    def _put(self, name: str, width: int, content: bytes) -> None:
        self.streams[name].write(len(content).to_bytes(width) + content)
        self.size += len(content)


class Archiver:
    """Archives a log into a folder. `pause` is called behind each little piece of work: a Pace, or no_pause."""

    def __init__(
        self,
        log: Log,
        folder: Path,
        keys: Sequence[Verifier],
        clock: Callable[[], datetime],
        pause: Callable[[], object],
        bounds: Bounds = Bounds(),
    ) -> None:
        self._log, self._folder, self._keys = log, folder, keys
        self._clock, self._pause, self._bounds = clock, pause, bounds

    def write_all(self, *, everything: bool = False) -> Iterator[Archived]:
        """Write files as long as there is enough for one; with `everything`, a last small one too.

        Raises ConfigFault where a file cannot be written or one that is there is of another log, Busy while
        another archiver writes into this folder.
        """
        with self._alone():
            while made := self._write(self._log.last_archive(), everything=everything):
                yield made

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = locked(self._folder / "archive.lock", "another archiver writes into this folder")
        with _said(self._folder), lock:
            yield

    def _write(self, last: Archived | None, *, everything: bool) -> Archived | None:
        first = last.end if last else 0
        if found := next((path for path in files_in(self._folder) if begins_with(path, first)), None):
            return self._noted(self._checked(found, last))  # a crash came between its name and the database
        with ExitStack() as opened:
            names = ("entries", "details", "messages", "receipts")
            streams = {name: opened.enter_context(TemporaryFile(dir=self._folder)) for name in names}
            gathered = _Gathered(streams, first)
            if not (self._gather(gathered) or everything) or not gathered.entries:
                return None
            new = self._folder / "archive.new"
            with making(new):  # half of it takes no room on a disk that is full
                self._pack(new, gathered, last)
                crashpoint("archive-written")
                made = self._packed(new, first, last)
                put_in_place(new, self._folder / made.name)
        crashpoint("archive-named")
        return self._noted(made)

    def _gather(self, gathered: _Gathered) -> bool:
        """Leaves until it is enough for a file; False where there are not so many."""
        while spans := self._log.spans_from(gathered.first + gathered.entries):
            for span in spans:
                for record in self._log.records(span):
                    gathered.add(record)
                    self._pause()
                if gathered.first + gathered.entries != span.first_leaf + span.leaves:
                    what = f"leaves {span.first_leaf} and following are not the rows that were sealed"
                    raise ConfigFault(what, do="Run `swexchange audit verify`")
                if gathered.entries >= self._bounds.entries or gathered.size >= self._bounds.size:
                    return True
        return False

    def _pack(self, path: Path, gathered: _Gathered, last: Archived | None) -> None:
        logged = self._log.logged_rules(gathered.rules)
        end = gathered.first + gathered.entries
        signed = self._log.checkpoint_over(max(end, *(rules.leaf + 1 for rules in logged), 0))
        if signed is None:
            raise ConfigFault("the log has no checkpoint over its leaves", do="Run `swexchange audit verify`")
        tree = TileTree(signed.size, self._log.tile)
        manifest = Manifest(
            **{name: getattr(gathered, name) for name in ("first", "entries", "exchanges", "since", "until")},
            previous=(last.name, last.digest.hex()) if last else None,
            left=tuple(tree.cover(0, gathered.first)),
            right=tuple(tree.cover(end, signed.size)),
            rules=tuple(rules.leaf for rules in logged),
        )
        with zipfile.ZipFile(path, "w") as packed:
            for name, stream in gathered.streams.items():
                stream.seek(0)
                with packed.open(member(name), "w", force_zip64=True) as target:
                    self._copy(stream, target)
            for name, content in (*_keys(logged, tree, signed), *_rest_of(manifest, signed)):
                packed.writestr(member(name), content)

    def _copy(self, source: IO[bytes], target: IO[bytes]) -> None:
        while some := source.read(COPIED):
            target.write(some)
            self._pause()

    def _checked(self, path: Path, last: Archived | None) -> Archived:
        """The file, once it was read back and is the next part of this very log. Raises Damaged, ConfigFault."""
        with closing(ArchiveFile(path)) as written:
            checkpoint, said = written.verify(self._keys, self._pause), written.manifest
        tree = TileTree(checkpoint.size, self._log.tile)
        place = last.end if last else 0, (last.name, last.digest.hex()) if last else None
        if (said.first, said.previous) != place or tree.root() != checkpoint.root:
            what = "this archive file is of another log, or of another state of this one"
            raise ConfigFault(what, where=str(path), do="Move it out of the folder")
        name, size = name_of(said.first, said.entries), path.stat().st_size
        return Archived(said.first, said.entries, name, digest_of(path), size, said.since, said.until)

    def _packed(self, new: Path, first: int, last: Archived | None) -> Archived:
        """The file that was just written, once it was read back. Raises ConfigFault."""
        try:
            return self._checked(new, last)
        except Damaged as fault:
            what = f"the rows from leaf {first} on are not those that were sealed: {fault.what}"
            raise ConfigFault(what, do="Run `swexchange audit verify`") from None

    def _noted(self, made: Archived) -> Archived:
        self._log.note_archive(made, self._clock())
        crashpoint("archive-noted")
        return made


def _keys(logged: Iterable[LoggedRules], tree: TileTree, signed: Signed) -> Iterator[tuple[str, bytes]]:
    for rules in logged:
        yield f"rules/{rules.leaf}.json", rules.entry
        yield f"rules/{rules.leaf}.tlog-proof", tlog_proof(rules.leaf, tree.inclusion(rules.leaf), signed.note).encode()
        yield f"rules/{rules.leaf}.keys.json", rules.keys.encode()
        if rules.manifest:
            yield f"rules/{rules.leaf}.manifest", rules.manifest.encode()


def _rest_of(manifest: Manifest, signed: Signed) -> Iterator[tuple[str, bytes]]:
    yield "checkpoint", signed.note.encode()
    yield "archive.json", manifest.write()
    yield "README.txt", _README


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigFault(f"archives cannot be written: {error.strerror}", where=str(folder)) from None
