"""Seals what was recorded: new rows become leaves of the Merkle log, under a signed checkpoint.

It runs beside the path of a message and never on it. Several sealers may run: each builds on the
log as it found it, and the database takes one; what the others signed was shown to nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from swexchange.core import checkpoint, merkle
from swexchange.core.checkpoint import BadNote, Checkpoint, Verifier
from swexchange.core.keys import SigningKey
from swexchange.core.log import Leaf, LogState, Signed, Span
from swexchange.core.tiles import TileTree
from swexchange.crashpoint import crashpoint
from swexchange.durable import replace_file
from swexchange.errors import ConfigFault, Fault
from swexchange.evidence.pace import Pace, no_pause

_RESTORED = "See docs/how-to/prove-an-exchange.md#after-a-restore"
AT_ONCE = 1_000  # leaves in one step, about
_VERIFY = "Run `swexchange audit verify`; until it is explained, seal nothing"
LOOK = 30.0  # seconds between two signs of life, at most


class Log(Protocol):
    """The Merkle log as the sealer needs it. Every method raises StoreDown when the database fails it."""

    def head(self) -> Signed | None:
        """The newest checkpoint; None before the first."""

    def state(self) -> LogState:
        """How far sealing and archiving have come."""

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""

    def pending(self, most: int, *, everywhere: bool = False) -> Sequence[Span]:
        """Spans to seal next, of some `most` leaves."""

    def leaves(self, span: Span) -> Iterator[Leaf]:
        """The entries of a span in order."""

    def seal(
        self, size: int, spans: Sequence[Span], tiles: Mapping[tuple[int, int], bytes], made: Signed | None
    ) -> bool:
        """Add spans, tiles and the checkpoint in one transaction; False when the log is no longer of this size."""


class HighWater:
    """A file that remembers the newest checkpoint, beside the database: a restored old one is noticed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """The remembered note; '' where there is none. Raises ConfigFault."""
        try:
            note = self._path.read_text("utf-8")
        except FileNotFoundError:
            if not self._path.parent.is_dir():
                what = "there is no folder for the file that remembers the last checkpoint"
                raise ConfigFault(what, where=str(self._path), do="Make it, or correct SWX_AUDIT_HEAD") from None
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigFault(f"cannot read the last checkpoint: {error}", where=str(self._path)) from None
        if not note:  # never as if nothing were remembered: we write no empty one
            raise ConfigFault("the file of the last checkpoint is empty", where=str(self._path), do=_RESTORED)
        return note

    def write(self, note: str) -> None:
        """Remember a note, in place of the last one. Raises ConfigFault."""
        try:
            replace_file(self._path, note.encode())
        except OSError as error:
            raise ConfigFault(f"cannot remember the checkpoint: {error.strerror}", where=str(self._path)) from None


def checked(log: Log, origin: str, high_water: HighWater) -> TileTree:
    """A log as it stands. Raises ConfigFault where it is not the one that was signed last; needs no key."""
    # In this order: a sealer may add to the log and then remember it between the two.
    remembered = high_water.read()
    head = log.head()
    tree = TileTree(head.size if head else 0, log.tile)
    if head:
        _require(origin, tree, head.note, "the last checkpoint")
    if remembered:
        _require(origin, tree, remembered, "the remembered checkpoint")
    return tree


def _require(origin: str, tree: TileTree, note: str, place: str) -> None:
    try:
        signed = Checkpoint.read(checkpoint.Note.read(note).text)
    except BadNote as error:
        raise ConfigFault(f"{place} is damaged: {error}", where=origin, do=_VERIFY) from None
    if signed.size > tree.size:
        what = f"the log has {tree.size} entries, {place} says {signed.size}: an older database was restored"
        raise ConfigFault(what, where=origin, do=_RESTORED)
    with suppress(LookupError):
        if tree.root(signed.size) == signed.root:
            return
    what = f"the log of {tree.size} entries does not begin with the {signed.size} that {place} signed"
    raise ConfigFault(what, where=origin, do=_VERIFY)


class Sealer:
    """Seals a log with a key under an origin, and refuses to go on from one that was rolled back."""

    def __init__(
        self, log: Log, origin: str, key: SigningKey, high_water: HighWater, clock: Callable[[], datetime]
    ) -> None:
        self._log, self._origin, self._key = log, origin, key
        self._high_water, self._clock = high_water, clock

    @property
    def verifier(self) -> Verifier:
        """The log's public key."""
        return Verifier(self._origin, self._key.public)

    def check(self) -> TileTree:
        """The log as it stands. Raises ConfigFault where it is not the one that was signed last."""
        return checked(self._log, self._origin, self._high_water)

    def seal(self, pause: Callable[[], object] = no_pause, *, everywhere: bool = False) -> int:
        """Seal some of what is new; how many leaves were added. Raises StoreDown, ConfigFault.

        `pause` is called after each leaf that was read; no transaction is open then.
        """
        tree = self.check()
        size = tree.size
        spans = []
        for span in self._log.pending(AT_ONCE, everywhere=everywhere):
            first = tree.size
            tree.append(self._hashes(span, pause))
            spans.append(replace(span, first_leaf=first, leaves=tree.size - first))
        if not spans:
            return 0
        made = self._signed(tree) if tree.size > size else None
        crashpoint("signed")
        if not self._log.seal(size, spans, tree.changed(), made):
            return 0
        crashpoint("sealed")
        if made:
            self._high_water.write(made.note)
        return tree.size - size

    def _hashes(self, span: Span, pause: Callable[[], object]) -> Iterator[bytes]:
        for leaf in self._log.leaves(span):
            yield merkle.leaf_hash(leaf.entry)
            pause()

    def _signed(self, tree: TileTree) -> Signed:
        note = checkpoint.sign(Checkpoint(self._origin, tree.size, tree.root()), self._key)
        return Signed(tree.size, self._clock(), note)

    def seal_all(self, pause: Callable[[], object] = no_pause, *, everywhere: bool = False) -> Iterator[int]:
        """Seal until nothing is left, step by step: the leaves of each. `pause` is as that of `seal`."""
        while added := self.seal(pause, everywhere=everywhere):
            yield added
            pause()

    def state(self) -> LogState:
        """How far the log has come, by whichever sealer. Raises StoreDown."""
        return self._log.state()

    def is_due(self, seconds: float) -> bool:
        """Whether the newest checkpoint, by any sealer, is older than this, or of the future by a wrong clock."""
        head = self._log.head()
        return head is None or not 0 <= (self._clock() - head.made_at).total_seconds() < seconds


class Observer(Protocol):
    """Who is told what the sealer did."""

    def alive(self) -> None:
        """It made progress, or is at rest and well."""

    def sealed(self, leaves: int) -> None:
        """Leaves were added to the log."""

    def log_state(self, state: LogState) -> None:
        """How far the log has come, told again and again."""

    def not_sealed(self, fault: Fault) -> None:
        """The log cannot be sealed now."""


class Sealing:
    """Seals again and again, until `wait` says so. Faults and errors of ours are told, and end nothing.

    `wait` waits so many seconds, or until it is to end; whether it is.
    """

    def __init__(self, sealer: Sealer, seconds: float, observer: Observer, wait: Callable[[float], bool]) -> None:
        self._sealer, self._seconds, self._observer, self._wait = sealer, seconds, observer, wait

    def run(self) -> None:
        """Look several times an interval: what another sealer does counts too."""
        while not self._wait(min(self._seconds, max(1.0, self._seconds / 10), LOOK)):
            self._observer.alive()
            try:
                self._observer.log_state(self._sealer.state())  # first: what cannot be sealed is seen to grow
                if self._sealer.is_due(self._seconds):
                    self._seal()
            except Fault as fault:
                self._failed(fault)
            except Exception as error:  # noqa: BLE001 - an end that nobody sees would leave the log unsealed
                self._failed(Fault(f"unexpected {type(error).__name__}"))

    def _failed(self, fault: Fault) -> None:
        self._observer.not_sealed(fault)
        self._wait(min(self._seconds, LOOK))

    def _seal(self) -> None:
        for added in self._sealer.seal_all(Pace(self._wait, time.process_time)):
            self._observer.sealed(added)
            self._observer.alive()
            if self._wait(0.0):
                return
