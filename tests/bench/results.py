"""The results of a run as one document, and as a table for people. Computes ratios, measures nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from tests.bench.latency import Latency
from tests.bench.many_routes import ManyRoutes
from tests.bench.memory import Memory
from tests.bench.million import Million
from tests.bench.rate import middle
from tests.bench.run import Run
from tests.bench.throughput import Throughput


class Found(Protocol):
    """What one of the later measures found, which knows its own names."""

    def runs(self) -> Iterator[Run]:
        """Its counted runs."""

    def checks(self) -> Iterator[tuple[str, bool]]:
        """Its other count checks."""

    def document(self) -> Mapping[str, Any]:
        """Its figures by the names of the documentation."""


@dataclass(slots=True)
class Results:
    """What was measured; None or empty where it was not."""

    throughput: Throughput | None = None
    million: Million | None = None
    routes: ManyRoutes | None = None
    memory: Memory | None = None
    latency: Mapping[tuple[str, str], Latency] = field(default_factory=dict)
    others: list[Found] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Everything that was measured, by the names of the documentation."""
        document: dict[str, Any] = {}
        if self.throughput:
            document |= _throughput(self.throughput)
        if self.million:
            document |= _million(self.million)
        if self.routes:
            document |= _routes(self.routes)
        if self.memory:
            document["rss_mb"] = _memory(self.memory)
        if self.latency:
            document |= _latency(self.latency)
        for found in self.others:
            document |= found.document()
        return document | {"checks": self.checks()}

    def checks(self) -> dict[str, bool]:
        """Every count check by what it is about; false where any run failed it."""
        found: dict[str, bool] = {}
        for name, holds in self._all_checks():
            found[name] = found.get(name, True) and holds
        return found

    def _all_checks(self) -> Iterator[tuple[str, bool]]:
        for run in self._runs():
            yield from ((f"{_about(run)}: {name}", holds) for name, holds in run.checks.items())
        for (database, load), one in self.latency.items():
            yield from ((f"latency, {database}, {load}: {name}", holds) for name, holds in one.checks.items())
        if self.memory:
            yield from ((f"memory: {name}", holds) for name, holds in self.memory.checks.items())
        for found in self.others:
            yield from found.checks()

    def _runs(self) -> Iterator[Run]:
        if self.throughput:
            yield from (run for runs in self.throughput.runs.values() for run in runs)
        if self.million:
            yield from self.million.runs()
        if self.routes:
            yield from self.routes.pairs.runs()
        for found in self.others:
            yield from found.runs()


def _about(run: Run) -> str:
    routes = f", {run.job.routes.stem} rules" if run.job.routes else ""
    return _title(run.job.database, run.job.workers) + routes + (", sealed" if run.job.seal_seconds else "")


def _throughput(found: Throughput) -> dict[str, Any]:
    shovel = middle(found.shovel)
    naive = {name: middle(rates) for name, rates in found.naive.items()}
    best = {name: found.best(name)[0] for name in naive}
    return {
        "shovel_msg_s": round(shovel),
        "naive_msg_s": round(naive["sqlite"], 1),
        "naive_postgresql_msg_s": round(naive["postgresql"], 1),
        **{f"{name}_msg_s": round(rate) for name, rate in best.items()},
        "ratio_to_shovel": {name: round(rate / shovel, 3) for name, rate in best.items()},
        "ratio_to_naive": {name: round(rate / naive[name], 2) for name, rate in best.items()},
        "bytes_per_exchange": {name: dict(parts) for name, parts in found.sizes.items()},
        "detail": _detail(found),
    }


def _detail(found: Throughput) -> dict[str, Any]:
    return {
        "shovel_msg_s": [round(rate.per_second) for rate in found.shovel],
        "naive_msg_s": {name: [round(r.per_second, 1) for r in rates] for name, rates in found.naive.items()},
        "swexchange_msg_s": {
            _title(*key): [round(run.rate.per_second) for run in runs] for key, runs in sorted(found.runs.items())
        },
        "cpu_us_per_message": {
            "shovel": dict(found.shovel_cpu_us),
            **{_title(*key): dict(runs[-1].cpu_us) for key, runs in sorted(found.runs.items())},
        },
        "workers": {name: found.best(name)[1] for name in found.naive},
    }


def _title(database: str, workers: int) -> str:
    return f"{database}, {workers} {'worker' if workers == 1 else 'workers'}"


def _million(found: Million) -> dict[str, Any]:
    return {
        "stored": found.stored,
        "stored_million_ratio": {name: round(ratio, 3) for name, ratio in found.ratios().items()},
        "search_ms": {name: dict(times) for name, times in found.search_ms.items()},
        "million_seal_seconds": {name: round(one.sealed.seconds, 1) for name, one in found.verification.items()},
        "million_verify_seconds": {name: round(one.verified.seconds, 1) for name, one in found.verification.items()},
        "million_verify_entries_s": {name: round(one.verified.per_second) for name, one in found.verification.items()},
    }


def _routes(found: ManyRoutes) -> dict[str, Any]:
    seconds = {name: round(value, 2) for name, value in found.load_seconds.items()}
    return {"thousand_routes_ratio": round(found.pairs.ratio, 3), "routes_load_seconds": seconds}


def _memory(found: Memory) -> dict[str, float]:
    names = {count: f"{count // 1000}k" if count else "start" for count in found.mb}
    workers = {names[count]: mb["worker"] for count, mb in found.mb.items()}
    return workers | {"explainer": max(mb["explainer"] for mb in found.mb.values())}


def _latency(found: Mapping[tuple[str, str], Latency]) -> dict[str, Any]:
    document: dict[str, Any] = {"p50_ms": {}, "p99_ms": {}, "latency_load_msg_s": {}}
    for (database, load), one in found.items():
        document["p50_ms"].setdefault(load, {})[database] = round(one.p50_ms, 1)
        document["p99_ms"].setdefault(load, {})[database] = round(one.p99_ms, 1)
        document["latency_load_msg_s"].setdefault(load, {})[database] = round(one.rate)
    return document


def show(document: Mapping[str, Any], console: Console) -> None:
    """The document as a table; details are left to --json."""
    table = Table("measure", "value", title="swexchange benchmark", title_justify="left")
    for name, value in _flat(
        {n: v for n, v in document.items() if n not in ("detail", "checks", "versions", "machine")}
    ):
        table.add_row(name, f"{value:,}" if isinstance(value, (int, float)) else str(value))
    failed = [name for name, holds in document["checks"].items() if not holds]
    table.add_row("checks", f"{len(document['checks'])} hold" if not failed else "FAILED: " + "; ".join(failed))
    console.print(table)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value
