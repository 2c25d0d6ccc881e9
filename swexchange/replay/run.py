"""Runs a planned replay: canary first, in order per lane, at a rate, until it fails too often.

Claim, publish, mark. What dies between the last two leaves items claimed: the next run sends
these once more with the same ids. What goes to an upstream is never published here: the mark
queues it, in the transaction that says the item is done, and the upstream's forwarder sends it.
Planning is `core.replay`; the store keeps plan and lease.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from swexchange.core.conclude import taken_at
from swexchange.core.model import Copy, Decision, Delivery, Fate, Outcome, Recorded
from swexchange.core.replay import BEHIND, PRUNED, Done, Parcel, waves
from swexchange.core.rulebook import Rulebook
from swexchange.crashpoint import crashpoint
from swexchange.decider import decide_as_of
from swexchange.pipeline import Ledger, Report, Sink, process

RECENT = 1000  # items over which failures are counted


class Stock(Protocol):
    """The items of the replay that this run holds the lease of. Raises Busy once it is lost, and StoreDown."""

    def claim(self, after: int, limit: int, now: datetime) -> Sequence[Parcel]:
        """The next items behind a seq in order, at most so many; durable before it returns."""

    def mark(self, done: Sequence[Done], now: datetime) -> None:
        """Note what became of claimed items, in the exchanges' trails too; queue what goes to an upstream of these."""


class Ending(StrEnum):
    """Why a run ended."""

    COMPLETE = "complete"
    CANARY_DONE = "the canary arrived"
    CANARY_FAILED = "the canary failed"
    FAILURES = "too many failed"
    ASKED = "stopped by its operator"


@dataclass(frozen=True, slots=True)
class Pace:
    """How carefully a run goes."""

    canary: int = 10  # items sent first and alone; all of them must arrive
    canary_only: bool = False
    rate: int = 0  # items a second; 0 = as fast as it goes
    most_failed: float = 0.05  # of the last RECENT items
    together: int = 500  # items at once


@dataclass(slots=True)
class Accepting:
    """What it takes to accept refused messages after all: today's rules and the ledger."""

    rules: Rulebook
    ledger: Ledger


@dataclass(slots=True)
class Run:
    """One run of a replay. `stop` may be called from a signal handler."""

    replay_id: str
    stock: Stock
    sink: Sink
    clock: Callable[[], datetime]
    wait: Callable[[float], object]  # for so many seconds, or until stopped
    accepting: Accepting | None = None  # None for a replay that only sends
    pace: Pace = Pace()
    on_done: Callable[[Sequence[Done]], object] = lambda _: None
    stopped: bool = False
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=RECENT))
    _behind: set[str] = field(default_factory=set)  # lanes of which one item failed

    def stop(self) -> None:
        """Finish what is in hand, then end."""
        self.stopped = True

    def go(self) -> Ending:
        """Send what is left of the replay. Raises BrokerLost, StoreDown or Busy: then run it again later."""
        last, count, begins = -1, 0, time.monotonic()
        while self._goes_on(begins):
            is_canary = self.pace.canary > count
            parcels = self.stock.claim(last, self._next(count), self.clock())
            if not parcels:
                return Ending.COMPLETE
            crashpoint("replay-claimed")
            if self.pace.rate:  # from now on, whatever it should have been: what was late is not caught up in a burst
                begins = max(begins, time.monotonic()) + len(parcels) / self.pace.rate
            failed = self._send(parcels)
            last, count = parcels[-1].seq, count + len(parcels)
            if is_canary and failed:
                return Ending.CANARY_FAILED
            if sum(self._recent) > self.pace.most_failed * len(self._recent):
                return Ending.FAILURES
            if self.pace.canary_only and count >= self.pace.canary:
                return Ending.CANARY_DONE
        return Ending.ASKED

    def _goes_on(self, begins: float) -> bool:
        """Whether nobody stopped it until the rate lets the next items go."""
        if self.pace.rate and not self.stopped:
            self.wait(max(0.0, begins - time.monotonic()))
        return not self.stopped

    def _next(self, count: int) -> int:
        """How many items to claim: a tenth of a second's where there is a rate, so that no second sees more of them."""
        most = min(self.pace.together, max(1, self.pace.rate // 10)) if self.pace.rate else self.pace.together
        return min(most, self.pace.canary - count) if count < self.pace.canary else most

    def _send(self, parcels: Sequence[Parcel]) -> int:
        """Send claimed items; how many failed."""
        failed = 0
        for wave in waves(parcels):
            done = self._send_wave([parcels[position] for position in wave])
            crashpoint("replay-published")
            self.stock.mark(done, self.clock())
            crashpoint("replay-marked")
            self.on_done(done)
            for one in done:
                self._recent.append(bool(one.fate))
                if one.fate:
                    failed += 1
                    self._behind.update({one.parcel.lane} - {""})
        return failed

    def _send_wave(self, parcels: Sequence[Parcel]) -> list[Done]:
        """Send items of which no two are of one lane; what stands behind a failed one must not overtake it."""
        left = [Done(p, PRUNED if p.pruned else BEHIND) for p in parcels if p.pruned or p.lane in self._behind]
        free = [p for p in parcels if not (p.pruned or p.lane in self._behind)]
        sent = self._publish([p for p in free if p.delivery is None])
        return sent + self._accept([p for p in free if p.delivery is not None]) + left

    def _publish(self, parcels: Sequence[Parcel]) -> list[Done]:
        marked = _Marked(self.sink, self.replay_id)
        fates = iter(marked.publish([copy for p in parcels for copy in p.copies]) if parcels else ())
        return [Done(p, _worst([next(fates) for _ in p.copies])) for p in parcels]

    def _accept(self, parcels: Sequence[Parcel]) -> list[Done]:
        """Through the main path: recorded before anything is sent, and never twice."""
        if not parcels:
            return []
        assert self.accepting, "a replay that accepts messages needs rules and ledger"
        deliveries = [replace(p.delivery, tag=tag) for tag, p in enumerate(parcels) if p.delivery]
        taken: dict[int, str] = {}  # exchange ids by tag

        def decide_all(found: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
            again = decide_as_of(((d, parcels[d.tag].received_at or now) for d in found), rules)
            decisions = [_of_replay(self.replay_id, taken_at(decision, rules, now)) for decision in again]
            taken.update((d.tag, decision.exchange_id) for d, decision in zip(found, decisions, strict=True))
            return decisions

        marked = _Marked(self.sink, self.replay_id)
        report = process(deliveries, self.accepting.rules, self.accepting.ledger, marked, self.clock, decide_all)
        fates = _fates(report)
        return [Done(p, *fates.get(taken[tag], ("held", ""))) for tag, p in enumerate(parcels)]


def _fates(report: Report) -> dict[str, tuple[str, str]]:
    """Fate and recorded exchange of each decision, by its exchange id."""
    failed = {copy.exchange_id: str(fate) for copy, fate in report.failed}
    found: dict[str, tuple[str, str]] = {}
    for fresh, stored in report.repeated:  # accepted by an earlier run, or meanwhile by its sender
        found[fresh.exchange_id] = (_refusal(stored), stored.exchange_id)
    for decision in report.decided:
        fate = _refusal(decision) or failed.get(decision.exchange_id, "")
        found[decision.exchange_id] = (fate, decision.exchange_id)
    return found


def _refusal(decided: Decision | Recorded) -> str:
    return f"refused {decided.code}" if decided.outcome is Outcome.REJECTED else ""


def _of_replay(replay_id: str, decision: Decision) -> Decision:
    """With copies that say which replay sends them: what is recorded for an upstream is sent later, by others."""
    return replace(decision, copies=tuple(replace(copy, replay=replay_id) for copy in decision.copies))


class _Marked:
    """A sink whose copies say which replay sends them."""

    def __init__(self, sink: Sink, replay_id: str) -> None:
        self._sink, self._replay_id = sink, replay_id

    def publish(self, copies: Sequence[Copy]) -> Sequence[Fate]:
        """As the sink does."""
        return self._sink.publish([replace(copy, replay=self._replay_id) for copy in copies])


def _worst(fates: Sequence[Fate]) -> str:
    return next((str(fate) for fate in fates if fate is not Fate.CONFIRMED), "")
