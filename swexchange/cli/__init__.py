"""The command line: parses options, builds objects, calls, prints. No logic of the exchange.

Noun, then verb. Data goes to stdout, everything else to stderr. Exit codes:
docs/reference/commands.md.
"""

from __future__ import annotations

from swexchange.cli.root import cli
from swexchange.cli.stopping import tidy_up_on_signals

__all__ = ["cli", "main"]


def main() -> None:
    """The entry point of the `swexchange` command."""
    tidy_up_on_signals()
    cli(prog_name="swexchange")
