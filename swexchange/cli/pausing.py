"""The option `--fast` of commands that work beside the traffic."""

from __future__ import annotations

import time

import click

from swexchange.evidence.pace import Pace, no_pause


def _pause(_context: click.Context, _option: click.Parameter, fast: bool) -> object:
    return no_pause if fast else Pace(time.sleep)


fast_option = click.option(
    "--fast",
    "pause",
    is_flag=True,
    callback=_pause,
    help="Without pauses, in a fifth of the time: messages wait longer meanwhile.",
)
"""Gives the command its `pause`."""
