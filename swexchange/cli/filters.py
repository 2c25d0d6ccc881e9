"""The options by which commands choose exchanges: the same for search, what-if and replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from functools import reduce, wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from swexchange import yamlfile
from swexchange.cli.output import moment_option
from swexchange.core.canonical import local_time
from swexchange.core.model import BusinessKey
from swexchange.core.search import State
from swexchange.errors import ConfigFault
from swexchange.store import Filter
from swexchange.yamlfile import YamlFile

_OUTCOMES = click.Choice(["", "accepted", "rejected", "waiting"])
_OPTIONS = (
    click.option("--filter", "named", metavar="NAME", help="A filter of filters.yaml."),
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
_STATE = click.option(
    "--state",
    type=click.Choice([state.value for state in State]),
    help="It stands so now, or a copy of it does; with --receiver, the copy for that one.",
)
_NAMES = frozenset(Filter.__dataclass_fields__) - {"after", "limit"}


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose exchanges; the command gets them as one argument, `wanted`, a Filter."""
    return _STATE(lasting_filter_options(command))


def lasting_filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same without the state: what they find now they find for good, in archive files too."""

    @wraps(command)
    def with_filter(*args: Any, named: str | None, **options: Any) -> Any:
        chosen = {name: options.pop(name) for name in _NAMES & options.keys()}
        if named is not None:
            chosen |= _from_file(click.get_current_context(), named)
        return command(
            *args,
            wanted=Filter(**{**chosen, "key": _key(chosen["key"]), "state": _state(chosen.get("state"))}),
            **options,
        )

    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), with_filter)


def given(wanted: Filter) -> dict[str, Any]:
    """What a filter asks for, as JSON values; what it does not say is left out."""
    told = {name: value for name, value in dataclasses.asdict(wanted).items() if value and name in _NAMES}
    return {name: local_time(value) if isinstance(value, datetime) else value for name, value in told.items()}


def _from_file(context: click.Context, named: str) -> dict[str, Any]:
    """The options of a named filter that are not given by hand. Raises ConfigFault, or click's BadParameter."""
    file = yamlfile.read(Path(context.obj.filters))
    if not isinstance(file.data, dict) or not isinstance(file.data.get(named), dict):
        raise ConfigFault(f"there is no filter {named}", where=str(file.path), do="Write it there: name, then options")
    known = {option.opts[0][2:]: option for option in context.command.params if option.name in _NAMES}
    return {
        str(known[key].name): known[key].type_cast_value(context, value)
        for key, value in _checked(file, named, known)
        if context.get_parameter_source(str(known[key].name)) is ParameterSource.DEFAULT
    }


def _checked(file: YamlFile, name: str, known: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The options of a filter, each of a known name and as text; `exchange` may have several."""
    for key, value in file.data[name].items():
        texts = value if isinstance(value, list) and key == "exchange" else [value]
        if key not in known:
            raise file.fault(f"filters have no {key}", (name, key), f"Use one of {', '.join(sorted(known))}")
        if not all(isinstance(text, str) for text in texts):
            raise file.fault(f"{key} must be text", (name, key), "Only exchange may be a list")
        yield key, texts if key == "exchange" else value


def _state(text: str | None) -> State | None:
    return None if text is None else State(text)


def _key(text: str | None) -> BusinessKey | None:
    if text is None:
        return None
    name, equals, value = text.partition("=")
    return BusinessKey(name, value) if equals else BusinessKey("", text)
