"""`swexchange topology`: what must exist in RabbitMQ, declared, checked or printed for an admin."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from swexchange.broker import Topology, admin, management
from swexchange.broker.topology import commands, definitions
from swexchange.cli import exits
from swexchange.cli.output import emit, table
from swexchange.cli.root import cli
from swexchange.cli.wiring_broker import server
from swexchange.evidence.witness import read_keys
from swexchange.health.problem import Danger, Problem
from swexchange.rules.load import load_parties
from swexchange.settings import Settings


@cli.group()
def topology() -> None:
    """Exchanges, queues and permissions in RabbitMQ."""


def wanted(settings: Settings) -> Topology:
    """The topology for participants of routes.yaml and witnesses; who is behind an upstream has its own there."""
    participants, _ = load_parties(Path(settings.routes))
    local = tuple(p.id for p in participants.values() if not p.upstream)
    return Topology(local, tuple(key.name for key in read_keys(settings.witnesses)))


@topology.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def check(settings: Settings, as_json: bool) -> None:
    """Say what is missing or could lose messages; changes nothing.

    AMQP shows what is missing. With SWX_MANAGEMENT_URL the settings of queues and policies are
    checked too: queue type, overflow, delivery limit, expiry, dead-lettering. Exit code 1: problems
    other than risks.
    """
    found = problems(settings, wanted(settings))
    rows = [asdict(problem) for problem in found]
    emit(rows, as_json, lambda: table([(p.name, p.what, p.do) for p in found]) if found else click.echo("all well"))
    raise SystemExit(exits.PROBLEMS if any(p.danger is not Danger.RISK for p in found) else exits.DONE)


def problems(settings: Settings, topology: Topology) -> list[Problem]:
    """What is wrong with the topology, as deep as the settings allow to look."""
    broker = server(settings)
    if settings.management_url:
        vhost = broker.parameters().virtual_host
        return management.check(management.Management(settings.management_url), topology, vhost)
    return admin.check(broker, topology)


@topology.command()
@click.pass_obj
def apply(settings: Settings) -> None:
    """Declare everything that the participants of routes.yaml need; what exists stays.

    The user of SWX_AMQP_URL must be allowed to configure. Users and permissions are not made:
    `topology export` prints them.
    """
    needed = wanted(settings)
    admin.apply(server(settings), needed)
    click.echo(f"{len(needed.exchanges())} exchanges and {len(needed.queues())} queues are declared")


@topology.command()
@click.option("--commands", "as_commands", is_flag=True, help="Shell commands instead of a definitions file.")
@click.option("--release", default="", help="For this RabbitMQ version (default: ask the broker).")
@click.option("--vhost", default="/", show_default=True)
@click.pass_obj
def export(settings: Settings, as_commands: bool, release: str, vhost: str) -> None:
    """Print the topology with users and permissions, as a RabbitMQ definitions file.

    Users come without a password; set it with `rabbitmqctl change_password`.

    \b
    Examples:
      swexchange topology export --release 3.10.8 > definitions.json
      swexchange topology export --commands
    """
    needed = wanted(settings)
    version = release or admin.server_version(server(settings))
    if as_commands:
        click.echo("\n".join(commands(needed, version, vhost)))
    else:
        click.echo(json.dumps(definitions(needed, version, vhost), indent=2))
