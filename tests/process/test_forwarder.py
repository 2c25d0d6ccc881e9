"""The forwarder dies without warning at its own steps; what was owed is delivered all the same."""

from __future__ import annotations

import signal

import pytest

from swexchange.broker.topology import inbox, receipts
from tests import world
from tests.process.house import CUSTOMS, INTEGRATOR, SECONDS, House


def _answer(home: House, number: str) -> bytes:
    document = world.import_response(number, f"I-{number}")
    return home.signed(world.dxp_msg(document, f"ANS-{number}", sender=CUSTOMS, receivers=(world.PLATFORM,)), CUSTOMS)


@pytest.mark.parametrize("point", ["matched", "due", "resent"])
def test_killed_while_matching_an_answer_it_is_delivered_once_by_id(home: House, point: str) -> None:
    """An answer that came first reaches who asked, under one id, though the worker dies at each step of it."""
    home.send([_answer(home, "EARLY-1")], CUSTOMS)
    doomed = home.daemon(environment={"SWX_CRASH_AT": f"{point}:1"})
    home.collect(receipts(CUSTOMS), 1)
    home.send([home.declaration("EARLY-1")])
    assert doomed.process.wait(SECONDS) == -signal.SIGKILL
    home.daemon()
    answers = home.collect(inbox(INTEGRATOR), 1)
    assert {(a.correlation_id, a.type) for a in answers} == {("EARLY-1", "DecImportResponse")}
    assert len({a.message_id for a in answers}) == 1
