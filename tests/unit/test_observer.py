"""What is exported and logged of what happened: no false alarm, and no silence."""

from __future__ import annotations

import time

import pytest

from swexchange.observe.metrics import Metrics, SealerMetrics
from swexchange.observe.observer import Observer
from swexchange.pipeline import Report


class Silent:
    """No service manager."""

    def notify(self, state: str) -> None:
        pass


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def observer(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> Observer:
    monkeypatch.setattr("sdnotify.SystemdNotifier", Silent)  # its socket would be left to the collector
    return Observer(metrics)


def test_a_process_that_had_no_batch_exports_no_time_of_one(metrics: Metrics, observer: Observer) -> None:
    """A 0 would be the year 1970: the documented alarm fired at every start, and for ever at an idle upstream."""
    name = "swexchange_last_batch_timestamp_seconds"
    assert metrics.registry.get_sample_value(name) is None
    for _ in range(2):
        observer.batch(Report())
        assert time.time() - (metrics.registry.get_sample_value(name) or 0) < 60


def test_a_sealer_that_has_sealed_nothing_exports_no_time_of_it() -> None:
    """It may have taken over from another a moment ago."""
    metrics = SealerMetrics()
    assert metrics.registry.get_sample_value("swexchange_last_seal_timestamp_seconds") is None
    metrics.happens(metrics.last_seal)
    assert metrics.registry.get_sample_value("swexchange_last_seal_timestamp_seconds")
