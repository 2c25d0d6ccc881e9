"""The thread that seals: whatever goes wrong is told, and it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from swexchange.errors import Fault, StoreDown
from swexchange.evidence.sealer import Sealer, SealingThread
from tests.process.house import until

SECONDS = 0.01


class _Broken:
    """A sealer that fails once."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error

    def is_due(self, seconds: float) -> bool:
        return True

    def seal_all(self, rest: Callable[[float], object]) -> Iterator[int]:
        error, self.error = self.error, None
        if error:
            raise error
        yield 3


class _Told:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.leaves = 0

    def sealed(self, leaves: int) -> None:
        self.leaves += leaves

    def not_sealed(self, fault: Fault) -> None:
        self.faults.append(fault.what)


@pytest.mark.parametrize(
    ("error", "what"),
    [(StoreDown("the database fails"), "the database fails"), (KeyError("a bug"), "unexpected KeyError")],
)
def test_a_failure_is_told_and_the_next_time_it_seals(error: Exception, what: str) -> None:
    """A fault of the database, and an error of ours, whose text stays out of the log."""
    told = _Told()
    thread = SealingThread(cast("Sealer", _Broken(error)), SECONDS, told)
    thread.start()
    until(lambda: told.leaves > 0, "the second attempt")
    thread.stop()
    assert told.faults == [what]
