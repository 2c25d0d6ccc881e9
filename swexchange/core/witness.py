"""What a witness does: cosign a log's checkpoint only where it grew from the last one. C2SP's tlog-witness.

Requests and answers are those of its `add-checkpoint`, with the status codes of HTTP; how they
travel is not their concern.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from swexchange.core import merkle
from swexchange.core.checkpoint import BadNote, Checkpoint, Note, Verifier, trusted

OK, MALFORMED, UNTRUSTED, UNKNOWN_LOG, CONFLICT, NOT_GROWN = 200, 400, 403, 404, 409, 422
MOST_HASHES = 63  # of a proof


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness says, and what it must remember before it does."""

    status: int
    body: str = ""  # OK: cosignature lines; CONFLICT: the size that it saw last; else what is wrong
    seen: Checkpoint | None = None  # OK: the new last one of this log


def request(old: int, proof: Sequence[bytes], note: str) -> str:
    """A request to cosign a checkpoint, with the proof that it grew from a size."""
    return "\n".join([f"old {old}", *(base64.b64encode(h).decode() for h in proof)]) + f"\n\n{note}"


def answer(
    asked: str, seen: Mapping[str, Checkpoint], logs: Sequence[Verifier], cosign: Callable[[Note], str]
) -> Answer:
    """What to answer; `seen` holds the last checkpoint cosigned of each log by its origin."""
    try:
        old, proof, text = _read(asked)
        origin = Checkpoint.read(Note.read(text).text).origin
    except ValueError as error:
        return Answer(MALFORMED, f"{error}\n")
    if origin not in {key.name for key in logs}:
        return Answer(UNKNOWN_LOG, f"{origin} is not a log that is witnessed here\n")
    try:
        new, note = trusted(text, logs)
    except BadNote as error:
        return Answer(UNTRUSTED, f"{error}\n")
    last = seen.get(origin, Checkpoint(origin, 0, merkle.EMPTY_ROOT))
    return _refusal(old, last, new, proof) or Answer(OK, cosign(note), new)


def _refusal(old: int, last: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> Answer | None:
    if old > new.size:
        return Answer(MALFORMED, f"the old size {old} is larger than the checkpoint's, {new.size}\n")
    if old != last.size or (old == new.size and last.root != new.root):
        return Answer(CONFLICT, f"{last.size}\n")
    if not merkle.grows(old, new.size, last.root, new.root, proof):
        return Answer(NOT_GROWN, f"no proof that {new.size} entries begin with the {old} seen here\n")
    return None


def _read(asked: str) -> tuple[int, list[bytes], str]:
    head, blank, note = asked.partition("\n\n")
    first, *lines = head.split("\n")
    size = first.removeprefix("old ")
    if not blank or not first.startswith("old ") or not (size.isascii() and size.isdigit()) or len(size) > 18:
        raise BadNote("a request is `old SIZE`, a proof, an empty line, a checkpoint")
    if len(lines) > MOST_HASHES:
        raise BadNote(f"a proof has {MOST_HASHES} hashes at most")
    try:
        proof = [binascii.a2b_base64(line, strict_mode=True) for line in lines]
    except (binascii.Error, ValueError):
        raise BadNote("the proof is no base64") from None
    return int(size), proof, note
