"""The command line: parses options, builds objects, calls, prints. No logic of the exchange.

Noun, then verb. Data goes to stdout, everything else to stderr. Exit codes:
docs/reference/commands.md.
"""

from __future__ import annotations

import signal

from swexchange.cli.root import cli

__all__ = ["cli", "main"]


def main() -> None:
    """The entry point of the `swexchange` command. SIGTERM is as Ctrl-C: what was begun is tidied up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli(prog_name="swexchange")
