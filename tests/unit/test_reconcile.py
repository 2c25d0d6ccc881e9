"""A participant's day: sums that must add up, lists that are compared, a document in plain lines."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime

import pytest

from swexchange.core.reconcile import (
    Account,
    Became,
    Equation,
    Item,
    Line,
    Side,
    Standing,
    bounds,
    compare,
    document,
    read_list,
)

DAY, LATER = date(2026, 3, 2), datetime(2026, 3, 9, tzinfo=UTC)
ONE, TWO = (Line(n * 32, n.encode() * 32, f"M{n}", "accepted") for n in "12")


def test_a_day_begins_at_midnight_in_china() -> None:
    begins, ends = bounds(DAY)
    assert begins == datetime(2026, 3, 1, 16, tzinfo=UTC)
    assert (ends - begins).total_seconds() == 86_400


def test_a_part_that_has_no_name_is_missing_from_the_sum() -> None:
    account = Account(DAY, "P", received=3)
    account.became.update({Became("accepted", "delivered", "delivered"): 2, Became("accepted", "none", "delivered"): 1})
    assert [equation.holds for equation in account.equations] == [True, False, True, True]
    assert not account.holds
    assert str(account.equations[1]) == "accepted 3 = delivered 2 + owed 0 + dropped 0"


def test_counts_that_disagree_do_not_hold() -> None:
    assert not Equation("received", 2, {"accepted": 1}).holds
    assert not Account(DAY, "P", received=1).holds
    assert not Account(DAY, "P", addressed=1).holds


@pytest.mark.parametrize(("standing", "holds"), [("open", True), ("closed", True), ("wrong", False)])
def test_what_nobody_explains_does_not_hold(standing: str, holds: bool) -> None:
    account = Account(DAY, "P", items=[Item(Side.SENDER, Standing(standing), "1" * 32, "M1", "x")])
    assert account.holds is holds


def test_the_document_is_plain_lines_whatever_a_message_id_holds() -> None:
    item = Item(Side.SENDER, Standing.OPEN, "1" * 32, 'M"\n1\u2014', "is held")
    account = Account(DAY, "P", items=[item])
    lines = document(account, "log", (Side.SENDER, [ONE]), LATER).split("\n")
    assert lines[4:6] == [
        "state as of 2026-03-09T08:00:00+08:00",
        "received 0 = accepted 0 + rejected 0 + waiting 0 + held 0",
    ]
    assert lines[9].startswith("etsi accepted SubmissionAcceptance, ")
    assert lines[10:] == [
        "items 1",
        f'sender open {"1" * 32} "M\\"\\n1\\u2014" "is held"',
        "list sender 1",
        f'{"1" * 32} {"31" * 32} accepted "M1"',
        "",
    ]


def test_a_day_with_nothing_open_is_final_once_it_is_over() -> None:
    account = Account(DAY, "P")
    assert "\nstate final\n" in document(account, "log", None, bounds(DAY)[1])
    assert "\nstate as of " in document(account, "log", None, bounds(DAY)[0])


def test_lists_are_compared_by_id_or_digest() -> None:
    assert compare([ONE, TWO], ["M1", ONE.digest.hex(), "M3", "M3"]) == (found := compare([ONE, TWO], ["M1", "M3"]))
    assert (found.theirs, found.ours) == (("M3",), (TWO,))
    agreed = compare([ONE, TWO], [TWO.digest.hex(), "M1"])
    assert (agreed.theirs, agreed.ours) == ((), ())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("M1\nM2\n", ["M1", "M2"]),
        ("message_id\nM1\n", ["M1"]),
        ("when,Message_ID\nmonday,M1\n\ntuesday,\n", ["M1"]),
        (f"message_id,digest\nM1,{'AB' * 32}\nM2,\n", ["ab" * 32, "M2"]),
        (f'"{"AB" * 32}"\n', ["ab" * 32]),
        ("", []),
    ],
)
def test_a_list_is_a_csv_file(text: str, names: list[str]) -> None:
    assert list(read_list(csv.reader(io.StringIO(text)))) == names
