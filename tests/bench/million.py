"""What a million stored exchanges cost: in messages a second, in search times, in seconds to seal and to verify."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

from swexchange.store import AuditLog, Filter
from tests.bench.arrivals import percentile
from tests.bench.lab import Lab
from tests.bench.rate import middle
from tests.bench.run import Job, Run, run
from tests.bench.stored import key_of, load
from tests.bench.verification import Verification, seal_and_verify


@dataclass(slots=True)
class Million:
    """Runs on full and on empty databases, in pairs; milliseconds of searches by business key."""

    stored: int
    full: dict[str, list[Run]] = field(default_factory=dict)
    empty: dict[str, list[Run]] = field(default_factory=dict)
    search_ms: dict[str, Mapping[str, float]] = field(default_factory=dict)
    verification: dict[str, Verification] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """The rate on a full database to that on an empty one, by database."""
        return {name: _rate(self.full[name]) / _rate(self.empty[name]) for name in self.full}

    def runs(self) -> Iterator[Run]:
        """All runs."""
        for runs in (*self.full.values(), *self.empty.values()):
            yield from runs


def _rate(runs: list[Run]) -> float:
    return middle([found.rate for found in runs])


def measure(lab: Lab) -> Million:
    """Fill both databases at the same time, then measure one after the other."""
    found = Million(lab.scale.stored)
    lab.progress.expect(len(lab.databases) * (2 * lab.scale.pairs + 3))
    with ExitStack() as stack:
        urls = {name: stack.enter_context(lab.fresh(name)) for name in lab.databases}
        _fill(lab, urls)
        for name, url in urls.items():
            found.search_ms[name] = _search(lab, url)
            lab.progress.done(f"{name}: search by business key, ms: {found.search_ms[name]}")
            for pair in range(lab.scale.pairs):
                _run_pair(lab, found, Job(name, url, pair * lab.scale.messages, lab.scale.messages), pair % 2 == 0)
            found.verification[name] = seal_and_verify(lab, Job(name, url, 0, 0))
            lab.progress.done(f"{name}: {found.verification[name]}")
    return found


def _fill(lab: Lab, urls: Mapping[str, str]) -> None:
    with ProcessPoolExecutor(len(urls), get_context("spawn")) as pool:
        loads = {name: pool.submit(load, url, lab.scale.stored) for name, url in urls.items()}
        for name, seconds in loads.items():
            lab.progress.done(f"{name}: {lab.scale.stored:,} exchanges stored in {seconds.result():.0f} s")


def _run_pair(lab: Lab, found: Million, job: Job, empty_first: bool) -> None:
    """The same fresh messages into the full and into an empty database."""
    for where in ("empty", "full") if empty_first else ("full", "empty"):
        if where == "full":
            done = run(lab, job)
            found.full.setdefault(job.database, []).append(done)
        else:
            with lab.fresh(job.database) as url:
                done = run(lab, replace(job, url=url))
            found.empty.setdefault(job.database, []).append(done)
        lab.progress.done(f"{job.database} {where}: {done}")


def _search(lab: Lab, url: str) -> dict[str, float]:
    chance, times = random.Random(1), []
    with closing(AuditLog(url)) as audit_log:
        audit_log.search(Filter(key=key_of(0)))  # opens the connection
        for _ in range(lab.scale.searches):
            key = key_of(chance.randrange(lab.scale.stored))
            started = time.perf_counter()
            hits = audit_log.search(Filter(key=key))
            times.append((time.perf_counter() - started) * 1000)
            if len(hits) != 1:
                raise RuntimeError(f"the search for {key} found {len(hits)} exchanges")
    return {"p50": round(percentile(times, 50), 2), "p99": round(percentile(times, 99), 2)}
