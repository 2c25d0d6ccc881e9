"""What a fresh decision becomes in the light of what is already recorded.

The stored decision wins: same bytes, the stored receipt again and nothing else; other bytes
under an id that an accepted message holds, a conflict. Pure; the caller holds the transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swexchange.core.identity import bytes_identity, claim, identity
from swexchange.core.model import BusinessKey, Candidate, Decision, Outcome, Parent, Recorded


def earlier(fresh: Decision, known: Mapping[str, Recorded]) -> Recorded | None:
    """The recorded decision that answers for this message, if there is one."""
    holder = known.get(claim(fresh.sender, fresh.message_id))
    if holder and holder.digest == fresh.digest:
        return holder
    refused = known.get(bytes_identity(fresh.submitter, fresh.digest))
    if fresh.outcome is not Outcome.REJECTED:
        # Refused before, passes now: decided anew. But within a millisecond both would have one exchange id.
        return refused if refused and refused.exchange_id == fresh.exchange_id else None
    return refused or known.get(identity(fresh))  # the latter: held before, held again


def in_conflict(fresh: Decision, known: Mapping[str, Recorded]) -> Recorded | None:
    """The accepted message that already holds this one's id with other bytes."""
    holder = known.get(claim(fresh.sender, fresh.message_id))
    return holder if holder and fresh.outcome is not Outcome.REJECTED else None


def choose_parent(answer: Decision, candidates: Mapping[BusinessKey, Sequence[Candidate]]) -> Parent | None:
    """The exchange an answer belongs to: the first that carried a key it names and that its sender may answer.

    A sender may answer what was delivered to it, and what it answered before. Where the
    answer's envelope names participants, one of these is meant: a key that another participant
    also used cannot draw the answer away.
    """
    asked = (
        parent
        for key in answer.answers
        for candidate in candidates.get(key, ())
        if (parent := _asked(answer, candidate))
    )
    return next((parent for parent in asked if not answer.askers or parent.sender in answer.askers), None)


def _asked(answer: Decision, candidate: Candidate) -> Parent | None:
    if candidate.sender == answer.sender:
        return candidate.asker
    if answer.sender not in candidate.delivered_to:
        return None
    return Parent(candidate.exchange_id, candidate.sender, candidate.message_id)
