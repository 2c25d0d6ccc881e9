"""Ids and identities, all derived from content: a repeat of anything gets the same id.

An identity is what the ledger keeps unique. An accepted message takes its (sender, message
id) for good. A refused one takes nothing but its own bytes, so a corrected message may come
under the same id, and the same bytes get the same answer again. A held one was not decided at
all: what is decided of its bytes later has an identity of its own.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from swexchange.core import codes
from swexchange.core.model import Decision, Kind, Outcome


def exchange_id(received_at: datetime, submitter: str, digest: bytes) -> str:
    """32 hex digits: 48 bits of milliseconds, 80 bits of content; sorts by time of receipt."""
    milliseconds = int(received_at.timestamp() * 1000)
    content = hashlib.sha256(submitter.encode() + b"\0" + digest).digest()[:10]
    return (milliseconds.to_bytes(6) + content).hex()


def first_id(at: datetime) -> str:
    """What no exchange id of a moment sorts before: ids begin with their time in milliseconds since 1970."""
    return max(0, int(at.timestamp() * 1000)).to_bytes(6).hex()


def copy_id(sender: str, message_id: str, digest: bytes, kind: Kind, to: str) -> str:
    """AMQP message id of a copy: 40 hex digits, the same in every repeat, resend and replay."""
    return _hashed(sender.encode(), message_id.encode(), digest, kind.encode(), to.encode())


def receipt_id(exchange: str, to: str) -> str:
    """AMQP message id of a receipt: of its exchange, since the same bytes may be refused first and accepted later."""
    return _hashed(Kind.RECEIPT.encode(), exchange.encode(), to.encode())


def _hashed(*fields: bytes) -> str:
    framed = b"".join(len(f).to_bytes(4) + f for f in fields)
    return hashlib.sha256(framed).hexdigest()[:40]


def claim(sender: str, message_id: str) -> str:
    """The identity that an accepted message takes."""
    return f"A:{sender}/{message_id}"


def is_claim(name: str) -> bool:
    """Whether an identity is one that an accepted message takes."""
    return name.startswith("A:")


def bytes_identity(submitter: str, digest: bytes) -> str:
    """The identity of a refused message: its submitter and its very bytes."""
    return f"R:{submitter}#{digest.hex()}"


def held_identity(submitter: str, digest: bytes) -> str:
    """The identity of a message that is held for an operator."""
    return f"H:{submitter}#{digest.hex()}"


def identity(decision: Decision) -> str:
    """Under which identity a decision is recorded."""
    if decision.code == codes.HELD:
        return held_identity(decision.submitter, decision.digest)
    if decision.outcome is Outcome.REJECTED:
        return bytes_identity(decision.submitter, decision.digest)
    return claim(decision.sender, decision.message_id)


def lookups(decision: Decision) -> tuple[str, ...]:
    """Every identity under which an earlier decision on this message may stand."""
    own = bytes_identity(decision.submitter, decision.digest)
    if decision.code == codes.HELD:
        return own, held_identity(decision.submitter, decision.digest)
    if decision.sender and decision.message_id:
        return claim(decision.sender, decision.message_id), own
    return (own,)
