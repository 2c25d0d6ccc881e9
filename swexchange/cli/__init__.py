"""The command line: parses options, builds objects, calls, prints. No logic of the exchange.

Noun, then verb. Data goes to stdout, everything else to stderr. Exit codes:
docs/reference/commands.md.
"""

from __future__ import annotations

from swexchange.cli import (
    audit,
    backlog,
    db,
    doctor,
    evidence,
    held,
    keys,
    messages,
    replay,
    replay_run,
    routes,
    routes_diff,
    run,
    schemas,
    status,
    topology,
    traffic,
    witness,
)
from swexchange.cli.root import cli

__all__ = [
    "audit",
    "backlog",
    "cli",
    "db",
    "doctor",
    "evidence",
    "held",
    "keys",
    "main",
    "messages",
    "replay",
    "replay_run",
    "routes",
    "routes_diff",
    "run",
    "schemas",
    "status",
    "topology",
    "traffic",
    "witness",
]


def main() -> None:
    """The entry point of the `swexchange` command."""
    cli(prog_name="swexchange")
