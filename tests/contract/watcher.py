"""What a forwarder tells, remembered; and the clock that it goes by."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from swexchange.core.breaker import Standing
from swexchange.core.forecast import Forecast, Sample
from swexchange.errors import Fault
from swexchange.upstream import Fates
from tests.contract.exchanges import NOW


@dataclass
class Watcher:
    """An observer that remembers; also the clock."""

    now: datetime = NOW
    fates: list[Fates] = field(default_factory=list)
    standing: Standing = field(default_factory=Standing)
    faults: list[Fault] = field(default_factory=list)
    backlog: int = 0

    def forwarded(self, fates: Fates) -> None:
        self.fates.append(fates)

    def upstream(self, name: str, standing: Standing, now: Sample, oldest: datetime | None, told: Forecast) -> None:
        self.standing, self.backlog = standing, now.backlog

    def breaker(self, name: str, standing: Standing) -> None:
        self.standing = standing

    def trouble(self, fault: Fault, pause: float) -> None:
        self.faults.append(fault)

    def recovered(self) -> None:
        self.faults.clear()
