"""Where the store believes what a row says: one that was changed by hand is a DamagedRow that names it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Column, Table

from swexchange.errors import DamagedRow

Made = TypeVar("Made")
OnDamage = Callable[[DamagedRow], object]
"""Told of a row that a daemon leaves aside, to go on with the others."""

_WRONG = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class Partly(dict[str, Any]):
    """A shape of an object in which names may be missing."""


@contextmanager
def readable(table: Table, row: object, column: str = "") -> Iterator[None]:
    """Around whatever makes values of a row, known by `row`, or of one column of it. Raises DamagedRow."""
    try:
        yield
    except _WRONG as error:
        part = f"column {column} of " if column else ""
        raise DamagedRow(
            f"{part}{table.name} {row} cannot be read: {error}",
            where=f"table {table.name}",
            do="Somebody changed it: `swexchange audit verify` finds what else. Put back what a backup has",
        ) from error


def ignore(_: DamagedRow) -> None:
    """The OnDamage of who is told of a damaged row by other means."""


def sort_out(
    make: Callable[[Mapping[Any, Any]], Made], found: Iterable[Mapping[Any, Any]], on_damage: OnDamage
) -> tuple[list[Made], list[Mapping[Any, Any]]]:
    """What is made of rows, and apart from it the rows of which nothing can be made, which is told."""
    made: list[Made] = []
    damaged: list[Mapping[Any, Any]] = []
    for row in found:
        try:
            made.append(make(row))
        except DamagedRow as fault:
            on_damage(fault)
            damaged.append(row)
    return made, damaged


def read_json(column: Column[Any], row: object, text: str, shape: Any) -> Any:
    """The value that JSON text in a column of a row says, which must have a shape. Raises DamagedRow.

    A shape is a type; [shape] of a list's every value; a tuple of shapes, of a list's values in order; or a
    dict of shapes by name, all of which must be there unless it is a `Partly`.
    """
    with readable(column.table, row, column.name):
        told = json.loads(text)
        if "\\u" in text:  # half a surrogate pair is JSON, and no text that could be stored, sent or printed
            json.dumps(told, ensure_ascii=False).encode()
        if not _fits(told, shape):
            raise ValueError("it is JSON of another form")
        return told


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, type):
        return type(value) is shape  # True is no number
    if isinstance(shape, dict):
        return isinstance(value, dict) and _has_members(value, shape)
    if not isinstance(value, list):
        return False
    if isinstance(shape, list):
        return all(_fits(one, shape[0]) for one in value)
    # Nearly always texts alone, and compared at once.
    return tuple(map(type, value)) == shape or (len(value) == len(shape) and all(map(_fits, value, shape)))


def _has_members(value: dict[str, Any], shape: dict[str, Any]) -> bool:
    is_complete = isinstance(shape, Partly) or len(value) == len(shape)
    return is_complete and all(name in shape and _fits(one, shape[name]) for name, one in value.items())
