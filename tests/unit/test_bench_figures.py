"""What bin/bench computes from what it saw: percentiles, rates, waits, ratios, recoveries."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.bench.arrivals import percentile, waits_ms, warm
from tests.bench.beside import Seen
from tests.bench.evidence import Evidence, Waits, sealed_share
from tests.bench.latency import Latency
from tests.bench.messages import message_id_of
from tests.bench.pairs import Pairs
from tests.bench.past import Past, Pasts
from tests.bench.rate import Rate, rate_of
from tests.bench.recovery import Recoveries, Recovery, since
from tests.bench.results import Results
from tests.bench.run import Job, Run
from tests.bench.upstream import Drain, Upstreams, seen, span
from tests.own_rules import ROOT

JOB = Job("sqlite", "", 0, 100)


def run(rate: float, sealed: int = 0) -> Run:
    return Run(JOB, Rate(int(rate), 1.0), 0.0, {}, {"all are acknowledged": True}, sealed)


def latency(*waits_ms: float) -> Latency:
    return Latency(len(waits_ms), 10.0, waits_ms, {"one receipt of each": True}, "")


def test_a_percentile_is_a_value_that_was_seen() -> None:
    """So many percent do not exceed it; without values there is none."""
    assert percentile(range(1, 1001), 99) == 991
    assert (percentile([3.0, 1.0, 2.0], 50), percentile([7.0], 99)) == (2.0, 7.0)
    assert math.isnan(percentile([], 99))


def test_a_rate_leaves_its_beginning_out() -> None:
    """From the first look with enough, at or after a time."""
    looks = [(0.0, 0), (1.0, 10), (2.0, 110), (3.0, 210)]
    assert rate_of(looks, 10) == Rate(200, 2.0)
    assert rate_of(looks, 10, since=1.5) == Rate(100, 1.0)
    assert rate_of([(0.0, 0)], 10).per_second == 0.0


def test_waits_count_from_when_a_message_was_due() -> None:
    """Of those due in a span of time; what came twice counts once, what never came not at all."""
    due_at = {f"m{n}": float(n) for n in range(5)}
    arrived = {"m0": [0.5], "m1": [1.25, 9.0], "m2": [2.5], "m4": [9.0]}
    assert waits_ms(due_at, arrived, 1.0, 3.0) == [250.0, 500.0]
    assert warm({f"m{n}": float(n) for n in range(100)}) == 10.0


def test_a_recovery_ends_when_what_waited_is_answered() -> None:
    """The first receipt that counts is of a message due after the kill; what was due by then has to be answered too."""
    due_at = {"before": 9.0, "just before": 9.9, "after": 10.5, "later": 12.5, "late": 14.0}
    arrived = {"before": [9.1], "just before": [13.5], "after": [13.0], "later": [13.2], "late": [14.1]}
    first, answered = since(10.0, due_at, arrived)
    assert (first, answered) == (3.0, 3.5)
    assert all(map(math.isnan, since(10.0, due_at, {"before": [9.1]})))


def test_a_drain_lasts_from_the_first_arrival_to_the_last_of_the_backlog() -> None:
    """Live messages in between count for its rate, those afterwards do not."""
    arrived = {message_id_of(n): [float(n)] for n in range(1, 10)}
    arrived[message_id_of(0)] = [5.5]
    assert span(arrived, 3) == (1.0, 5.5)
    assert seen(arrived, until=2.0) == [(1.0, 1), (2.0, 2)]
    drain = Drain(Rate(100, 1.0), 20.0, Rate(70, 1.0), 30.0, {"all come": True})
    assert (drain.ratio, drain.p99_ratio) == (0.7, 1.5)


def test_ratios_are_of_medians() -> None:
    """One run that was disturbed changes nothing; each pair is told all the same."""
    pairs = Pairs([run(100), run(1), run(110)], [run(95), run(1000), run(90)])
    assert pairs.ratio == pytest.approx(0.95)
    assert pairs.ratios == pytest.approx([90 / 110, 0.95, 1000])
    past = Past([run(100), run(90), run(120)], [Rate(150, 1.0)])
    assert past.ratio == 1.5


def test_waits_beside_a_duty_are_the_median_of_their_rounds() -> None:
    """A round in which the host stood still spoils neither."""
    idle = [latency(*[5.0] * 98, p99) for p99 in (9.0, 10.0, 400.0)]
    waits = Waits(idle, {"sealing": [latency(*[5.0] * 98, p99) for p99 in (900.0, 11.0, 8.0)]})
    assert waits.ratio("sealing") == pytest.approx(1.1)
    waits.seen["sealing"] = [Seen(10, 10, 1), Seen(10, 7, 0)]
    assert waits.share("sealing") == 0.7
    assert [name for name, holds in Evidence(waits={"sqlite": waits}).checks() if not holds] == [
        "sealing, sqlite: at work all the time",
        "sealing, sqlite: something is completed in each round",
    ]
    assert sealed_share([run(1, sealed=50), run(1, sealed=100)]) == 0.75


def test_later_measures_stand_in_the_document_beside_the_first() -> None:
    """Their figures by name, and their checks: one that fails once has failed."""
    bad = replace(run(80), checks={"all are acknowledged": False})
    lane = Upstreams({"sqlite": Pairs([run(100), run(100)], [run(80), bad])})
    killed = Recoveries({("broker", "sqlite"): Recovery(7.04, 9.96, {"each is recorded once": True})})
    document = Results(others=[lane, killed]).document()
    assert document["upstream_ratio"] == {"sqlite": 0.8}
    assert document["recovery_s"] == {"broker": {"sqlite": {"first_receipt": 7.0, "as_before": 10.0}}}
    assert document["checks"] == {
        "sqlite, 1 worker: all are acknowledged": False,
        "broker killed, sqlite: each is recorded once": True,
    }


def test_every_figure_of_the_later_measures_is_explained() -> None:
    """In docs/reference/performance.md, by its name."""
    measures = Upstreams(), Pasts({}), Evidence(), Recoveries({})
    page = (ROOT / "docs/reference/performance.md").read_text("utf-8")
    missing = [name for found in measures for name in found.document() if f"`{name}`" not in page]
    assert not missing
