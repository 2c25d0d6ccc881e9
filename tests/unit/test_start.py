"""What a command imports is what it needs: the rest would only make it start late."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import click
import pytest

import swexchange.cli
from swexchange.cli.root import cli


def test_every_command_is_known_by_name_before_it_is_imported() -> None:
    """The list names none that does not exist; a module that adds one that it does not name cannot be imported."""
    for module in pkgutil.iter_modules(swexchange.cli.__path__):
        import_module(f"swexchange.cli.{module.name}")
    assert {name: command.name for name, command in cli.commands.items()} == {name: name for name in cli.commands}
    with pytest.raises(AssertionError, match="not listed"):
        cli.add_command(click.Command("another"))


@pytest.mark.parametrize(
    ("imported", "unneeded"),
    [
        ("swexchange.cli", {"sqlalchemy", "pika", "prometheus_client"}),
        ("swexchange.cli.run", {"lxml", "sqlalchemy", "pika", "prometheus_client"}),
        ("swexchange.cli.start", {"sqlalchemy", "alembic", "swexchange.cli.work"}),
        ("swexchange.cli.checks", {"alembic", "swexchange.schemas", "swexchange.core.decide", "swexchange.cli.doctor"}),
        ("swexchange.cli.sealing", {"lxml", "alembic", "pika", "yaml", "swexchange.core.rulebook"}),
        ("swexchange.cli.asking", {"lxml", "alembic", "yaml", "swexchange.core.rulebook"}),
        ("swexchange.cli.work", {"alembic", "xmlschema"}),
        ("swexchange.cli.keys", {"sqlalchemy", "pika", "xmlschema"}),
        ("swexchange.cli.routes", {"sqlalchemy", "alembic", "xmlschema"}),
        ("swexchange.cli.audit", {"alembic", "xmlschema"}),
    ],
)
def test_what_is_not_needed_is_not_imported(imported: str, unneeded: set[str]) -> None:
    """The daemon's supervisor has no database, its workers no migrations, its sealer neither rules nor XML."""
    code = f"import sys, {imported}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert imported in done.stdout.split()
    assert not unneeded & set(done.stdout.split())
