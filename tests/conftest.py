"""For all tests: programs get the signals that are sent to them, and what tests share ends with the last of them."""

from __future__ import annotations

import signal

import pytest

from tests import ending


def pytest_sessionstart() -> None:
    """A shell that starts this in the background has Ctrl-C ignored, and so would everything that is tested."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Fixtures are gone by now."""
    ending.end()
