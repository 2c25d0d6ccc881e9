"""The loop of the sealer: whatever goes wrong is told, and it goes on until it is to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swexchange.core.log import LogState
from swexchange.errors import ConfigFault, Fault, StoreDown
from swexchange.evidence.pace import no_pause
from swexchange.evidence.sealer import LOOK, HighWater, Sealer, Sealing
from swexchange.observe.metrics import SealerMetrics
from swexchange.observe.sealing import SealerObserver
from tests.world import NOW

STEPS = 3
ENOUGH = 100  # waits, after which what is waited for will not come


class _Sealer(Sealer):
    """A sealer whose first attempt may fail; each of the others takes so many steps."""

    def __init__(self, error: Exception | None = None) -> None:  # it has no log
        self.error = error

    def state(self) -> LogState:
        return LogState(7, NOW, 3, 0, "", None, None)

    def is_due(self, seconds: float) -> bool:
        return True

    def seal_all(self, pause: Callable[[], object] = no_pause, *, everywhere: bool = False) -> Iterator[int]:
        error, self.error = self.error, None
        if error:
            raise error
        for _ in range(STEPS):
            yield 1


class _Told:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.leaves = 0
        self.signs_of_life = 0
        self.states: list[LogState] = []

    def alive(self) -> None:
        self.signs_of_life += 1

    def log_state(self, state: LogState) -> None:
        self.states.append(state)

    def sealed(self, leaves: int) -> None:
        self.leaves += leaves

    def not_sealed(self, fault: Fault) -> None:
        self.faults.append(fault.what)


def run(sealer: _Sealer, told: _Told, seconds: float, *, until: Callable[[], bool]) -> list[float]:
    """Run the loop until that holds, or ENOUGH, without waiting; the seconds that it would have waited."""
    waits: list[float] = []

    def wait(so_long: float) -> bool:
        waits.append(so_long)
        return until() or len(waits) >= ENOUGH

    Sealing(sealer, seconds, told, wait).run()
    return waits


@pytest.mark.parametrize(
    ("error", "what"),
    [(StoreDown("the database fails"), "the database fails"), (KeyError("a bug"), "unexpected KeyError")],
)
def test_a_failure_is_told_and_the_next_time_it_seals(error: Exception, what: str) -> None:
    """A fault of the database, and an error of ours, whose text stays out of the log."""
    told = _Told()
    run(_Sealer(error), told, 1.0, until=lambda: told.leaves >= STEPS)
    assert (told.faults, told.leaves) == ([what], STEPS)
    assert [state.unsealed for state in told.states] == [3] * len(told.states)
    assert len(told.states) >= 2, "a failure keeps nobody from seeing how far the log is"


def test_it_ends_after_the_step_in_hand() -> None:
    told = _Told()
    run(_Sealer(), told, 1.0, until=lambda: told.leaves > 0)
    assert told.leaves == 1


def test_the_service_manager_hears_of_it_however_seldom_it_seals() -> None:
    """A look every LOOK seconds at most, also after a failure, each with a sign of life."""
    told = _Told()
    waits = run(_Sealer(StoreDown("gone")), told, 86_400.0, until=lambda: told.leaves > 0)
    assert max(waits) == LOOK
    assert told.signs_of_life >= 2


def test_how_far_the_log_is_stands_in_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times as seconds since 1970, 0 where there is none."""
    monkeypatch.setattr("sdnotify.SystemdNotifier", object)  # its socket would be left to the collector
    metrics = SealerMetrics()
    SealerObserver(metrics).log_state(LogState(7, NOW, 3, 5, "a.zip", None, NOW))
    found = {
        name: metrics.registry.get_sample_value(f"swexchange_{name}")
        for name in (
            "log_entries",
            "last_checkpoint_timestamp_seconds",
            "unsealed_exchanges",
            "archived_entries",
            "last_archive_timestamp_seconds",
        )
    }
    assert list(found.values()) == [7, NOW.timestamp(), 3, 5, 0]


def test_an_emptied_memory_is_not_taken_for_none(tmp_path: Path) -> None:
    """Only one that is not there says that nothing was sealed yet: an older database would pass for the newest."""
    remembered = HighWater(tmp_path / "audit.head")
    assert remembered.read() == ""
    remembered.write("note")
    assert remembered.read() == "note"
    (tmp_path / "audit.head").write_bytes(b"")
    with pytest.raises(ConfigFault, match="is empty"):
        remembered.read()
