"""The names of EN 319 522-1 for what is recorded; what is not such an event gets none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from swexchange.core.codes import HELD
from swexchange.core.etsi import URI, Erds, of_copy, of_decision, of_event, words
from swexchange.core.model import Event, Kind, Outcome
from swexchange.core.reconcile import COPIES, OUTCOMES

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "evidence.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("outcome", "code", "event"),
    [
        (Outcome.ACCEPTED, "0000", "SubmissionAcceptance"),
        (Outcome.WAITING, "0000", "SubmissionAcceptance"),
        (Outcome.REJECTED, "0002", "SubmissionRejection"),
        (Outcome.REJECTED, HELD, None),
    ],
)
def test_decisions(outcome: Outcome, code: str, event: str | None) -> None:
    assert of_decision(outcome, code) == event


@pytest.mark.parametrize(
    ("state", "here", "behind"),
    [
        ("sent", "ContentConsignment", "RelayAcceptance"),
        ("dropped", "ContentConsignmentFailure", "RelayFailure"),
        ("due", None, None),
        ("queued", None, None),
        ("unsettled", None, None),
    ],
)
def test_copies(state: str, here: str | None, behind: str | None) -> None:
    """A receipt is evidence, whatever becomes of it; no copy that is still owed has failed."""
    assert of_copy(Kind.MESSAGE, state, is_remote=False) == here
    assert of_copy(Kind.MESSAGE, state, is_remote=True) == behind
    assert of_copy(Kind.RECEIPT, state, is_remote=False) is None


def rows_of_the_page() -> dict[str, str]:
    """The first two columns of the table."""
    part = PAGE.split("## In the words of ETSI")[1].split("\n## ")[0]
    rows = (row.split(" | ") for row in part.splitlines() if row.startswith("| "))
    return {first.removeprefix("| "): second for first, second, *_ in rows}


@pytest.mark.parametrize("event", list(Event))
def test_the_page_says_of_every_event_what_the_code_says(event: Event) -> None:
    """Each has a row of its own."""
    names = [of_event(event, is_remote=is_remote) for is_remote in (False, True)]
    told = re.findall(r"[A-Z][A-Za-z]+(?= \()", said := rows_of_the_page()[f"event `{event}`"])
    assert told == [name for name in names if name]
    assert told or said == "none: internal"


def test_the_page_says_of_every_outcome_what_the_code_says() -> None:
    rows = rows_of_the_page()
    for outcome in Outcome:
        assert rows[f"outcome `{outcome}`"].split(" (")[0] == of_decision(outcome, "0000")


def test_a_reconciliation_explains_its_words() -> None:
    """Each by the name that the decision or the copy has."""
    told = dict(text.split(" ", 1) for text in words().split(", "))
    assert told.keys() == {*OUTCOMES, *COPIES}
    for outcome in Outcome:
        assert told[outcome] == of_decision(outcome, "0000")
    for word, state in (("delivered", "sent"), ("dropped", "dropped")):
        names = [of_copy(Kind.MESSAGE, state, is_remote=is_remote) for is_remote in (False, True)]
        assert told[word] == " or ".join(map(str, names))
    assert told["held"] == told["owed"] == "none"


def test_the_page_names_every_event_and_everything_that_is_recorded() -> None:
    part = PAGE.split("## In the words of ETSI")[1].split("\n## ")[0]
    assert URI in part
    rows = [row for row in part.splitlines() if row.startswith("| ")]
    attested = {name for row in rows for name in re.findall(r"[A-Z][A-Za-z]+(?= \([A-F]\.\d\))", row.split("|")[2])}
    assert attested == set(Erds)
    named = set(re.findall(r"`([a-z]+)`", "".join(rows)))
    assert named >= {str(event) for event in Event} | {str(outcome) for outcome in Outcome}
