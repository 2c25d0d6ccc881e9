"""Which recorded exchange an answer may belong to, asked for all its keys at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Connection,
    Executable,
    Result,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
)

from swexchange.core.model import BusinessKey, Candidate, Decision, Kind, Outcome
from swexchange.store import rows
from swexchange.store.engine import is_sqlite
from swexchange.store.tables import business_key, copy, exchange

MESSAGE_ID = "MessageId"  # of an answer's keys: the envelope's own id instead of a business key


def candidates(connection: Connection, answer: Decision) -> Mapping[BusinessKey, Sequence[Candidate]]:
    """By key of an answer, the oldest accepted exchange that it may belong to."""
    found = _oldest(connection, answer)
    query = select(*_candidate_columns).where(exchange.c.seq.in_(found.values()))
    rows_found = connection.execute(query).mappings().all() if found else ()
    recipients = _recipients(connection, [row["seq"] for row in rows_found])
    by_seq = {
        row["seq"]: Candidate(
            exchange_id=row["exchange_id"],
            sender=row["sender"],
            message_id=row["message_id"],
            delivered_to=frozenset(recipients.get(row["seq"], ())),
            asker=rows.parent_of(row),
        )
        for row in rows_found
    }
    return {key: (by_seq[seq],) for key, seq in found.items()}


def _oldest(connection: Connection, answer: Decision) -> dict[BusinessKey, int]:
    """By key of an answer, the `seq` of the exchange: asked for all keys at once, of which there may be many."""
    of_sqlite = is_sqlite(connection)
    who = {"answerer": answer.sender, "asked_by": listed(answer.askers, of_sqlite), "anybody": not answer.askers}
    found: dict[BusinessKey, int] = {}
    for query, keys in (
        (_oldest_by_key, [key for key in answer.answers if key.name != MESSAGE_ID]),
        (_oldest_by_id, [key for key in answer.answers if key.name == MESSAGE_ID]),
    ):
        asked = {**who, "values": listed([key.value for key in keys], of_sqlite)}
        for value, seq, *name in connection.execute(query[of_sqlite], asked) if keys else ():
            found[BusinessKey(name[0] if name else MESSAGE_ID, value)] = seq
    return {key: found[key] for key in answer.answers if key in found}


def _recipients(connection: Connection, seqs: Sequence[int]) -> Mapping[int, list[str]]:
    query = select(copy.c.seq, copy.c.recipient).where(copy.c.seq.in_(seqs), copy.c.kind == Kind.MESSAGE)
    found: dict[int, list[str]] = {}
    for seq, recipient in connection.execute(query) if seqs else ():
        found.setdefault(seq, []).append(recipient)
    return found


def is_among(column: ColumnElement[str], name: str, of_sqlite: bool) -> ColumnElement[bool]:
    """Whether a column is one of the values of a parameter, which are `listed`."""
    if not of_sqlite:
        return column == func.any(bindparam(name, type_=ARRAY(Text)))
    return column.in_(select(func.json_each(bindparam(name, type_=Text)).table_valued("value").c.value))


def listed(values: Collection[str], of_sqlite: bool) -> str | list[str]:
    """Values as the parameter of `is_among`."""
    return json.dumps(list(values)) if of_sqlite else list(values)


def among(connection: Connection, query: Mapping[bool, Executable], values: Collection[str]) -> Result[Any]:
    """What a query with `is_among` of "values" finds; `query` has it by whether SQLite is asked."""
    of_sqlite = is_sqlite(connection)
    return connection.execute(query[of_sqlite], {"values": listed(values, of_sqlite)})


def _oldest_of(of_sqlite: bool, value: ColumnElement[str], *name: ColumnElement[str]) -> Select[Any]:
    """Of each value, and name, the oldest exchange with it that an answer may belong to.

    As `core.settle` has it; here as well, so that no number of other messages with a key hides the right one.
    """
    answerer = bindparam("answerer", type_=Text)
    got_it = copy.c.seq == exchange.c.seq, copy.c.kind == str(Kind.MESSAGE), copy.c.recipient == answerer
    anybody = bindparam("anybody", type_=Boolean)
    own = exchange.c.sender == answerer, exchange.c.parent_exchange_id.is_not(None)
    may_be_meant = or_(
        and_(*own, or_(anybody, is_among(exchange.c.parent_sender, "asked_by", of_sqlite))),
        and_(
            exchange.c.sender != answerer,
            or_(anybody, is_among(exchange.c.sender, "asked_by", of_sqlite)),
            exists().where(*got_it),
        ),
    )
    wanted = is_among(value, "values", of_sqlite), exchange.c.outcome == str(Outcome.ACCEPTED), may_be_meant
    columns: list[Any] = [value, func.min(exchange.c.seq), *name]
    return select(*columns).where(*wanted).group_by(value, *name)


# Made once: SQLAlchemy takes longer to make a statement than to run it.
_candidate_columns = tuple(
    exchange.c[name]
    for name in (
        "seq",
        "exchange_id",
        "sender",
        "message_id",
        "parent_exchange_id",
        "parent_sender",
        "parent_message_id",
    )
)
_carried = business_key.c.seq == exchange.c.seq
_oldest_by_key = {
    of_sqlite: _oldest_of(of_sqlite, business_key.c.value, business_key.c.name).where(_carried)
    for of_sqlite in (True, False)
}
_oldest_by_id = {of_sqlite: _oldest_of(of_sqlite, exchange.c.message_id) for of_sqlite in (True, False)}
