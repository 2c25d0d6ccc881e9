"""Holds the audit log against what the participants saw: decision, bytes, receipt and copies of each message."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence

from demo_watch import Course

from swexchange.core.codes import ACCEPTED
from swexchange.core.model import Event, Kind, Outcome
from swexchange.store import AuditLog, open_audit_log
from swexchange.store.audit_log import Trail

PATIENCE = 15.0  # seconds until the log must say that everything was sent: it is noted after the sending


def follow(courses: Sequence[Course], database_url: str) -> int:
    """Look every receipted message up by the exchange id in its receipt; how many exchanges there are.

    Adds to each course where its trail stands, and the problems found.
    """
    deadline = time.monotonic() + PATIENCE
    with open_audit_log(database_url) as audit_log:
        for course in courses:
            if course.exchange_id:
                _compare(course, _settled(audit_log, course.exchange_id, deadline))
    return len({course.exchange_id for course in courses if course.exchange_id})


def _settled(audit_log: AuditLog, exchange_id: str, deadline: float) -> Trail | None:
    """The trail once every copy is noted as sent, or as it stands when time is up."""
    while True:
        trail = audit_log.show(exchange_id)
        if time.monotonic() > deadline or (trail and all(copy.state == "sent" for copy in trail.copies)):
            return trail
        time.sleep(0.05)


def _compare(course: Course, trail: Trail | None) -> None:
    if trail is None:
        course.problems.append(f"the audit log has no exchange {course.exchange_id}")
        return
    course.trail = _standing(course, trail)
    course.problems += _differences(course, trail)


def _standing(course: Course, trail: Trail) -> str:
    """In a word or two."""
    if course.case.repeats:
        return "repeated"
    if trail.decision.outcome is not Outcome.ACCEPTED:
        return "refused" if trail.decision.outcome is Outcome.REJECTED else "waiting"
    return "waited, delivered" if _has(trail, Event.MATCHED) else "delivered"


def _differences(course: Course, trail: Trail) -> Iterator[str]:
    case, decision = course.case, trail.decision
    outcome = Outcome.ACCEPTED if case.code == ACCEPTED else Outcome.REJECTED
    receipt = hashlib.sha256(trail.receipt or b"").digest()
    for what, found, wanted in (
        ("outcome", decision.outcome, outcome),
        ("code", decision.code, case.code),
        ("submitter", decision.submitter, case.submitter),
        ("message id", decision.message_id, case.message_id),
        ("bytes", hashlib.sha256(decision.body).hexdigest(), course.digest.hex()),
        ("receipt", receipt.hex(), course.receipt_digest.hex()),
    ):
        if found != wanted:
            yield f"the audit log's {what} is {found}, expected {wanted}"
    unsent = [copy.to for copy in trail.copies if copy.state != "sent"]
    if unsent:
        yield f"the audit log does not have the copies to {', '.join(unsent)} as sent"
    if case.repeats:
        if not _has(trail, Event.REPEATED):
            yield "the audit log does not tell of the repeat"
    elif sorted(_receivers(trail)) != sorted(case.to):
        yield f"the audit log has copies to {', '.join(_receivers(trail)) or 'nobody'}"


def _receivers(trail: Trail) -> list[str]:
    return [copy.to for copy in trail.copies if copy.kind == Kind.MESSAGE]


def _has(trail: Trail, event: Event) -> bool:
    return any(what == event for _, what, _ in trail.events)
