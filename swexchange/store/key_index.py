"""Holds `business_key` against what it is an index of: the keys in exchanges' details, which are sealed in the log.

An exchange comes and goes in one transaction with its rows here. So at any one moment they agree, whatever is
recorded or pruned meanwhile: both sides are read in one statement, or in one snapshot. Both are added up first,
which is quick; only where the sums differ, every exchange and every row is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    bindparam,
    cast,
    exc,
    func,
    literal,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from swexchange.core.log import KeySum
from swexchange.errors import DamagedRow
from swexchange.store import rows
from swexchange.store.engine import is_sqlite
from swexchange.store.tables import business_key, exchange

LOWEST, HIGHEST = -(2**63), 2**63 - 1  # seq
PAGE = 2_000  # exchanges, or rows of the index, read in one statement
Range = tuple[int, int]
"""The first and the last `exchange.seq` of a run."""


def sum_of(connection: Connection, ranges: Iterable[Range], seed: int) -> KeySum:
    """What the keys of exchanges add up to; of a run with details that are no JSON, nothing."""
    _hurry(connection)
    found = KeySum()
    for first, last in ranges:
        asked = {"first": first, "last": last, "seed": seed}
        for keys in _unless_damaged(connection, _sums[is_sqlite(connection)], asked) or ():
            found += KeySum(*map(int, keys))
    return found


def whole_sum(connection: Connection, seed: int) -> KeySum:
    """What all rows of the index add up to."""
    keys = connection.execute(_whole[is_sqlite(connection)], {"seed": seed}).one()
    return KeySum(*map(int, keys))


def _hurry(connection: Connection) -> None:
    """PostgreSQL takes longer to compile statements like these than to run them."""
    if not is_sqlite(connection):
        connection.exec_driver_sql("SET LOCAL jit = off")


def _unless_damaged(connection: Connection, query: Select[Any], asked: dict[str, int]) -> Sequence[Any] | None:
    """What a query finds that reads details as JSON; None where the database cannot, of one of them."""
    try:
        with connection.begin_nested():
            return connection.execute(query, asked).all()
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        return None


def pages(connection: Connection, ranges: Iterable[Range]) -> Iterator[Range]:
    """Runs of PAGE exchanges, within longer ones. In a snapshot."""
    for first, last in ranges:
        start = first
        while (end := connection.execute(_end, {"first": start, "last": last, "most": PAGE - 1}).scalar()) is not None:
            yield start, end
            start = end + 1
        yield start, last


def not_indexed(connection: Connection, first: int) -> tuple[list[tuple[str, str]], int | None]:
    """Of a page of exchanges from a seq on, those with keys that have no row, and what; and where the next begins.

    In a snapshot. Of details that cannot be read nothing is said: their leaf is named for it.
    """
    _hurry(connection)
    start, end = next(pages(connection, [(first, HIGHEST)]))
    asked = {"first": start, "last": end}
    found = _unless_damaged(connection, _suspects[is_sqlite(connection)], asked)
    if found is None:
        found = connection.execute(_exchanges, asked).all()
    troubles = [(_place(row), what) for row in found if (what := _not_indexed(connection, row))]
    return troubles, end + 1 if end < HIGHEST else None


def _not_indexed(connection: Connection, row: Any) -> str:
    asked = ({"value": value, "name": name, "seq": row.seq} for name, value in _keys(row) or ())
    absent = [key for key in asked if connection.execute(_row, key).first() is None]
    if not absent:
        return ""
    more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
    return f"cannot be found by {absent[0]['name']}={absent[0]['value']}{more}: rows of business_key were removed"


def page_of_index(connection: Connection, after: tuple[str, str, int] | None) -> Sequence[Any]:
    """Rows of the index in its order, behind one of them, each with its exchange and the details of it."""
    behind = tuple_(*business_key.primary_key) > tuple_(*map(literal, after)) if after else true()
    return connection.execute(_with_details.where(behind).limit(PAGE)).all()


def unexplained(found: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Of such rows, those that the details of no exchange name: which exchange, and what."""
    for row in found:
        keys = () if row.exchange_id is None else _keys(row)
        if keys is not None and [row.name, row.value] not in keys:
            whose = "there is no such exchange" if row.exchange_id is None else "its details do not have it"
            yield _place(row), f"{row.name}={row.value} was added to business_key: {whose}"


def _keys(row: Any) -> Sequence[Sequence[str]] | None:
    """Names and values in an exchange's details; None where these cannot be read."""
    try:
        keys: Sequence[Sequence[str]] = rows.detail_of(row.exchange_id, row.detail).get("keys", ())
    except DamagedRow:
        return None
    return None if any("\0" in text for key in keys for text in key) else keys  # no text of the database has one


def _place(row: Any) -> str:
    return f"exchange {row.exchange_id or '-'} (seq {row.seq})"


def _keys_of(*, sqlite: bool) -> tuple[FromClause, ColumnElement[str], ColumnElement[str]]:
    """Exchanges joined with the keys in their details: each one's name and value."""
    if sqlite:
        keys = func.json_each(exchange.c.detail, "$.keys")
    else:
        keys = func.jsonb_array_elements(cast(exchange.c.detail, JSONB).op("->")(literal_column("'keys'")))
    listed = keys.table_valued("value", name="listed")
    part = listed.c.value.op("->>", return_type=Text())
    return exchange.join(listed, true()), part(literal_column("0")), part(literal_column("1"))


def _found(name: ColumnElement[str], value: ColumnElement[str]) -> ColumnElement[int]:
    """How many keys have a row: the whole of it, for any number of exchanges may have a value.

    PostgreSQL makes no join of a subquery like this: with one it might read all of the index for every page.
    """
    this = business_key.c.value == value, business_key.c.name == name, business_key.c.seq == exchange.c.seq
    return func.count(select(business_key.c.seq).where(*this).scalar_subquery())


def _weight(name: ColumnElement[str], value: ColumnElement[str], seq: ColumnElement[int]) -> ColumnElement[int]:
    """PostgreSQL: what rows add up to, by a hash that nobody knows before; twice as quick as to look for each."""
    hashed = func.hashint8extended(seq, bindparam("seed", type_=BigInteger))
    return func.coalesce(func.sum(func.hashtextextended(value, func.hashtextextended(name, hashed))), 0)


_inside = exchange.c.seq.between(bindparam("first"), bindparam("last"))
_told = exchange.c.seq, exchange.c.exchange_id, exchange.c.detail
_exchanges = select(*_told).where(_inside)
_end = select(exchange.c.seq).where(_inside).order_by(exchange.c.seq).offset(bindparam("most")).limit(1)
_row = select(business_key).where(*(column == bindparam(column.name) for column in business_key.primary_key))
_with_details = (
    select(business_key, exchange.c.exchange_id, exchange.c.detail)
    .outerjoin_from(business_key, exchange, exchange.c.seq == business_key.c.seq)
    .order_by(*business_key.primary_key)
)


def _sum(*, sqlite: bool) -> Select[Any]:
    exchanges, name, value = _keys_of(sqlite=sqlite)
    weight = _found(name, value) if sqlite else _weight(name, value, exchange.c.seq)
    columns: list[Any] = [func.count(), weight]
    return select(*columns).select_from(exchanges).where(_inside)


def _suspect(*, sqlite: bool) -> Select[Any]:
    exchanges, name, value = _keys_of(sqlite=sqlite)
    by_exchange = select(*_told).select_from(exchanges).where(_inside).group_by(exchange.c.seq)
    return by_exchange.having(func.count() != _found(name, value))


_index = business_key.c
_sums = {sqlite: _sum(sqlite=sqlite) for sqlite in (True, False)}  # made once
_suspects = {sqlite: _suspect(sqlite=sqlite) for sqlite in (True, False)}
_whole = {
    True: select(func.count(), func.count()).select_from(business_key),
    False: select(func.count(), _weight(_index.name, _index.value, _index.seq)),
}
