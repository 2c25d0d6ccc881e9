"""The daemon dies without warning between every two steps; the next one finishes the work."""

from __future__ import annotations

import json
import signal

import pytest

from swexchange.broker.client import Received
from swexchange.broker.topology import inbox, receipts
from tests.process.house import CUSTOMS, INTEGRATOR, SECONDS, House
from tests.world import receipt_code

MESSAGES = 12
POINTS = ("taken", "decided", "reconciled", "recorded", "committed", "published", "settled", "acknowledged")


@pytest.mark.parametrize("pass_number", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_step_nothing_is_lost_and_nothing_decided_twice(
    home: House, point: str, pass_number: int
) -> None:
    """Every message is decided once, delivered at least once under one id, and receipted one to one."""
    numbers = [f"NHW-{i:04d}" for i in range(MESSAGES)]
    bodies = {number: home.declaration(number) for number in numbers}
    home.send(list(bodies.values()))

    doomed = home.daemon(ready=False, environment={"SWX_CRASH_AT": f"{point}:{pass_number}", "SWX_BATCH": "5"})
    assert doomed.process.wait(SECONDS) == -signal.SIGKILL
    home.daemon(environment={"SWX_BATCH": "5"})

    delivered = home.collect(inbox(CUSTOMS), MESSAGES)
    answered = home.collect(receipts(INTEGRATOR), MESSAGES)
    assert home.daemons[-1].stop() == 0

    assert {copy.body for copy in delivered} == set(bodies.values())
    _equal_ids_mean_equal_bytes(delivered)
    _equal_ids_mean_equal_bytes(answered)
    assert sorted({copy.correlation_id for copy in answered}) == numbers
    assert {receipt_code(copy.body) for copy in answered} == {"0000"}
    found = json.loads(home.cli("audit", "search", "--type", "DecMessage", "--json").stdout)
    assert sorted(row["message_id"] for row in found) == numbers


def _equal_ids_mean_equal_bytes(copies: list[Received]) -> None:
    by_id = {copy.message_id: copy.body for copy in copies}
    assert len(by_id) == MESSAGES
    assert all(by_id[copy.message_id] == copy.body for copy in copies)
