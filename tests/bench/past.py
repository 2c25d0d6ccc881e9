"""How fast what is recorded is sent again, decided again, and verified, against how fast it came.

Each round runs a job, then replays all of it, receipts too, so that the same copies go out once
more. The last round's messages are then decided again by the same rules, as `routes diff` does
on all cores, sealed and verified.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from swexchange.broker.topology import inbox
from swexchange.cli.judging import judge_all
from swexchange.replay.whatif import tally
from swexchange.settings import from_environment
from swexchange.store import Filter
from tests.bench import commands
from tests.bench.lab import Lab
from tests.bench.parties import AGENCY
from tests.bench.rate import Rate, middle, rate_of
from tests.bench.run import Job, Run, await_receipts, counted, run, setup_of
from tests.bench.verification import Verification, seal_and_verify


@dataclass(slots=True)
class Past:
    """Of one database."""

    live: list[Run] = field(default_factory=list)
    replayed: list[Rate] = field(default_factory=list)
    plan_seconds: float = 0.0  # of the last round, with the command's start
    decided: Rate = field(default_factory=lambda: Rate(0, 0))
    verification: Verification | None = None
    counts: dict[str, bool] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Rate of the replays to that of one worker, medians both."""
        return middle(self.replayed) / middle([found.rate for found in self.live])


@dataclass(frozen=True, slots=True)
class Pasts:
    """By database."""

    found: Mapping[str, Past]

    def runs(self) -> Iterator[Run]:
        """The live ones."""
        yield from (one for past in self.found.values() for one in past.live)

    def checks(self) -> Iterator[tuple[str, bool]]:
        """Count checks of the replays."""
        for name, past in self.found.items():
            yield from ((f"replay, {name}: {check}", holds) for check, holds in past.counts.items())

    def document(self) -> dict[str, Any]:
        """By the names of the documentation."""
        return {
            "replay_msg_s": {name: round(middle(past.replayed)) for name, past in self.found.items()},
            "replay_ratio": {name: round(past.ratio, 3) for name, past in self.found.items()},
            "replay_plan_seconds": {name: round(past.plan_seconds, 1) for name, past in self.found.items()},
            "routes_diff_msg_s": {name: round(past.decided.per_second) for name, past in self.found.items()},
            "verify_entries_s": {
                name: round(past.verification.verified.per_second)
                for name, past in self.found.items()
                if past.verification
            },
        }


def measure(lab: Lab) -> Pasts:
    """Database by database."""
    lab.progress.expect(len(lab.databases) * (2 * lab.scale.pairs + 2))
    return Pasts({name: _measure(lab, name) for name in lab.databases})


def _measure(lab: Lab, name: str) -> Past:
    past = Past()
    for number in range(lab.scale.pairs):
        with lab.fresh(name) as url:
            job = Job(name, url, 0, lab.scale.messages)
            past.live.append(run(lab, job))
            lab.progress.done(f"{name}, live: {past.live[-1]}")
            _replay(lab, job, past)
            lab.progress.done(f"{name}, replay: {past.replayed[-1].per_second:,.0f} msg/s")
            if number == lab.scale.pairs - 1:
                past.decided = _decide_again(lab, job)
                lab.progress.done(f"{name}, decided again: {past.decided.per_second:,.0f} msg/s")
                past.verification = seal_and_verify(lab, job)
                lab.progress.done(f"{name}: {past.verification}")
    return past


def _replay(lab: Lab, job: Job, past: Past) -> None:
    """Plan and run; the queues are empty before and after."""
    setup = setup_of(lab, job)
    planned = commands.done(setup, "replay", "plan", "--receipts", "--json")
    past.plan_seconds = planned.seconds
    with commands.running(setup, "replay", "run", planned.told["id"], "--reason", "benchmark") as process:
        seen = lab.node.until(inbox(AGENCY), job.count, lambda: process.poll() is None, commands.SECONDS)
        process.communicate(timeout=commands.SECONDS)
    past.replayed.append(rate_of(seen, job.count // 10))
    await_receipts(lab, job.count)
    for check, holds in counted(lab, job).items():
        past.counts[check] = past.counts.get(check, True) and holds


def _decide_again(lab: Lab, job: Job) -> Rate:
    """What `routes diff` does with the same rules: as it goes, without the first part and the start of processes."""
    settings = from_environment(setup_of(lab, job).environment())
    seen = [(time.monotonic(), 0)]
    for part in judge_all(settings, Filter(), partial(tally, keep=0)):
        if part.groups:
            raise RuntimeError(f"the same rules decide otherwise: {part.groups}")
        seen.append((time.monotonic(), seen[-1][1] + part.decided))
    return rate_of(seen, 1)
