"""The values that travel through the house; frozen, with a comment per field.

Nothing here does anything. Times are timezone-aware UTC `datetime`; digests are the 32
bytes of SHA-256; participants, types and routes are named by their ids in `routes.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

RECEIVERS = "receivers"  # a route's destination: every receiver that the envelope names
ASKER = "asker"  # a route's destination: the participant whose message this one answers


class Outcome(StrEnum):
    """What was decided about a message."""

    ACCEPTED = "accepted"  # routed; every copy will be delivered
    REJECTED = "rejected"  # the sender was told why; nothing was delivered
    WAITING = "waiting"  # an answer whose parent is not known yet: accepted, parked, tried again


class Retry(StrEnum):
    """What a sender should do about a refused message."""

    NEVER = "never"  # sending it again cannot help
    LATER = "later"  # the same bytes may pass later
    FIX = "fix"  # correct the message, sign and send again


class Kind(StrEnum):
    """What a copy is to the participant who gets it."""

    MESSAGE = "message"  # the input's own bytes, to an inbox
    RECEIPT = "receipt"  # a DxpRep of the platform, to a receipts queue


@dataclass(frozen=True, slots=True)
class Properties:
    """AMQP properties as the sender set them. Claims: nothing is decided by them."""

    message_id: str = ""
    type: str = ""
    content_type: str = ""
    user_id: str = ""  # checked by the broker when set


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker handed it over."""

    tag: int  # delivery tag, valid on the link it came from only
    submitter: str  # participant whose exchange it came through ('' if none): held apart by broker permissions
    body: bytes
    properties: Properties = Properties()
    redelivered: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for a refusal, or one remark."""

    code: str  # a code of core.codes
    detail: str = ""  # the plain facts: what was found, what was expected
    path: str = ""  # element path, local names: /DxpMsg/TransInfo/CopMsgId
    line: int = 0  # in the document the path is about, from 1; 0 = unknown


@dataclass(frozen=True, slots=True)
class ReceiverResult:
    """What became of one receiver that the envelope named."""

    receiver: str
    code: str  # '0000' or a code of core.codes
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """What an envelope (or a bare business document) says of itself; `OriHead` of its receipts."""

    message_id: str  # CopMsgId
    sender: str  # SenderId
    receivers: tuple[str, ...]  # ReceiverIds
    created: str  # CreatTime, the sender's own text
    msg_type: str  # MsgType, may be empty


@dataclass(frozen=True, slots=True)
class BusinessKey:
    """A name and value by which people look for a declaration: EntryId, SeqNo, BillNo, any AddInfo key."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Copy:
    """One message to send because of an exchange. The id derives from content, never from a sequence."""

    id: str  # AMQP message_id downstream: equal in every repeat
    kind: Kind
    to: str  # participant
    type: str  # AMQP type: the message type, or 'DxpRep'
    correlation_id: str  # message id of the original in a receipt; of the parent in an answer; else its own
    exchange_id: str
    body: bytes
    replay: str = ""  # id of the replay it is sent by; '' = ordinary traffic


@dataclass(frozen=True, slots=True)
class Decision:
    """All that was decided about one delivery: a function of bytes, submitter, rules and time alone."""

    exchange_id: str  # 32 hex digits, sorts by time
    received_at: datetime
    submitter: str
    body: bytes
    digest: bytes  # SHA-256 of the body
    rules_digest: str
    outcome: Outcome
    sender: str = ""  # the participant whose key signed it; '' = not authenticated
    message_id: str = ""  # the sender's id of the message; '' = not read
    head: Head | None = None  # None where it could not be read
    type: str = ""
    key_id: str = ""
    envelope_edition: str = ""  # e.g. dxp/202205
    edition: str = ""  # e.g. dec/4.9.7
    route: str = ""
    findings: tuple[Finding, ...] = ()
    results: tuple[ReceiverResult, ...] = ()
    keys: tuple[BusinessKey, ...] = ()
    answers: tuple[BusinessKey, ...] = ()  # keys of the message it answers; empty = it answers none
    askers: tuple[str, ...] = ()  # participants whom an answer names as its receivers; empty = whoever asked
    lane: str = ""  # what it must not overtake on the way upstream (core.lanes); '' = nothing
    copies: tuple[Copy, ...] = ()

    @property
    def again(self) -> Delivery:
        """The message as if its submitter sent it once more."""
        return Delivery(0, self.submitter, self.body)

    @property
    def code(self) -> str:
        """The first finding's code; '0000' where there is none."""
        return self.findings[0].code if self.findings else "0000"

    @property
    def receipt(self) -> Copy | None:
        """The receipt among the copies; None where nobody can be told."""
        return next((c for c in self.copies if c.kind is Kind.RECEIPT), None)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger already holds about an identity."""

    exchange_id: str
    digest: bytes
    outcome: Outcome
    code: str
    receipt: Copy | None
    unsent: tuple[Copy, ...] = ()  # copies that no broker has confirmed yet, receipt excluded


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recorded exchange that carries a business key which an answer names."""

    exchange_id: str
    sender: str
    message_id: str
    delivered_to: frozenset[str]  # participants who got a copy of the message
    asker: Parent | None  # for an exchange that is itself an answer: whom it answered


@dataclass(frozen=True, slots=True)
class Parent:
    """The exchange that an answer belongs to; `sender` is who gets the answer."""

    exchange_id: str
    sender: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger records: a decision under the identity that makes a repeat recognisable."""

    identity: str
    decision: Decision
    parent: Parent | None = None
    remote: frozenset[str] = frozenset()  # recipients behind an upstream: their copies wait for the forwarder


class Event(StrEnum):
    """What can happen to an exchange beside its ordinary course; ordinary times stand in its rows.

    Or to the log itself: then it names no exchange, and its detail is a `core.prune_record`. Or to a replay or a
    hold: then it names no exchange either, and its detail is as `store.operations` has it.
    """

    REPEATED = "repeated"  # the same bytes came again; the stored receipt was sent again
    RETURNED = "returned"  # a copy found no queue
    REFUSED = "refused"  # the broker nacked a copy
    UNCONFIRMED = "unconfirmed"  # no answer in time: perhaps sent
    RESENT = "resent"  # the forwarder sent a copy again
    MATCHED = "matched"  # a waiting answer found its parent
    RELEASED = "released"  # an operator had the held message decided again
    DROPPED = "dropped"  # an operator gave up a copy; the detail says who and why
    REPLAYED = "replayed"  # an operator's replay sent a copy again, or took the message up anew
    PRUNING = "pruning"  # an operator begins to take what lies in an archive file out of the database
    PRUNED = "pruned"  # that is done
    REMOVED = "removed"  # an archive file goes itself
    PLANNED = "planned"  # a replay is: its exchanges are frozen
    STARTED = "started"  # a run of a replay has
    STOPPED = "stopped"  # a run of a replay has, and another may go on
    DONE = "done"  # a replay is
    ABORTED = "aborted"  # an operator gave a replay up
    PLACED = "placed"  # a hold was
    LIFTED = "lifted"  # a hold was


class Fate(StrEnum):
    """What the broker said of one published copy: three different things, never mixed."""

    CONFIRMED = "confirmed"  # it is safe in a queue
    RETURNED = "returned"  # no queue: a fault of configuration
    REFUSED = "refused"  # nacked: full or broken; try again
    UNKNOWN = "unknown"  # no answer: perhaps there, send again with the same id


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of an exchange, for its audit trail."""

    exchange_id: str
    event: Event
    detail: str = ""
