"""The main path: a batch of deliveries in; recorded, published and settled when it returns.

Decide, commit, publish, settle; the caller acknowledges. What a crash leaves behind at each
step stands in docs/decisions/commit-publish-ack.md. The ports it needs are declared here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from swexchange.core.conclude import answering, conflict
from swexchange.core.identity import identity, lookups
from swexchange.core.keys import Key
from swexchange.core.model import (
    BusinessKey,
    Candidate,
    Copy,
    Decision,
    Delivery,
    Entry,
    Event,
    Fate,
    Happening,
    Outcome,
    Recorded,
)
from swexchange.core.rulebook import Rulebook
from swexchange.core.settle import choose_parent, earlier, in_conflict
from swexchange.crashpoint import crashpoint
from swexchange.decider import DecideAll, decide_each, hold_each
from swexchange.errors import Unstorable


class Book(Protocol):
    """One open write transaction of the ledger; leaving it commits durably, an exception rolls back."""

    batch: int  # number of this transaction's batch

    def known(self, identities: Collection[str]) -> Mapping[str, Recorded]:
        """The recorded decisions among these identities."""

    def accepted_bytes(self, wanted: Collection[tuple[str, bytes]]) -> Mapping[tuple[str, bytes], Recorded]:
        """Accepted or waiting exchanges of these submitters with these digests, whatever their identity."""

    def candidates(self, answer: Decision) -> Mapping[BusinessKey, Sequence[Candidate]]:
        """By key of an answer, the oldest accepted exchanges with it that `choose_parent` would take.

        One is enough; nothing of those that it would not take may stand in their place.
        """

    def record(self, entries: Sequence[Entry]) -> None:
        """Add decisions with their bytes, keys and copies, in this order, under this transaction's batch."""

    def requeue(self, copies: Sequence[Copy]) -> None:
        """Copies to recipients behind an upstream are to be sent once more: a repeat asks for them."""

    def note(self, happenings: Iterable[Happening]) -> None:
        """Add events to audit trails."""


class Ledger(Protocol):
    """The durable memory. Every method raises StoreDown when the database fails it.

    A transaction whose data the database refuses raises Unstorable.
    """

    def note_rules(self, digest: str, keys: Collection[Key], now: datetime, manifest: str) -> None:
        """Note rules by their digest, with keys and manifest, unless they are; asked often, it costs nothing."""

    def write(self, identities: Collection[str], now: datetime, rules_digest: str) -> AbstractContextManager[Book]:
        """Open a transaction that no other writer of these identities overlaps."""

    def settle(self, batch: int, failed: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        """Note that a batch was published, but for the copies that failed: those stay due, each with an event.

        Not synced to disk: when a crash undoes it, the copies are sent once more with equal ids.
        """

    def mark(self, fates: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        """Note the fates of copies of earlier batches that were sent again; not synced, as above."""


class Sink(Protocol):
    """Where copies go."""

    def publish(self, copies: Sequence[Copy]) -> Sequence[Fate]:
        """Publish all, confirms in flight; one fate per copy, in order. BrokerLost = nothing is known of any."""


@dataclass(slots=True)
class Report:
    """What became of a batch, for logs and metrics."""

    decided: list[Decision] = field(default_factory=list)  # recorded now
    repeated: list[tuple[Decision, Recorded]] = field(default_factory=list)  # answered from the record
    failed: list[tuple[Copy, Fate]] = field(default_factory=list)  # copies still due
    sent: int = 0  # copies confirmed
    seconds: dict[str, float] = field(default_factory=dict)  # by step: decide, commit, publish, settle

    def merge(self, other: Report) -> None:
        """Add another report's content to this one."""
        self.decided += other.decided
        self.repeated += other.repeated
        self.failed += other.failed
        self.sent += other.sent
        for step, seconds in other.seconds.items():
            self.seconds[step] = self.seconds.get(step, 0.0) + seconds


@dataclass(slots=True)
class _Outbox:
    """What a committed batch has to publish."""

    batch: int = 0
    own: list[Copy] = field(default_factory=list)  # of decisions recorded in this batch
    owed: list[Copy] = field(default_factory=list)  # of earlier batches, never confirmed
    again: list[Copy] = field(default_factory=list)  # receipts for repeats


def process(
    deliveries: Sequence[Delivery],
    rules: Rulebook,
    ledger: Ledger,
    sink: Sink,
    clock: Callable[[], datetime],
    decide_all: DecideAll = decide_each,
) -> Report:
    """Decide, commit, publish and settle a batch. Raises StoreDown or BrokerLost: then acknowledge nothing.

    When it returns, every delivery is recorded and may be acknowledged; copies that failed stay due.
    """
    try:
        return _process(deliveries, rules, ledger, sink, clock, decide_all)
    except Unstorable:
        if len(deliveries) == 1:
            return _process(deliveries, rules, ledger, sink, clock, hold_each)
    # One message's data broke the transaction for all: alone, each shows whether it was the one.
    report = Report()
    for delivery in deliveries:
        report.merge(process((delivery,), rules, ledger, sink, clock, decide_all))
    return report


def _process(
    deliveries: Sequence[Delivery],
    rules: Rulebook,
    ledger: Ledger,
    sink: Sink,
    clock: Callable[[], datetime],
    decide_all: DecideAll,
) -> Report:
    report, now = Report(), clock()
    # First: whatever is decided by these rules can be proved by the keys and the schemas that they had.
    ledger.note_rules(rules.digest, rules.keys.values(), now, rules.manifest)
    with _Timed(report, "decide"):
        decisions = decide_all(deliveries, rules, now)
    crashpoint("decided")
    with _Timed(report, "commit"):
        outbox = _commit(decisions, rules, ledger, now, report)
    crashpoint("committed")
    with _Timed(report, "publish"):
        fates = sink.publish((*outbox.own, *outbox.owed, *outbox.again))
    crashpoint("published")
    with _Timed(report, "settle"):
        _settle(outbox, fates, ledger, clock(), report)
    crashpoint("settled")
    return report


def _commit(decisions: Sequence[Decision], rules: Rulebook, ledger: Ledger, now: datetime, report: Report) -> _Outbox:
    identities = {name for decision in decisions for name in lookups(decision)}
    outbox = _Outbox()
    with ledger.write(identities, now, rules.digest) as book:
        outbox.batch = book.batch
        fresh = list(_reconcile(decisions, book, rules, identities, outbox, report))
        crashpoint("reconciled")
        plain = [decision for decision in fresh if decision.outcome is not Outcome.WAITING]
        book.record([Entry(identity(decision), decision, None, rules.remote) for decision in plain])
        # After the others: the message that an answer belongs to may stand in the same batch.
        entries = _match([d for d in fresh if d.outcome is Outcome.WAITING], book, rules)
        if entries:
            book.record(entries)
        crashpoint("recorded")
    report.decided += plain + [entry.decision for entry in entries]
    # What goes to an upstream is recorded as queued: its forwarder sends it, whatever becomes of our own broker.
    outbox.own += [copy for decision in report.decided for copy in decision.copies if copy.to not in rules.remote]
    return outbox


def _reconcile(
    decisions: Sequence[Decision],
    book: Book,
    rules: Rulebook,
    identities: Collection[str],
    outbox: _Outbox,
    report: Report,
) -> Iterator[Decision]:
    """The decisions that are new; repeats are answered from the record. One batch may hold both."""
    known = dict(book.known(identities))
    # Rules may have changed since a message was accepted: its bytes are enough to know it again.
    refused = {(d.submitter, d.digest) for d in decisions if d.outcome is Outcome.REJECTED}
    accepted = book.accepted_bytes(refused) if refused else {}
    happenings: list[Happening] = []
    queued: list[Copy] = []
    for fresh in decisions:
        decision, stored = fresh, accepted.get((fresh.submitter, fresh.digest)) or earlier(fresh, known)
        if not stored and (holder := in_conflict(fresh, known)):
            decision = conflict(fresh, holder, rules)
            stored = earlier(decision, known)  # the same conflict may have come before
        if stored:
            report.repeated.append((decision, stored))
            outbox.owed += (copy for copy in stored.unsent if copy.to not in rules.remote)
            if stored.receipt:
                (queued if stored.receipt.to in rules.remote else outbox.again).append(stored.receipt)
            happenings.append(Happening(stored.exchange_id, Event.REPEATED))
            continue
        known[identity(decision)] = _as_recorded(decision)
        yield decision
    book.note(happenings)
    book.requeue(queued)


def _as_recorded(decision: Decision) -> Recorded:
    return Recorded(decision.exchange_id, decision.digest, decision.outcome, decision.code, decision.receipt)


def _match(answers: Sequence[Decision], book: Book, rules: Rulebook) -> list[Entry]:
    """Answers with their parents where these are known; the others are recorded as waiting."""
    entries = []
    for answer in answers:
        parent = choose_parent(answer, book.candidates(answer))
        decision = answering(answer, parent) if parent else answer
        entries.append(Entry(identity(decision), decision, parent, rules.remote))
    return entries


def _settle(outbox: _Outbox, fates: Sequence[Fate], ledger: Ledger, now: datetime, report: Report) -> None:
    own, owed = len(outbox.own), len(outbox.own) + len(outbox.owed)
    failed = [(c, f) for c, f in zip(outbox.own, fates, strict=False) if f is not Fate.CONFIRMED]
    ledger.settle(outbox.batch, failed, now)
    if outbox.owed:
        ledger.mark(list(zip(outbox.owed, fates[own:owed], strict=True)), now)
    # A receipt that repeats a stored one is owed to nobody: the next repeat brings it again.
    report.failed += failed
    report.sent += sum(fate is Fate.CONFIRMED for fate in fates)


class _Timed:
    """Adds the time spent inside to a report's step."""

    def __init__(self, report: Report, step: str) -> None:
        self.report, self.step = report, step

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.report.seconds[self.step] = time.perf_counter() - self.started
