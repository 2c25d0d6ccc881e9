"""The root command: global options, the list of commands, and the one place where faults become exit codes."""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import Any

import click

from swexchange import __version__
from swexchange.cli import exits
from swexchange.errors import ConfigFault, Fault, RulesInvalid
from swexchange.plain import plain
from swexchange.settings import Settings, from_environment

_MODULES = {
    "archive": ("archive", "archive_prune", "archive_search"),
    "audit": ("audit", "evidence", "reconcile", "witness"),
    "backlog": ("backlog",),
    "backup": ("backup",),
    "db": ("db",),
    "doctor": ("doctor",),
    "drill": ("drill",),
    "held": ("held",),
    "hold": ("hold",),
    "keys": ("keys",),
    "receive": ("traffic",),
    "replay": ("replay", "replay_run"),
    "restore": ("restore",),
    "routes": ("routes", "routes_diff"),
    "run": ("run",),
    "schemas": ("schemas",),
    "send": ("traffic",),
    "sign": ("messages",),
    "status": ("status",),
    "topology": ("topology",),
    "verify": ("messages",),
    "witness": ("witness",),
}


class Commands(MutableMapping[str, click.Command]):
    """The commands by name. A command's modules, which add it and what is below it, are imported at first use.

    All together need every library there is, and a second of processor time.
    """

    def __init__(self, modules: Mapping[str, Sequence[str]]) -> None:
        self._modules = modules
        self._added: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        for module in self._modules[name]:
            import_module(f"swexchange.cli.{module}")
        return self._added[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        assert name in self._modules, f"{name} is not listed: nobody could call it"
        self._added[name] = command

    def __delitem__(self, name: str) -> None:
        del self._added[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class FaultyGroup(click.Group):
    """A group whose faults, and Ctrl-C, end as one line on stderr and a documented exit code, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; faults and Ctrl-C become exit codes."""
        try:
            return super().invoke(ctx)
        except Fault as fault:
            # The interrupted driver may make a fault of its own of it.
            ctx.exit(_stopped() if _is_interrupted(fault) else _failed(fault))
        except KeyboardInterrupt:
            ctx.exit(_stopped())
        except OSError as error:  # of a file that nobody expected to fail: a full disk, a folder that may not be read
            if error.errno == errno.EPIPE:  # whoever read the output has seen enough: click ends it quietly
                raise
            say_fault(Fault(error.strerror or str(error), where=str(error.filename or "")))
            ctx.exit(exits.UNAVAILABLE)


def _failed(fault: Fault) -> int:
    """Say a fault; the exit code."""
    for one in fault.problems if isinstance(fault, RulesInvalid) else (fault,):
        say_fault(one)
    return exits.USAGE if isinstance(fault, ConfigFault) else exits.UNAVAILABLE


def _stopped() -> int:
    click.echo("stopped", err=True)
    return exits.STOPPED


def _is_interrupted(error: BaseException | None) -> bool:
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupted(error.__context__))


def say_fault(fault: Fault) -> None:
    """One line: where, what, what to do."""
    where = f"{fault.where}: " if fault.where else ""
    do = f". {fault.do}" if fault.do else ""
    click.echo(f"{plain(where)}{plain(fault.what, 1000)}{plain(do)}", err=True)


def _overridden(settings: Settings, given: Mapping[str, str | None]) -> Settings:
    return dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


@click.group(
    cls=FaultyGroup,
    commands=Commands(_MODULES),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
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
