"""What happened in the words of ETSI EN 319 522-1, 6.2: the events of an electronic registered delivery service.

docs/reference/evidence.md says what each means here, and where the platform differs.
"""

from __future__ import annotations

from enum import StrEnum

from swexchange.core.codes import HELD
from swexchange.core.model import Event, Kind, Outcome

URI = "http://uri.etsi.org/19522/Event/"  # before a name: the identifier of EN 319 522-3


class Erds(StrEnum):
    """Events that the platform can attest."""

    SUBMISSION_ACCEPTANCE = "SubmissionAcceptance"  # A.1
    SUBMISSION_REJECTION = "SubmissionRejection"  # A.2
    RELAY_ACCEPTANCE = "RelayAcceptance"  # B.1
    RELAY_FAILURE = "RelayFailure"  # B.3
    CONTENT_CONSIGNMENT = "ContentConsignment"  # D.1
    CONTENT_CONSIGNMENT_FAILURE = "ContentConsignmentFailure"  # D.2


_COPIES = {  # state of a message's copy, whether its recipient is behind an upstream
    ("sent", False): Erds.CONTENT_CONSIGNMENT,
    ("sent", True): Erds.RELAY_ACCEPTANCE,
    ("dropped", False): Erds.CONTENT_CONSIGNMENT_FAILURE,
    ("dropped", True): Erds.RELAY_FAILURE,
}


def of_decision(outcome: str, code: str) -> Erds | None:
    """What a decision is; None for a held message, which is not decided yet."""
    if outcome != Outcome.REJECTED:  # an answer that waits for its parent has been submitted
        return Erds.SUBMISSION_ACCEPTANCE
    return None if code == HELD else Erds.SUBMISSION_REJECTION


def of_copy(kind: str, state: str, *, is_remote: bool) -> Erds | None:
    """What the state of a copy is; None while it is still owed, and for a receipt: that is itself evidence."""
    return _COPIES.get((state, is_remote)) if kind == Kind.MESSAGE else None


def of_event(event: str, *, is_remote: bool) -> Erds | None:
    """What an entry of kind event is, where it is about a message's copy; None for all that is internal."""
    return _COPIES["dropped", is_remote] if event == Event.DROPPED else None


def words() -> str:
    """What the words of a reconciliation mean, in one line: outcomes of messages, then how copies stand."""
    decided = [f"{outcome} {of_decision(outcome, '')}" for outcome in Outcome]
    stand = {"delivered": "sent", "dropped": "dropped"}
    copies = [f"{name} {_COPIES[state, False]} or {_COPIES[state, True]}" for name, state in stand.items()]
    return ", ".join((*decided, "held none", *copies, "owed none"))
