"""The most telling faults of bin/chaos, in every run of the tests: nothing lost, nothing unexpected."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.chaos.campaign import Log, chosen, run_all
from tests.chaos.checker import Verdict
from tests.chaos.faults import NOT_COVERED, all_faults
from tests.chaos.frame import Row, name_of
from tests.chaos.scene import POSTGRESQL, SQLITE

JOBS = chosen(all_faults(), short=True, databases=(SQLITE, POSTGRESQL))
SEED, LANES = 1, 3


@cache
def _rows() -> dict[str, Row]:
    return {row.name: row for row in run_all(JOBS, SEED, LANES, Log(None, SEED))}


@pytest.mark.timeout(900)  # all run together, at the first
@pytest.mark.parametrize("name", [name_of(*job) for job in JOBS])
def test_the_promise_is_kept(name: str) -> None:
    """Lost 0, unexpected 0, every invariant kept, and the fault did reach the daemon."""
    row = _rows()[name]
    assert row.verdict.is_clean, row.verdict
    assert row.verdict.acknowledged > 100


def test_a_run_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    """Rows are read as they were written, broken ones too; those of another seed are others."""
    fault, *_ = all_faults()
    log = Log(tmp_path / "rows", SEED)
    row = Row(fault, SQLITE, Verdict(attempted=2, acknowledged=2), 1.0, 2.0)
    broken = Row(fault, POSTGRESQL, Verdict(lost=1, broken=["I1: x"]), 1.0, 2.0)
    for one in (row, broken):
        log.add(one)
    assert log.rows(all_faults()) == {row.name: row, broken.name: broken}
    assert Log(tmp_path / "rows", SEED + 1).rows(all_faults()) == {}


def test_names_are_unique_and_every_fault_is_listed_once() -> None:
    """A fault is named on the command line; what is covered is not in the list of what is not."""
    names = [fault.name for fault in all_faults()]
    assert len(names) == len(set(names))
    covered = {number for fault in all_faults() for number in fault.catalogue.split()}
    missing = {number for numbers, _ in NOT_COVERED for number in numbers.replace(",", "").split()}
    assert covered | missing == {f"F{n}" for n in range(1, 58)}
    assert not covered & missing
