"""The judge: history, queues and database in, a tally and broken invariants out. Shares no code with the daemon.

Pure but for reading log files. The invariants by their numbers:

I1  every acknowledged input is recorded exactly once, in a final state
I2  nothing is recorded that nobody sent
I3  every accepted input is in each receiver's queue, at least once under one id, byte for byte; an id takes effect once
I4  every input has its receipt: one content and one id, signed by the platform, saying what the record says
I5  a refused input is in no inbox
I6  the sealed log has each exchange once, with the digest of what was sent; it began with every checkpoint ever seen
I7  copies and events fit the outcome; nothing is left open
I8  what is not recorded is still in the broker (with an empty intake: all is recorded)
I9  all inputs decided by the same rules went the same way
I10 the backlog drained in time, by itself          } these two are seen by the frame,
I11 files, threads and memory came back             } and reported here
I12 on the way to an upstream, what was recorded about one business number arrives in that order; repeats may come later
I13 no key, password or content stands in a log; no traceback
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.chaos.evidence import Copy, Drained, Evidence, Exchange
from tests.chaos.history import Attempted
from tests.chaos.merkle import exchanges, roots, sealed
from tests.chaos.receipts import NotProvedError, Receipt, prove

INBOX, RECEIPTS = "swx.inbox.", "swx.receipts."
EVENTS_OF_COPIES = {"returned", "refused", "unconfirmed", "resent"}
Key = tuple[str, str]


@dataclass(slots=True)
class Verdict:
    """Jepsen's words, in inputs; duplicates in copies. `broken` names invariants with what was seen."""

    attempted: int = 0
    acknowledged: int = 0
    lost: int = 0  # acknowledged, and not everything came of it that had to
    unexpected: int = 0  # in a queue or recorded, and nobody sent it, or not there
    duplicated: int = 0  # further copies in inboxes, with equal ids
    recovered: int = 0  # nobody knew whether it was taken; it was
    receipts_again: int = 0  # further receipts, with equal ids and bytes
    broken: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.unexpected or self.broken)


class _Case:
    """The evidence, indexed."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.inputs = evidence.inputs
        self.rows: dict[Key, list[Exchange]] = defaultdict(list)
        for row in evidence.exchanges:
            self.rows[row.submitter, hashlib.sha256(row.body).hexdigest()].append(row)
        self.copies: dict[int, list[Copy]] = defaultdict(list)
        for copy in evidence.copies:
            self.copies[copy.seq].append(copy)
        self.inboxes: dict[tuple[str, str], list[Drained]] = defaultdict(list)  # participant, digest
        self.receipts: list[Drained] = []
        for found in evidence.drained:
            if found.queue.startswith(INBOX):
                self.inboxes[found.queue.removeprefix(INBOX), found.digest].append(found)
            else:
                self.receipts.append(found)
        self.of_digest: dict[str, list[Attempted]] = defaultdict(list)
        for tried in evidence.inputs.values():
            self.of_digest[tried.input.digest].append(tried)

    def receivers(self, key: Key) -> frozenset[str]:
        """Who had to get a copy, by the record's outcome and what the sender knows of the rules."""
        rows, tried = self.rows.get(key, []), self.inputs[key]
        if not any(row.outcome == "accepted" for row in rows):
            return frozenset()
        got = frozenset(name for name, digest in self.inboxes if digest == key[1])
        return next((a for a in map(frozenset, tried.input.to) if a == got), frozenset(tried.input.to[0]))


def check(evidence: Evidence) -> Verdict:
    """Judge all of it."""
    case = _Case(evidence)
    verdict = Verdict(
        attempted=len(case.inputs),
        acknowledged=sum(tried.acknowledged for tried in case.inputs.values()),
        recovered=sum(not tried.acknowledged and bool(case.rows.get(key)) for key, tried in case.inputs.items()),
    )
    receipts = _prove_receipts(case, verdict)
    lost = {key for key, tried in case.inputs.items() if tried.acknowledged and _is_lost(case, key, receipts, verdict)}
    verdict.lost = len(lost)
    _judge_records(case, verdict)
    _judge_claims(case, verdict)
    _judge_inboxes(case, verdict)
    _judge_copies(case, verdict)
    _judge_events(case, verdict)
    verdict.broken += _judge_entries(case)
    verdict.broken += _judge_checkpoints(evidence)
    _judge_routes(case, verdict)
    _judge_order(case, verdict)
    verdict.broken += evidence.troubles
    verdict.broken += _judge_logs(evidence)
    return verdict


def _is_lost(case: _Case, key: Key, receipts: dict[Key, list[Receipt]], verdict: Verdict) -> bool:
    """I1 and the first halves of I3 and I4, for an acknowledged input."""
    rows = case.rows.get(key, [])
    name = f"{key[0]} {case.inputs[key].input.message_id or key[1][:12]}"
    missing = []
    if not rows and key[1] in case.evidence.left_in_intake:
        return False  # late, not lost: I8 and I10 say so
    if not rows:
        missing.append("I1: not recorded")
    missing += [f"I3: no copy for {to}" for to in case.receivers(key) if (to, key[1]) not in case.inboxes]
    if rows and key not in receipts:
        missing.append("I4: no receipt")
    verdict.broken += [f"{what}: {name}" for what in missing]
    return bool(missing)


def _prove_receipts(case: _Case, verdict: Verdict) -> dict[Key, list[Receipt]]:
    """I4: each receipt in a queue is the platform's, about an input, and all about one input are equal."""
    found: dict[Key, list[Receipt]] = defaultdict(list)
    bytes_of: dict[Key, set[tuple[str, bytes]]] = defaultdict(set)
    for drained in case.receipts:
        try:
            receipt = prove(drained.body, case.evidence.platform_keys)
        except NotProvedError as why:
            verdict.broken.append(f"I4: a receipt in {drained.queue}: {why}")
            verdict.unexpected += 1
            continue
        owner = drained.queue.removeprefix(RECEIPTS)
        key = (owner, receipt.digest)
        if key not in case.inputs:
            verdict.broken.append(f"I4: a receipt in {drained.queue} about bytes nobody sent: {receipt.digest[:12]}")
            verdict.unexpected += 1
            continue
        found[key].append(receipt)
        bytes_of[key].add((drained.message_id, drained.body))
        verdict.broken += _contradictions(case, key, receipt, drained)
    for key, contents in bytes_of.items():
        if len(contents) > 1:
            verdict.broken.append(f"I4: {len(contents)} different receipts about {key}")
    verdict.receipts_again = sum(len(receipts) - 1 for receipts in found.values())
    return found


def _contradictions(case: _Case, key: Key, receipt: Receipt, drained: Drained) -> Iterator[str]:
    """Where a receipt does not say what the record and the sender know."""
    rows = {row.exchange_id: row for row in case.rows.get(key, [])}
    row = rows.get(receipt.exchange_id)
    if row is None:
        yield f"I4: a receipt about {key} names exchange {receipt.exchange_id}, which is not its record"
        return
    outcome = "rejected" if row.outcome == "rejected" else "accepted"
    if (receipt.outcome, receipt.code) != (outcome, row.code):
        yield f"I4: the receipt says {receipt.outcome} {receipt.code}, the record {row.outcome} {row.code}: {key}"
    said = case.inputs[key].input.message_id
    if said and row.message_id and receipt.message_id != said:
        yield f"I4: the receipt is about message {receipt.message_id!r}, it was {said!r}"
    if drained.correlation_id != row.message_id:
        yield f"I4: correlated with {drained.correlation_id!r}, the record says {row.message_id!r}"


def _judge_records(case: _Case, verdict: Verdict) -> None:
    """I1, I2, I5: each record is of an input, there once, and its outcome is one that the sender knows right."""
    for key, rows in case.rows.items():
        tried = case.inputs.get(key)
        if tried is None:
            verdict.broken.append(f"I2: recorded, but nobody sent it: {key}")
            verdict.unexpected += 1
            continue
        if len(rows) > 1:
            verdict.broken.append(f"I1: recorded {len(rows)} times: {key}")
        for row in rows:
            if row.digest.hex() != key[1]:
                verdict.broken.append(f"I2: the digest of exchange {row.exchange_id} is not that of its bytes")
            if row.outcome not in ("accepted", "rejected"):
                verdict.broken.append(f"I1: still {row.outcome}: {key}")
            if tried.input.expect not in ("claims", row.outcome):
                verdict.broken.append(f"I5: {row.outcome} {row.code}, expected {tried.input.expect}: {key}")
                verdict.unexpected += 1


def _judge_claims(case: _Case, verdict: Verdict) -> None:
    """I3: of all good inputs that claim an id exactly one is accepted; the others are told that it is taken."""
    claims: dict[tuple[str, str], list[Exchange]] = defaultdict(list)
    for key, rows in case.rows.items():
        tried = case.inputs.get(key)
        if tried and tried.input.expect == "claims":
            claims[tried.input.sender, tried.input.message_id] += rows
    for claim, rows in claims.items():
        accepted = [row for row in rows if row.outcome == "accepted"]
        if len(accepted) != 1:
            verdict.broken.append(f"I3: {len(accepted)} of {len(rows)} inputs under the id {claim} took effect")
            verdict.unexpected += max(0, len(accepted) - 1)
        wrong = [row.code for row in rows if row.outcome == "rejected" and row.code != "4201"]
        if wrong:
            verdict.broken.append(f"I3: good inputs refused with {wrong} under {claim}")


def _judge_inboxes(case: _Case, verdict: Verdict) -> None:
    """I3, I5: what lies in an inbox was sent, was accepted, belongs there, and its repeats have one id."""
    ids: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for (owner, digest), copies in case.inboxes.items():
        for copy in copies:
            ids[copy.message_id].add((owner, digest))
        senders = [t for t in case.of_digest.get(digest, []) if owner in case.receivers(t.input.key)]
        if not senders:
            verdict.broken.append(f"I3: {len(copies)} copies in the inbox of {owner} that belong there to nobody")
            verdict.unexpected += len(copies)
            continue
        verdict.duplicated += len(copies) - 1
        if len({copy.message_id for copy in copies}) != 1:
            verdict.broken.append(f"I3: the same bytes under {len({c.message_id for c in copies})} ids for {owner}")
        wanted = senders[0].input.answers or senders[0].input.message_id
        if {copy.correlation_id for copy in copies} != {wanted}:
            verdict.broken.append(f"I3: a copy for {owner} is not correlated with {wanted}")
    for message_id, contents in ids.items():
        if len(contents) > 1 or not message_id:
            verdict.broken.append(f"I3: the id {message_id!r} stands for {len(contents)} different copies")


def _judge_copies(case: _Case, verdict: Verdict) -> None:
    """I7, I8: rows of copies fit the outcomes, and nothing is left open."""
    for row in case.evidence.exchanges:
        kinds = Counter(copy.kind for copy in case.copies.get(row.seq, []))
        if kinds["receipt"] != 1 or (row.outcome == "accepted") != bool(kinds["message"]):
            verdict.broken.append(f"I7: {row.outcome} with copies {dict(kinds)}: {row.exchange_id}")
        if row.settled_at is None:
            verdict.broken.append(f"I7: the batch of {row.exchange_id} was never settled")
    due = [copy for copy in case.evidence.copies if copy.state in ("due", "queued")]
    if due:
        verdict.broken.append(f"I7: {len(due)} copies are still due or queued")
    if case.evidence.left_in_intake:
        verdict.broken.append(f"I8: {len(case.evidence.left_in_intake)} messages were never taken")


def _judge_events(case: _Case, verdict: Verdict) -> None:
    """I7: events are of exchanges that are there, and of receivers that they have."""
    rows = {row.exchange_id: row for row in case.evidence.exchanges}
    for exchange_id, event, detail in case.evidence.events:
        row = rows.get(exchange_id)
        recipients = {copy.recipient for copy in case.copies[row.seq]} if row else set()
        if (
            row is None
            or event == "quarantined"
            or (event == "matched" and row.parent_message_id is None)
            or (event in EVENTS_OF_COPIES and detail not in recipients)
        ):
            verdict.broken.append(f"I7: event {event} {detail} of exchange {exchange_id} does not fit")


def _judge_entries(case: _Case) -> Iterator[str]:
    """I6: each record is in the log once, as it was sent and decided, and nothing else is."""
    logged: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for entry in exchanges(case.evidence.log.entries):
        logged[entry["exchange"]].append(entry)
    for row in case.evidence.exchanges:
        found = logged.pop(row.exchange_id, [])
        if len(found) != 1:
            yield f"I6: exchange {row.exchange_id} is {len(found)} times in the log"
        elif (row.submitter, found[0]["digest"]) not in case.inputs or found[0]["digest"] != row.digest.hex():
            yield f"I6: the log has exchange {row.exchange_id} with the digest of other bytes"
        elif found[0]["outcome"] not in (row.outcome, "waiting"):  # an answer that found its parent later
            yield f"I6: exchange {row.exchange_id} is {row.outcome}, the log says {found[0]['outcome']}"
    if logged:
        yield f"I6: {len(logged)} exchanges of the log are not recorded"


def _judge_checkpoints(evidence: Evidence) -> Iterator[str]:
    """I6: the log was never rolled back or forked under its name, and another program proves it."""
    log = evidence.log
    if log.refused:
        yield f"I6: verify-evidence: {log.refused}"
    seen = [sealed(checkpoint) for checkpoint in log.checkpoints]
    found = roots(log.entries, [size for size, _ in seen if size <= len(log.entries)])
    for size, root in seen:
        if size not in found:
            yield f"I6: a checkpoint had {size} entries, the log has {len(log.entries)}"
        elif found[size] != root:
            yield f"I6: the log does not begin with the {size} entries of a checkpoint"


def _judge_routes(case: _Case, verdict: Verdict) -> None:
    """I9: what one edition of the rules decided went one way for inputs of one sort."""
    ways: dict[tuple[str, object], set[frozenset[str]]] = defaultdict(set)
    for key, rows in case.rows.items():
        if key in case.inputs and rows[0].outcome == "accepted":
            to = case.inputs[key].input.to
            recorded = frozenset(c.recipient for c in case.copies[rows[0].seq] if c.kind == "message")
            ways[rows[0].rules_digest, to].add(recorded)
            if recorded not in map(frozenset, to):
                verdict.broken.append(f"I9: {key} was routed to {sorted(recorded)}")
    editions = {row.rules_digest for row in case.evidence.exchanges}
    if len(editions) > case.evidence.editions:
        verdict.broken.append(f"I9: {len(editions)} editions of the rules were in force")
    verdict.broken += [f"I9: the same rules went {len(found)} ways" for found in ways.values() if len(found) > 1]


def _judge_order(case: _Case, verdict: Verdict) -> None:
    """I12: of each lane, what came for the first time was recorded after all that had come before."""
    for name, arrivals in lanes(case.evidence).items():
        seqs = [case.rows[key][0].seq for key in arrivals if key in case.rows]
        late = sum(later < earlier for earlier, later in pairwise(seqs))
        if late:
            verdict.broken.append(f"I12: {late} of {len(seqs)} messages of lane {name} were overtaken")


def lanes(evidence: Evidence) -> dict[tuple[str, str, str], list[Key]]:
    """By receiver, sender and business number: the inputs whose copies came, in the order of their first arrival."""
    of_digest = {key[1]: tried.input for key, tried in evidence.inputs.items() if tried.input.lane}
    found: dict[tuple[str, str, str], dict[Key, None]] = defaultdict(dict)
    for copy in evidence.drained:
        sent = of_digest.get(copy.digest)
        if sent and copy.queue.startswith(INBOX):
            found[copy.queue.removeprefix(INBOX), sent.sender, sent.lane][sent.key] = None
    return {name: list(keys) for name, keys in found.items()}


def _judge_logs(evidence: Evidence) -> Sequence[str]:
    """I13, and that nothing ended in a traceback."""
    found = []
    for log in evidence.logs:
        text = log.read_text("utf-8", "replace")
        found += [f"I13: {log.name} holds a secret" for secret in evidence.secrets if secret in text]
        if "Traceback (most recent call last)" in text:
            last = text.rpartition("Traceback (most recent call last)")[2].strip().splitlines()[-1][:200]
            found.append(f"I13: a traceback in {log.name}: {last}")
    return found
