"""Both sides of witnessing: a witness with its memory, and a log that asks for cosignatures.

A witness closes the one gap that a log cannot: its operator could rewrite everything, and sign it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from swexchange.core.checkpoint import BadNote, Checkpoint, Note, Signature, Verifier, cosign
from swexchange.core.keys import SigningKey
from swexchange.core.log import Signed
from swexchange.core.tiles import TileTree
from swexchange.core.witness import CONFLICT, NOT_GROWN, OK, Answer, answer, request
from swexchange.crashpoint import crashpoint
from swexchange.durable import replacing
from swexchange.errors import ConfigFault, Fault

TRIES = 4  # to sign, while others have it sign too


class OtherHistory(ConfigFault):
    """A witness has seen another or a longer history of the log than there is."""


class Witness:
    """Cosigns the logs it knows; remembers the last checkpoint of each in a file of its own."""

    def __init__(
        self, name: str, key: SigningKey, logs: Sequence[Verifier], memory: Path, now: Callable[[], float]
    ) -> None:
        self._name, self._key, self._logs, self._memory, self._now = name, key, logs, memory, now

    def answer(self, asked: str) -> Answer:
        """Answer one request; what is cosigned is remembered, on disk, before. Raises Fault."""
        try:
            # One at a time, also of several processes with one memory: two could sign two histories of one size.
            with replacing(self._memory) as remember:
                found = answer(asked, seen := self._seen(), self._logs, self._cosign)
                if found.seen:
                    texts = {origin: one.text for origin, one in (seen | {found.seen.origin: found.seen}).items()}
                    remember(json.dumps(texts, indent=1).encode())
                    crashpoint("remembered")
        except OSError as error:
            # No ConfigFault, which would end it for good: a full disk has room again, and whoever asked asks again.
            raise Fault(f"cannot remember what was seen: {error.strerror}", where=str(self._memory)) from None
        return found

    def _cosign(self, note: Note) -> str:
        return cosign(note, self._name, self._key, int(self._now()))

    def _seen(self) -> dict[str, Checkpoint]:
        try:
            stored = json.loads(self._memory.read_text("utf-8"))
            seen = {origin: Checkpoint.read(text) for origin, text in stored.items()}
            if wrong := [origin for origin, one in seen.items() if one.origin != origin]:
                raise ValueError(f"what it says of {wrong[0]!r} is about another log")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            # Never as if nothing had been seen: that would let a log begin anew.
            raise ConfigFault(f"cannot read what was seen: {error}", where=str(self._memory)) from None
        return seen


class Log(Protocol):
    """The Merkle log as cosigning needs it. Every method raises StoreDown when the database fails it."""

    def head(self) -> Signed | None:
        """The newest checkpoint; None before the first."""

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""

    def cosigned(self, size: int, note: str, witnesses: int) -> None:
        """Replace a checkpoint's note by one that so many witnesses have signed."""


def collect(log: Log, witness: Verifier, ask: Callable[[str], Answer]) -> int:
    """Have a witness sign the newest checkpoint; its size, 0 = there is none yet.

    Raises OtherHistory where the witness has seen another of this log, ConfigFault where it does not sign.
    """
    head = log.head()
    if head is None:
        return 0
    if _signed(head.note, witness):
        return head.size
    head, signature = _sign(log, witness, ask)
    # Its own line alone: more of them could be in the name of another witness, whose turn is yet to come.
    note = head.note + signature.line
    log.cosigned(head.size, note, len(Note.read(note).signatures) - 1)
    return head.size


def confront(log: Log, witness: Verifier, ask: Callable[[str], Answer]) -> None:
    """Ask a witness whether this log is the one it knows, also where it has signed the newest checkpoint.

    Raises OtherHistory where it is not, ConfigFault where the witness does not sign for another reason.
    """
    if log.head() is not None:
        _sign(log, witness, ask)


def _sign(log: Log, witness: Verifier, ask: Callable[[str], Answer]) -> tuple[Signed, Signature]:
    """The newest checkpoint and the witness's signature, with the proof that it grew from what the witness has seen."""
    seen = 0
    for _ in range(TRIES):
        head = log.head()  # anew: others may have sealed since, and had that signed
        if head is None or seen > head.size:
            size = head.size if head else 0
            what = f"it has seen {seen} entries, the log has {size}: an older database was restored, or the log was cut"
            raise OtherHistory(what, where=witness.name, do=_RESTORE)
        proof = TileTree(head.size, log.tile).consistency(seen) if seen else []
        found = ask(request(seen, proof, head.note))
        if found.status == OK:
            if signature := _signed(head.note + found.body, witness):
                return head, signature
            raise ConfigFault("its answer is not signed with its key", where=witness.name)
        size = _size(found, witness) if found.status == CONFLICT else seen
        if found.status not in (CONFLICT, NOT_GROWN):
            raise ConfigFault(f"it does not sign: {found.status} {found.body.strip()}", where=witness.name)
        if size == seen:
            what = f"no proof joins the {seen} entries it has seen and this log of {head.size}: the log was rewritten"
            raise OtherHistory(what, where=witness.name, do=_RESTORE)
        seen = size
    raise ConfigFault("it names another size each time", where=witness.name)


def _signed(note: str, witness: Verifier) -> Signature | None:
    try:
        return Note.read(note).by(witness)
    except BadNote as error:
        raise ConfigFault(str(error), where=witness.name) from None


def _size(found: Answer, witness: Verifier) -> int:
    if not re.fullmatch(r"[0-9]{1,18}\n?", found.body):
        raise ConfigFault(f"its answer names no size: {found.body[:80]!r}", where=witness.name)
    return int(found.body)


_RESTORE = "See docs/how-to/prove-an-exchange.md#after-a-restore"


def read_keys(texts: str) -> list[Verifier]:
    """Verifier keys from a text with blanks between them. Raises ConfigFault."""
    try:
        return [Verifier.read(text) for text in texts.split()]
    except BadNote as error:
        raise ConfigFault(str(error), do="Use what `swexchange witness key` printed") from None
