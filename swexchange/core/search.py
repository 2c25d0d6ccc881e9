"""What people look for among the exchanges of the past."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from swexchange.core.model import BusinessKey


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
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""  # continue behind this exchange id, towards older ones
    limit: int = 50
