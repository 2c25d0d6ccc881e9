"""Where the time of one worker goes: its main thread under cProfile, and processor time by process."""

from __future__ import annotations

import io
import pstats
import sys
from pathlib import Path

from swexchange.broker.topology import inbox
from tests.bench import daemon
from tests.bench.lab import Lab
from tests.bench.parties import AGENCY
from tests.bench.run import Job, run, setup_of

LINES = 45


def profile(lab: Lab, database: str) -> str:
    """A run without the profiler for figures, one with it for the functions, as text.

    The profiler makes small functions look dearer than they are, and does not see the threads
    that speak to the broker.
    """
    lab.stock.prepare(lab.scale.messages)
    lab.progress.expect(2)
    with lab.fresh(database) as url:
        plain = run(lab, Job(database, url, 0, lab.scale.messages))
    text = (
        f"{plain.rate.per_second:,.0f} msg/s with one worker; processor time a message, in µs: {dict(plain.cpu_us)}\n"
    )
    lab.progress.done(text.strip())
    file = lab.folder / "profile"
    with lab.fresh(database) as url:
        _run(lab, Job(database, url, 0, lab.scale.messages), file)
    lab.progress.done("profiled")
    return text + _top(file)


def _run(lab: Lab, job: Job, file: Path) -> None:
    lab.node.fill(lab.stock.submissions(job.first, job.count))
    with daemon.running(setup_of(lab, job), (sys.executable, "-m", "cProfile", "-o", str(file))) as worker:
        worker.wait_started()
        lab.node.until(inbox(AGENCY), job.count, worker.alive)
        worker.stop()
    lab.node.purge()


def _top(file: Path) -> str:
    text = io.StringIO()
    stats = pstats.Stats(str(file), stream=text).sort_stats("tottime")
    stats.print_stats(LINES)
    stats.sort_stats("cumulative").print_stats(r"swexchange/", LINES)
    return text.getvalue()
