"""Who is told by workers and forwarders: only counted, and handed to the history, never believed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from swexchange.core.breaker import Standing
from swexchange.core.forecast import Forecast, Sample
from swexchange.errors import Fault
from swexchange.forwarder import Sent
from swexchange.pipeline import Report
from swexchange.upstream import Fates

if TYPE_CHECKING:
    from tests.simulation.site import Site


class Told:
    """A worker's observer."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name

    def batch(self, report: Report) -> None:
        self._site.history.batch(report)

    def swept(self, sent: Sent) -> None:
        self._site.history.swept(sent)

    def blocked(self, is_blocked: bool) -> None:
        """It is the schedule's doing, and counted there."""

    def alive(self) -> None:
        """The batch in hand is done."""
        self._site.in_hand.pop(self._name, None)

    def held_back(self, why: str) -> None:
        self._site.sometimes["the intake was held back" if why else "the intake went on"] += 1

    def trouble(self, fault: Fault, pause: float) -> None:
        self._site.sometimes[f"{type(fault).__name__} met"] += 1

    def recovered(self) -> None:
        self._site.sometimes["a worker recovered from trouble"] += 1


class ToldUpstream:
    """A forwarder's observer."""

    def __init__(self, site: Site, holder: str) -> None:
        self._site, self._holder = site, holder

    def forwarded(self, fates: Fates) -> None:
        for _, fate in fates:
            self._site.sometimes[f"a forwarded copy was {fate}"] += 1

    def upstream(self, name: str, standing: Standing, now: Sample, oldest: datetime | None, told: Forecast) -> None:
        """Only the one that holds the lease tells."""
        if self._site.leader not in ("", self._holder):
            self._site.sometimes["another forwarder took over"] += 1
        self._site.leader = self._holder

    def breaker(self, name: str, standing: Standing) -> None:
        self._site.sometimes["the breaker closed" if standing.since is None else "the breaker opened"] += 1

    def trouble(self, fault: Fault, pause: float) -> None:
        self._site.sometimes[f"a forwarder met {type(fault).__name__}"] += 1

    def recovered(self) -> None:
        self._site.sometimes["a forwarder recovered from trouble"] += 1
