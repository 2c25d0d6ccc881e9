"""The daemon dies without warning between every two steps, and within them; the next one finishes the work."""

from __future__ import annotations

import json
import signal

import pytest

from swexchange.broker.client import Received
from swexchange.broker.topology import inbox, receipts
from tests import world
from tests.process.house import CUSTOMS, INTEGRATOR, SECONDS, House
from tests.world import receipt_code

MESSAGES = 12
BATCH = 5
COPIES = 2 * BATCH  # of a batch: each message and its receipt
BETWEEN = ("taken", "decided", "reconciled", "recorded", "committed", "published", "settled", "acknowledged")
WITHIN = {  # the first, one in the middle, and the last of a batch
    "table-recorded": (1, 2, 3),  # exchanges, copies, business keys
    "copy-handed-over": (1, BATCH, COPIES),
    "copy-confirmed": (1, BATCH, COPIES),
}
LARGE = b" " * 150_000  # so that each message is a write of its own to the broker
POINTS = [
    *((point, number) for point in BETWEEN for number in (1, 2)),
    *((point, number) for point, numbers in WITHIN.items() for number in numbers),
]


@pytest.mark.parametrize(("point", "pass_number"), POINTS)
def test_killed_at_each_step_nothing_is_lost_and_nothing_decided_twice(
    home: House, point: str, pass_number: int
) -> None:
    """Every message is decided once, delivered at least once under one id, and receipted one to one."""
    numbers = [f"NHW-{i:04d}" for i in range(MESSAGES)]
    padding = LARGE if point == "copy-handed-over" else b""
    bodies = {number: _declaration(home, number, padding) for number in numbers}
    home.send(list(bodies.values()))

    doomed = home.daemon(ready=False, environment={"SWX_CRASH_AT": f"{point}:{pass_number}", "SWX_BATCH": str(BATCH)})
    assert doomed.process.wait(SECONDS) == -signal.SIGKILL
    home.daemon(environment={"SWX_BATCH": str(BATCH)})

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


def _declaration(home: House, number: str, padding: bytes) -> bytes:
    before = b"<DecHead>"
    document = world.declaration(number)
    assert before in document
    return home.signed(world.dxp_msg(document.replace(before, padding + before, 1), number, sender=INTEGRATOR))


def _equal_ids_mean_equal_bytes(copies: list[Received]) -> None:
    by_id = {copy.message_id: copy.body for copy in copies}
    assert len(by_id) == MESSAGES
    assert all(by_id[copy.message_id] == copy.body for copy in copies)
