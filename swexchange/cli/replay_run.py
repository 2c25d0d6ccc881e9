"""`swexchange replay run`: sends what was planned, carefully."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from swexchange.broker import Outlet
from swexchange.cli import exits
from swexchange.cli.operator import operator
from swexchange.cli.progress import progress
from swexchange.cli.replay import replay, show
from swexchange.cli.wiring import load_rules
from swexchange.cli.wiring_broker import server
from swexchange.clock import utc_now
from swexchange.core.replay import Done, How
from swexchange.errors import Fault
from swexchange.replay.run import Accepting, Ending, Pace, Run
from swexchange.rules.load import load_remote
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from swexchange.store import Runner, Running, open_ledger, open_running

_EXITS = {Ending.COMPLETE: exits.DONE, Ending.CANARY_DONE: exits.DONE}


@replay.command()
@click.argument("plan_id", metavar="PLAN")
@click.option("--reason", required=True, help="Why; it stands in the record.")
@click.option("--canary", default=10, show_default=True, type=click.IntRange(0), help="Send so many first.")
@click.option("--canary-only", is_flag=True, help="End after the canary; the next run goes on.")
@click.option("--rate", default=0, type=click.IntRange(0), help="Items a second at most (default: as fast as it goes).")
@click.option(
    "--most-failed",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Stop once more than this share of the last 1,000 items failed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def run(settings: Settings, /, plan_id: str, reason: str, as_json: bool, **pace: int | float | bool) -> None:
    """Send a plan. Ids stay as they were, and the header swx-replay says which replay sends.

    The canary goes first and must arrive whole. What concerns the same declaration keeps its
    order. Ctrl-C stops after what is in hand; running it again goes on where it stopped, also
    after a crash, and tries again what failed. Two runs of one plan, and two replays of one
    exchange at a time, are impossible.

    Exit code 0: all sent; 1: to the end, but some failed; 3: broker, database or lease not to be had;
    4: stopped by you, by the canary or by --most-failed.

    \b
    Example:
      swexchange replay run 019cac2a9dc0-5f3e12ab --reason 'customs lost its queue, ticket 4711' --rate 200
    """
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    careful = Pace(
        canary=int(pace["canary"]),
        canary_only=bool(pace["canary_only"]),
        rate=int(pace["rate"]),
        most_failed=pace["most_failed"] / 100,
        together=settings.batch,
    )
    runner = Runner(f"{operator()} process {os.getpid()} {os.urandom(4).hex()}", operator(), reason)
    with open_running(settings.database_url, plan_id, runner, settings.batch_bytes) as running:
        try:
            ending = _run(settings, running, plan_id, careful)
        except KeyboardInterrupt:  # before anything was in hand
            ending = Ending.ASKED
            click.echo(f"{ending}: nothing was sent", err=True)
        found = running.get(plan_id)
    show(settings, found, as_json)
    failed = found.counts.get("failed", 0)
    raise SystemExit(exits.PROBLEMS if ending is Ending.COMPLETE and failed else _EXITS.get(ending, exits.STOPPED))


def _run(settings: Settings, running: Running, plan_id: str, pace: Pace) -> Ending:
    planned = running.get(plan_id)
    with _accepting(settings, planned.how) as accepting:
        # All that sending stored copies asks of the rules.
        remote = accepting.rules.remote if accepting else load_remote(Path(settings.routes)).keys()
        running.take(accepting.rules.digest if accepting else "", utc_now(), remote)
        left = planned.items - planned.counts.get("sent", 0)
        stop = threading.Event()
        why = "broken off"
        try:
            with Outlet(server(settings), settings.confirm_seconds) as outlet, progress("replaying", left) as advance:

                def tell(done: Sequence[Done]) -> None:
                    advance(len(done))

                run_ = Run(plan_id, running, outlet, utc_now, stop.wait, accepting, pace, tell)
                _stop_on_signals(run_, stop)
                ending = run_.go()
                why = str(ending)
        except Fault as fault:
            why = str(fault)
            raise
        finally:
            running.end(why, utc_now(), complete=why == Ending.COMPLETE)
            if why != Ending.COMPLETE and running.get(plan_id).state == "stopped":
                click.echo(f"{why}; `swexchange replay run {plan_id} --reason ...` goes on", err=True)
    return ending


@contextmanager
def _accepting(settings: Settings, how: str) -> Iterator[Accepting | None]:
    """Today's rules and the ledger, for a replay that may accept messages."""
    if how != How.DECIDE:
        yield None
        return
    with Explainer(proven=settings.cache_folder) as explainer, open_ledger(settings.database_url) as ledger:
        yield Accepting(load_rules(settings, explainer), ledger)


def _stop_on_signals(run_: Run, stop: threading.Event) -> None:
    def on_signal(*_: object) -> None:
        run_.stop()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
