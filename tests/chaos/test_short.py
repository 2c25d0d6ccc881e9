"""The most telling faults of bin/chaos, in every run of the tests: nothing lost, nothing unexpected."""

from __future__ import annotations

from functools import cache

import pytest

from tests.chaos.campaign import chosen, run_all
from tests.chaos.faults import NOT_COVERED, all_faults
from tests.chaos.frame import Row
from tests.chaos.scene import POSTGRESQL, SQLITE

JOBS = chosen(all_faults(), short=True, databases=(SQLITE, POSTGRESQL))
SEED, LANES = 1, 3


@cache
def _rows() -> dict[str, Row]:
    return {row.name: row for row in run_all(JOBS, SEED, LANES)}


@pytest.mark.timeout(900)  # all run together, at the first
@pytest.mark.parametrize("name", [f"{fault.name} ({database})" for fault, database in JOBS])
def test_the_promise_is_kept(name: str) -> None:
    """Lost 0, unexpected 0, every invariant kept, and the fault did reach the daemon."""
    row = _rows()[name]
    assert row.verdict.is_clean, row.verdict
    assert row.verdict.acknowledged > 100


def test_names_are_unique_and_every_fault_is_listed_once() -> None:
    """A fault is named on the command line; what is covered is not in the list of what is not."""
    names = [fault.name for fault in all_faults()]
    assert len(names) == len(set(names))
    covered = {number for fault in all_faults() for number in fault.catalogue.split()}
    missing = {number for numbers, _ in NOT_COVERED for number in numbers.replace(",", "").split()}
    assert covered | missing == {f"F{n}" for n in range(1, 58)}
    assert not covered & missing
