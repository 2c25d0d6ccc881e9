"""The command line: parses options, builds objects, calls, prints. No logic of the exchange.

Noun, then verb. Data goes to stdout, everything else to stderr. Exit codes:
docs/reference/commands.md.
"""

from __future__ import annotations

from swexchange.cli.root import cli

__all__ = ["cli", "main"]


def main() -> None:
    """The entry point of the `swexchange` command."""
    cli(prog_name="swexchange")
