"""`swexchange db`: the database's version and health."""

from __future__ import annotations

import click

from swexchange.cli import exits
from swexchange.cli.output import say
from swexchange.cli.root import cli
from swexchange.settings import Settings
from swexchange.store import migrate, version


@cli.group()
def db() -> None:
    """Make and check the database."""


@db.command()
@click.pass_obj
def upgrade(settings: Settings) -> None:
    """Bring the database to the version this program needs; makes it where there is none.

    Back the database up first. A step that fails leaves it as it was.

    \b
    Example:
      SWX_DATABASE_URL=postgresql://swx@127.0.0.1/swx swexchange db upgrade
    """
    before, after = migrate.upgrade(settings.database_url)
    click.echo(f"version {after}" + (f", was {before}" if before and before != after else ""))


@db.command()
@click.pass_obj
def check(settings: Settings) -> None:
    """Check that the database is of the right version, undamaged (SQLite) and without triggers that are not ours.

    Exit code 1: it is not.
    """
    problems = version.check(settings.database_url)
    for problem in problems:
        say(problem)
    if not problems:
        click.echo("all well")
    raise SystemExit(exits.PROBLEMS if problems else exits.DONE)
