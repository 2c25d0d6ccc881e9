"""The forwarder dies without warning at its own steps and within them; what was owed is delivered all the same."""

from __future__ import annotations

import signal

import pytest

from swexchange.broker.topology import inbox, receipts
from tests import world
from tests.process.house import CUSTOMS, INTEGRATOR, SECONDS, House


def _answer(home: House, number: str) -> bytes:
    document = world.import_response(number, f"I-{number}")
    return home.signed(world.dxp_msg(document, f"ANS-{number}", sender=CUSTOMS, receivers=(world.PLATFORM,)), CUSTOMS)


NUMBERS = ("EARLY-1", "EARLY-2", "EARLY-3")
POINTS = [
    *((point, 1) for point in ("matched", "due", "resent")),
    *((point, number) for point in ("answer-matched", "copy-marked") for number in (1, 2, 3)),
]


@pytest.mark.parametrize(("point", "pass_number"), POINTS)
def test_killed_while_matching_answers_each_is_delivered_once_by_id(home: House, point: str, pass_number: int) -> None:
    """Answers that came first reach who asked, under one id each, though the worker dies at each step of it."""
    home.send([_answer(home, number) for number in NUMBERS], CUSTOMS)
    doomed = home.daemon(environment={"SWX_CRASH_AT": f"{point}:{pass_number}"})
    home.collect(receipts(CUSTOMS), len(NUMBERS))
    home.send([home.declaration(number) for number in NUMBERS])
    assert doomed.process.wait(SECONDS) == -signal.SIGKILL
    home.daemon()
    answers = home.collect(inbox(INTEGRATOR), len(NUMBERS))
    assert {(a.correlation_id, a.type) for a in answers} == {(number, "DecImportResponse") for number in NUMBERS}
    assert len({a.message_id for a in answers}) == len(NUMBERS)
