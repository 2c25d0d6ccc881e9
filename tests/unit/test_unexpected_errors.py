"""An error of ours while deciding: the message is held, its neighbours go on, the log says where in the code."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from swexchange.core.decide import Staged, in_stages
from swexchange.core.model import Delivery
from swexchange.decider import FreshThreads, decide_each
from swexchange.observe.metrics import Metrics
from swexchange.observe.observer import Observer
from tests import world

SECRET = "3100-secret-of-a-declaration"


def test_the_log_says_where_and_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames with file and line, under the exchange's id; the error's text may quote the message and stays out."""

    def broken(delivery: Delivery, *rest: Any) -> Staged[Any]:
        if SECRET.encode() in delivery.body:
            raise ValueError(f"cannot read {SECRET}")
        return (yield from in_stages(delivery, *rest))

    monkeypatch.setattr("swexchange.decider.in_stages", broken)
    monkeypatch.setattr("sdnotify.SystemdNotifier", object)  # its socket would be left to the collector
    good, bad = (Delivery(n, "A", body) for n, body in enumerate((b"<a/>", SECRET.encode())))
    with capture_logs() as events:
        observer = Observer(Metrics())
        run = FreshThreads(partial(decide_each, on_bug=observer.bug))
        decisions = run([good, bad, good], world.rulebook(), world.NOW)
    assert [d.code for d in decisions] == [decisions[0].code, decisions[1].code, decisions[0].code]
    (event,) = events
    assert event["exchange"] == decisions[1].exchange_id
    assert event["error"] == "ValueError"
    assert any(__file__ in frame and frame.endswith(" broken") for frame in event["frames"])
    assert SECRET not in str(event)
    assert "ValueError while deciding" in str(decisions[1].findings)
    assert SECRET not in str(decisions[1].findings)
