"""What is exported and logged of what happened: no false alarm, and no silence."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from swexchange.errors import BrokerLost, DamagedRow, StoreDown
from swexchange.observe.metrics import Metrics, SealerMetrics
from swexchange.observe.observer import Observer
from swexchange.observe.outage import AGAIN, MOST, Outage
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


@pytest.mark.parametrize(
    ("code", "reason"),
    [(403, "refused"), (530, "refused"), (404, "missing"), (405, "locked"), (406, "precondition"), (0, "lost")],
)
def test_failures_of_the_broker_are_told_apart(metrics: Metrics, observer: Observer, code: int, reason: str) -> None:
    """What passes by itself, and what somebody has to mend."""
    observer.trouble(BrokerLost("no", code=code), 1.0)
    assert metrics.registry.get_sample_value("swexchange_faults_total", {"kind": "BrokerLost", "reason": reason}) == 1


def test_an_alarm_of_the_broker_is_told_once_and_its_end_too(metrics: Metrics, observer: Observer) -> None:
    """Looked at after every step."""
    with capture_logs() as events:
        for is_blocked in (False, True, True, False):
            observer.blocked(is_blocked)
            assert metrics.registry.get_sample_value("swexchange_publishing_blocked") == is_blocked
    assert [event["event"] for event in events] == ["RabbitMQ blocks publishers", "RabbitMQ takes messages again"]


def test_a_day_of_outage_is_told_every_five_minutes() -> None:
    """At the first failure, when the reason is another, and then each of them as often as it is worth reading."""
    now = [0.0]
    outage = Outage(lambda: now[0])
    told = []
    for _ in range(20_000):
        if outage.failed("away" if now[0] < 3600 or now[0] % 8 else "refused"):
            told.append(now[0])
        now[0] += 4.0
    assert told[:2] == [0.0, AGAIN]
    assert 3600.0 in told, "the reason is another"
    assert len(told) <= 2 * now[0] / AGAIN
    assert (outage.seconds, outage.failures) == (80_000.0, 20_000)
    outage.end()
    assert (outage.seconds, outage.failures) == (0.0, 0)
    assert outage.failed("away"), "the next outage is told at once"


def test_a_neighbour_that_comes_and_goes_does_not_flood_the_log(
    observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream in bad hands ends every link after a second, each time with another text."""
    now = [0.0]
    monkeypatch.setattr(observer, "_outage", Outage(lambda: now[0]))
    with capture_logs() as events:
        for n in range(3600):
            observer.trouble(BrokerLost(f"RabbitMQ said 541: {n}"), 0.3)
            now[0] += 1
            observer.recovered()
    told = [event["event"] for event in events]
    assert told[:4] == ["trouble", "recovered"] * 2, "the first are told at once"
    assert told.count("trouble") == told.count("recovered") <= 12 * (MOST + 1)


def test_trouble_says_since_when_and_its_end_how_long_it_was(metrics: Metrics, observer: Observer) -> None:
    """Every failure counts, few are logged; a thread beside it tells of its own."""
    with capture_logs() as events:
        for _ in range(50):
            observer.trouble(BrokerLost("RabbitMQ is not running"), 5.0)
        with ThreadPoolExecutor(1) as forwarder:
            forwarder.submit(observer.trouble, StoreDown("the disk is full"), 5.0).result()
            forwarder.submit(observer.recovered).result()
        observer.recovered()
    assert [(event["event"], event["failures"]) for event in events] == [
        ("trouble", 1),
        ("trouble", 1),
        ("recovered", 1),
        ("recovered", 50),
    ]
    assert events[0]["since"]
    assert events[-1]["after_s"] >= 0
    assert sum(s.value for m in metrics.faults.collect() for s in m.samples if s.name.endswith("_total")) == 51


def test_a_row_that_is_left_aside_is_an_error_on_one_line(observer: Observer) -> None:
    """Text of the row is freed of what could forge a line."""
    with capture_logs() as logs:
        observer.damaged(DamagedRow("exchange 1\n2 cannot be read", where="table exchange", do="Mend it"))
    (line,) = logs
    assert (line["event"], line["log_level"], line["where"]) == ("row left aside", "error", "table exchange")
    assert line["what"] == "exchange 1\\u000a2 cannot be read"
