"""`swexchange run`: the daemon. Each of its processes is this command, and imports what its own part needs."""

from __future__ import annotations

import signal

import click

from swexchange.cli.root import cli
from swexchange.observe.logs import configure_logs
from swexchange.settings import Settings


@cli.command()
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that share the work."
)
@click.option("--number", type=click.IntRange(0), help="Be this one process alone, with none beside it.")
@click.option("--upstream", default="", help="Serve this upstream alone: forward to it, take what it sends.")
@click.option("--sealer", "is_sealer", is_flag=True, help="Seal the audit log alone: take no messages.")
@click.option("--no-check", is_flag=True, help="Start without these checks, even where messages would be lost.")
@click.pass_obj
def run(settings: Settings, workers: int, number: int | None, upstream: str, is_sealer: bool, no_check: bool) -> None:
    """Take messages until SIGTERM or Ctrl-C: the batch in hand is finished first.

    SIGHUP reads routes.yaml, schemas and keys again; a changed routes.yaml is noticed without it.
    The database must be at the current version (`swexchange db upgrade`) and the topology must
    exist (`swexchange topology apply`).

    Each upstream of routes.yaml gets a process of its own beside the workers; one that is added
    later gets it at the next start, and what is for it waits until then. With SWX_AUDIT_KEY, one more
    seals the audit log and has it witnessed; it is niced, and gives way to messages. A database that
    lacks what the log has signed is refused by all of them at their start: exit code 2.

    It looks first whether the database, queues or policies would lose messages (the latter need
    SWX_MANAGEMENT_URL), and asks the log's witnesses whether they have seen more of it, for 5 s at
    most; if so it does not start: exit code 2. All else is logged as a warning, and so is what is
    wrong at an upstream's broker: it is not ours to mend. Replaced workers start without this.

    \b
    Examples:
      swexchange run
      swexchange run --workers 2
      swexchange run --number 1
      swexchange run --upstream province
      swexchange run --sealer
    """
    # Until the rules are read there is nothing to read again; by default the signal would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # before anything was taken, it may end the process
    configure_logs(settings.log, settings.log_level)
    if is_sealer and upstream:
        raise click.UsageError("--sealer and --upstream are different processes")
    if is_sealer and workers != 1:
        raise click.UsageError("--sealer takes no messages: it has no --workers")
    # Imported here: the sealer needs neither rules nor schemas, and the others not what only it needs.
    if is_sealer:
        from swexchange.cli.sealing import seal  # noqa: PLC0415

        seal(settings, number or 0)
    else:
        from swexchange.cli.start import start  # noqa: PLC0415

        start(settings, workers, number, upstream, no_check=no_check)
