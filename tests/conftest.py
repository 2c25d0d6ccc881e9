"""For all tests: what they share is ended when the last is done."""

from __future__ import annotations

import pytest

from tests import ending


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Fixtures are gone by now."""
    ending.end()
