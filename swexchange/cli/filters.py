"""The options by which commands choose exchanges: the same for search, what-if and replay."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce, wraps
from typing import Any

import click

from swexchange.cli.output import moment_option
from swexchange.core.model import BusinessKey
from swexchange.store import Filter

_OUTCOMES = click.Choice(["", "accepted", "rejected", "waiting"])
_OPTIONS = (
    click.option("--exchange", "exchanges", multiple=True, metavar="ID", help="This exchange (may be repeated)."),
    click.option("--message-id", default="", help="The sender's id of the message (CopMsgId)."),
    click.option("--key", metavar="[NAME=]VALUE", help="A business key: EntryId=..., BillNo=..., any BizKey."),
    click.option("--sender", default="", help="The participant who signed it."),
    click.option("--receiver", default="", help="A participant who got a copy."),
    click.option("--type", "type", default="", help="The message type."),
    click.option("--outcome", default="", type=_OUTCOMES, help="The decision."),
    click.option("--code", default="", help="The first code of the receipt."),
    click.option("--route", default="", help="The route or routes it took, as `audit show` has them."),
    moment_option("--since", "Received at or after this time, or so long ago: 2026-11-24, 7d, 12h."),
    moment_option("--until", "Received before this time."),
)
_NAMES = frozenset(Filter.__dataclass_fields__) - {"after", "limit"}


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose exchanges; the command gets them as one argument, `wanted`, a Filter."""

    @wraps(command)
    def with_filter(*args: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in _NAMES}
        return command(*args, wanted=Filter(**{**given, "key": _key(given["key"])}), **options)

    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_filter)


def _key(text: str | None) -> BusinessKey | None:
    if text is None:
        return None
    name, equals, value = text.partition("=")
    return BusinessKey(name, value) if equals else BusinessKey("", text)
