"""The root command: global options, the list of commands, and the one place where faults become exit codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from swexchange import __version__
from swexchange.cli import exits
from swexchange.errors import BrokerLost, ConfigFault, Fault, StoreDown
from swexchange.plain import plain
from swexchange.rules.sheet import RulesInvalid
from swexchange.settings import Settings, from_environment


class FaultyGroup(click.Group):
    """A group whose faults end as one clear line on stderr and a documented exit code, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; faults become exit codes."""
        try:
            return super().invoke(ctx)
        except RulesInvalid as invalid:
            for problem in invalid.problems:
                say_fault(problem)
            ctx.exit(exits.USAGE)
        except (BrokerLost, StoreDown) as fault:
            say_fault(fault)
            ctx.exit(exits.UNAVAILABLE)
        except Fault as fault:
            say_fault(fault)
            ctx.exit(exits.USAGE if isinstance(fault, ConfigFault) else exits.UNAVAILABLE)


def say_fault(fault: Fault) -> None:
    """One line: where, what, what to do."""
    where = f"{fault.where}: " if fault.where else ""
    do = f". {fault.do}" if fault.do else ""
    click.echo(f"{plain(where)}{plain(fault.what, 1000)}{plain(do)}", err=True)


def _overridden(settings: Settings, given: Mapping[str, str | None]) -> Settings:
    return dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


@click.group(cls=FaultyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="swexchange")
@click.option("--routes", metavar="FILE", help="The rules [SWX_ROUTES, routes.yaml].")
@click.option("--schemas", metavar="FOLDER", help="The schema families [SWX_SCHEMAS, schemas].")
@click.option("--keys", metavar="FOLDER", help="Private keys [SWX_KEYS, keys].")
@click.option("--database-url", metavar="URL", help="SQLite or PostgreSQL [SWX_DATABASE_URL].")
@click.option(
    "--amqp-url", metavar="URL", help="The broker [SWX_AMQP_URL]; better in the environment: it holds a password."
)
@click.pass_context
def cli(ctx: click.Context, /, **given: str | None) -> None:
    """Unified data channel and municipal data exchange platform of a trade Single Window.

    Settings come from SWX_* variables; options win over them.

    \b
    Examples:
      swexchange routes check              is routes.yaml right?
      swexchange routes explain FILE       where would this message go, and why?
      swexchange run --workers 2           the daemon
      swexchange audit search --key EntryId=530420261000000017
      swexchange doctor                    what is wrong on this machine?
    """
    ctx.obj = _overridden(from_environment(), given)
