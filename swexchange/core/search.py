"""What people look for among the exchanges of the past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swexchange.core.model import BusinessKey


class State(StrEnum):
    """How an exchange stands now, or one of its copies."""

    SENT = "sent"  # a copy: confirmed
    UNSETTLED = "unsettled"  # a copy: being sent, or left by a crash
    DUE = "due"  # a copy: to be sent again
    QUEUED = "queued"  # a copy: waits for an upstream
    DROPPED = "dropped"  # a copy: an operator gave it up
    HELD = "held"  # the message: waits for an operator
    WAITING = "waiting"  # the message: an answer without its parent


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; every part that is given must hold. Times are of receipt."""

    exchanges: tuple[str, ...] = ()  # one of these ids
    message_id: str = ""
    key: BusinessKey | None = None  # name '' = any name
    sender: str = ""
    receiver: str = ""
    type: str = ""
    outcome: str = ""
    code: str = ""
    route: str = ""
    state: State | None = None  # of a copy, with `receiver` of the message's copy for it; or of the message
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""  # continue behind this exchange id, towards older ones
    limit: int = 50
