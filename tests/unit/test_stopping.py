"""What a command does on SIGTERM and Ctrl-C."""

from __future__ import annotations

import signal
import time

import pytest

from swexchange.cli.stopping import AGAIN, Interrupt


def test_a_second_signal_does_not_cut_off_the_tidying_up_a_later_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt, now = Interrupt(), 50.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, None)
    now += AGAIN / 2
    interrupt(signal.SIGTERM, None)
    now += AGAIN / 2
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, None)
