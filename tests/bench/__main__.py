"""bin/bench: how fast swexchange is on this machine, against RabbitMQ's own shovel and a plain program.

Measures: throughput, million, routes, memory, latency, upstream, past, evidence, recovery. The
table goes to stdout, progress to stderr. Exit codes: 0 measured; 1 a check failed: a message was
lost or came twice, or what should have gone on beside the traffic did not; 2 wrong options, or
something that is measured did not work.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from swexchange.errors import Fault
from tests.bench import (
    evidence,
    latency,
    machine,
    many_routes,
    memory,
    million,
    past,
    profiler,
    recovery,
    throughput,
    upstream,
)
from tests.bench import lab as laboratory
from tests.bench.lab import Lab
from tests.bench.progress import Progress
from tests.bench.results import Found, Results, show
from tests.bench.scale import FULL, QUICK

OTHERS: Mapping[str, Callable[[Lab], Found]] = {
    "upstream": upstream.measure,
    "past": past.measure,
    "evidence": evidence.measure,
    "recovery": recovery.measure,
}
FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)
MEASURES = ("throughput", "million", "routes", "memory", "latency", *OTHERS)


def _chosen(_context: click.Context, _parameter: click.Parameter, value: str) -> frozenset[str]:
    names = frozenset(value.split(","))
    if unknown := names - set(MEASURES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: choose among {', '.join(MEASURES)}")
    return names


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--json", "json_file", metavar="FILE", help="Write one JSON document; - for stdout instead of the table.")
@click.option("--quick", is_flag=True, help="A quarter of the time: smaller numbers, less certain figures.")
@click.option(
    "--only",
    metavar="NAME,...",
    default=",".join(MEASURES),
    callback=_chosen,
    help=f"Some measures only: {', '.join(MEASURES)}.",
)
@click.option("--profile", type=click.Choice(["sqlite", "postgresql"]), help="Instead: where one worker's time goes.")
@click.option(
    "--dir", "parent", metavar="FOLDER", type=FOLDER, help="Where the data goes (default: a temporary folder)."
)
def main(json_file: str | None, quick: bool, only: frozenset[str], profile: str | None, parent: Path | None) -> None:
    """Measure swexchange on a private RabbitMQ, a private PostgreSQL and SQLite; needs no set-up and leaves nothing.

    \b
    Examples:
      bin/bench
      bin/bench --quick --json -
      bin/bench --only throughput,latency --json figures.json
      bin/bench --profile postgresql
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an ordinary end: the servers are stopped
    try:
        with Progress() as progress, laboratory.opened(parent, QUICK if quick else FULL, progress) as lab:
            if profile:
                click.echo(profiler.profile(lab, profile))
                return
            document = _about(lab, quick) | _results(lab, only).document()
    except (RuntimeError, Fault) as error:
        click.echo(f"bin/bench: {error}", err=True)
        sys.exit(2)
    _print(document, json_file)
    sys.exit(0 if all(document["checks"].values()) else 1)


def _about(lab: Lab, quick: bool) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "versions": machine.versions(lab),
        "machine": machine.machine(lab.folder),
    }


def _results(lab: Lab, only: frozenset[str]) -> Results:
    lab.stock.prepare(lab.scale.stock_for_memory if "memory" in only else lab.scale.stock)
    results = Results()
    if only & {"throughput", "latency"}:  # full load is what latency is measured against
        results.throughput = throughput.measure(lab)
    if "latency" in only and results.throughput:
        results.latency = latency.measure(lab, results.throughput)
    if "routes" in only:
        results.routes = many_routes.measure(lab)
    if "memory" in only:
        results.memory = memory.measure(lab)
    if "million" in only:
        results.million = million.measure(lab)
    results.others = [measure(lab) for name, measure in OTHERS.items() if name in only]
    return results


def _print(document: dict[str, Any], json_file: str | None) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=2)
    if json_file == "-":
        click.echo(text)
        return
    if json_file:
        Path(json_file).write_text(text + "\n", "utf-8")
    show(document, Console())


if __name__ == "__main__":
    main()
