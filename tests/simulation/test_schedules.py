"""Hundreds of orders in which things can happen, each from a seed; and the proof that the rare ones did.

A failure names its seed: `python -m tests.simulation --seed N` runs it again and tells its moves,
`--minutes M` looks for more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import true

from swexchange.broker import LastingOutlet
from swexchange.core import conclude
from swexchange.core.model import Fate
from swexchange.pipeline import process
from swexchange.store import Backlog, FullLedger, backlog, rows
from swexchange.worker import WAIT, Links, Worker
from tests.simulation import site
from tests.simulation.explore import SOMETIMES, Exploration, explore, explore_on_all_cores, folder
from tests.simulation.schedule import Schedule
from tests.simulation.setting import opened

SCHEDULES = 800
SECONDS = 240.0  # a machine that is very busy looks at fewer


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with folder(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def exploration(tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    with folder(Path(tmp_path_factory.mktemp("simulation"))) as made:
        return explore_on_all_cores(made, SCHEDULES, SECONDS)


def test_every_promise_holds_in_every_schedule(exploration: Exploration) -> None:
    """Nothing is lost, nothing decided twice, equal ids mean equal bytes, nothing refused goes out."""
    assert not exploration.failures, "\n".join(exploration.failures)


@pytest.mark.parametrize("path", SOMETIMES)
def test_a_rare_path_was_really_taken(exploration: Exploration, path: str) -> None:
    """A simulation that never gets there proves nothing about it."""
    assert exploration.sometimes[path] > 0, f"in {exploration.schedules} schedules"


# -- and it would notice


def _acknowledge_first(self: Worker, links: Links) -> None:
    deliveries = links.source.take(self._max_messages, self._max_bytes, WAIT)
    if deliveries:
        links.source.ack_through(deliveries[-1].tag)
        process(deliveries, self._rules.current(), self._memory, links.outlet, self._clock, self._decide_all)


def _settle_as_if_all_were_sent(self: FullLedger, batch: int, _: Any, now: Any) -> None:
    _settle(self, batch, (), now)


def _mark_as_if_all_were_sent(self: FullLedger, fates: Any, now: Any) -> None:
    _mark(self, [(copy, Fate.CONFIRMED) for copy, _ in fates], now)


def _id_of_bytes(exchange: str, to: str) -> str:
    return exchange[12:] + to  # without the time: the same for all exchanges of the same bytes


def _patched(*targets: tuple[Any, str, Any]) -> Callable[[], ExitStack]:
    def enter() -> ExitStack:
        stack = ExitStack()
        for target, name, wrong in targets:
            stack.enter_context(mock.patch.object(target, name, wrong))
        return stack

    return enter


def _settle_upward_as_if_all_were_sent(self: Backlog, fates: Any, now: Any) -> None:
    _settle_upward(self, [(copy, Fate.CONFIRMED) for copy, _ in fates], now)


_settle_upward = Backlog.settle
_settle, _mark = FullLedger.settle, FullLedger.mark
_draw = count()
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "acknowledged before the commit": (_patched((Worker, "step", _acknowledge_first)), "is lost"),
    "failed copies taken for sent": (
        _patched((FullLedger, "settle", _settle_as_if_all_were_sent), (FullLedger, "mark", _mark_as_if_all_were_sent)),
        "never got",
    ),
    "failed forwards taken for sent": (
        _patched((Backlog, "settle", _settle_upward_as_if_all_were_sent)),
        "never got",
    ),
    "forwarded without regard to lanes": (
        _patched((backlog, "_live_and_backlog", backlog._heads(true()))),
        "came out of order",
    ),
    "a link that is refused kept for ever": (
        _patched((LastingOutlet, "_renew", lambda _: None)),
        "nothing comes to rest",
    ),
    "each copy id drawn anew": (
        _patched((rows, "copy_id", lambda *_: str(next(_draw)))),
        "under several ids",
    ),
    "one id for a refusal and what comes later": (
        _patched((conclude, "receipt_id", _id_of_bytes), (rows, "receipt_id", _id_of_bytes)),
        "one id, other bytes",
    ),
    "no quarantine": (_patched((site, "Quarantine", lambda decide_all, *_: decide_all)), "nothing comes to rest"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_program_is_found_out(place: Path, name: str) -> None:
    """Each of these mistakes, made on purpose, fails within the number of schedules that the suite runs."""
    make, said = WRONG[name]
    with make():
        found = explore(place, SCHEDULES, SECONDS, most_failures=1)
    assert found.failures, f"{found.schedules} schedules did not notice"
    assert said in found.failures[0]


def test_a_seed_gives_the_same_run_again(place: Path) -> None:
    """Move for move: so a failure can be looked at."""
    told: list[list[str]] = [[], []]
    for moves in told:
        with opened(place) as site:
            site.tell = moves.append
            for seed in (7, 8):
                Schedule(site, seed).run()
    assert told[0] == told[1]
    assert len(told[0]) > 100
