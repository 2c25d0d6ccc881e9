"""The ledger: one durable transaction a batch, and what is still owed afterwards.

Implements pipeline.Ledger; `owed.py` adds forwarder.Outstanding. Reading for people is `audit_log.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from swexchange.core.codes import ACCEPTED
from swexchange.core.identity import is_claim
from swexchange.core.model import (
    BusinessKey,
    Candidate,
    Copy,
    Decision,
    Entry,
    Event,
    Fate,
    Happening,
    Kind,
    Outcome,
    Recorded,
)
from swexchange.crashpoint import crashpoint
from swexchange.store import rows, tables
from swexchange.store.archive_tables import taken
from swexchange.store.candidates import among, candidates, is_among
from swexchange.store.engine import as_sqlalchemy, is_sqlite
from swexchange.store.fates import mark_all, note, this_copy
from swexchange.store.known_rules import KnownRules
from swexchange.store.readable import OnDamage, ignore, sort_out
from swexchange.store.tables import batch, business_key, copy, exchange

POSITIONS = 65_536  # seq = batch number * POSITIONS + position in the batch


class Book:
    """One open transaction: see pipeline.Book."""

    def __init__(self, connection: Connection, number: int, now: int, on_damage: OnDamage) -> None:
        self.batch, self._connection, self._now, self._on_damage = number, connection, now, on_damage
        self._next = number * POSITIONS

    def known(self, identities: Collection[str]) -> Mapping[str, Recorded]:
        """The recorded decisions among these identities."""
        found = among(self._connection, _known, identities).mappings().all()
        # Later than the rows: an exchange that is pruned meanwhile is in one of the two.
        return self._gone(filter(is_claim, identities)) | {row["identity"]: self._recorded(row) for row in found}

    def _gone(self, claims: Iterable[str]) -> dict[str, Recorded]:
        """What accepted exchanges took whose rows were pruned; their receipts lie in archive files."""
        return {
            row.identity: Recorded(row.exchange_id, bytes(row.digest), Outcome.ACCEPTED, ACCEPTED, None)
            for row in among(self._connection, _pruned, list(claims))
        }

    def accepted_bytes(self, wanted: Collection[tuple[str, bytes]]) -> Mapping[tuple[str, bytes], Recorded]:
        """Accepted or waiting exchanges of these submitters with these digests."""
        digests = {"digests": [digest for _, digest in wanted]}
        found = self._connection.execute(_same_bytes, digests).mappings().all()
        own = (row for row in found if (row["submitter"], bytes(row["digest"])) in wanted)
        return {(row["submitter"], bytes(row["digest"])): self._recorded(row) for row in own}

    def _recorded(self, row: rows.Row) -> Recorded:
        copies = self._connection.execute(_copies_of, {"of": row["seq"]}).mappings().all()
        # A damaged copy is not sent again. Its exchange is known all the same: nothing takes effect twice.
        owed = (c for c in copies if c["kind"] == Kind.RECEIPT or _is_owed(c))
        sendable, _ = sort_out(rows.copy_of, owed, self._on_damage)
        return Recorded(
            exchange_id=row["exchange_id"],
            digest=bytes(row["digest"]),
            outcome=rows.outcome_of(row),
            code=row["code"],
            receipt=next((c for c in sendable if c.kind is Kind.RECEIPT), None),
            unsent=tuple(c for c in sendable if c.kind is not Kind.RECEIPT),
        )

    def candidates(self, answer: Decision) -> Mapping[BusinessKey, Sequence[Candidate]]:
        """By key of an answer, the oldest accepted exchange that it may belong to; see pipeline.Book."""
        return candidates(self._connection, answer)

    def record(self, entries: Sequence[Entry]) -> None:
        """Add decisions with their bytes, keys and copies, in this order."""
        if not entries:
            return
        numbered = [(entry, self._next + i) for i, entry in enumerate(entries)]
        self._next += len(entries)
        copies = [row for entry, seq in numbered for row in rows.copy_rows(entry, seq, self._now)]
        # In order of the index, so that neighbours are written together.
        keys = sorted(row for entry, seq in numbered for row in rows.key_rows(entry.decision, seq))
        add_rows(self._connection, exchange, [rows.exchange_row(entry, seq, self.batch) for entry, seq in numbered])
        add_rows(self._connection, copy, copies)
        add_rows(self._connection, business_key, keys)

    def requeue(self, copies: Sequence[Copy]) -> None:
        """Have the forwarder send copies once more, but those that an operator dropped."""
        queued = {"state": "queued", "due_at": self._now, "tries": 0}
        for again in copies:
            kept = or_(copy.c.state.is_(None), copy.c.state != "dropped")
            self._connection.execute(update(copy).where(this_copy(again), kept).values(queued))

    def note(self, happenings: Iterable[Happening]) -> None:
        """Add events to audit trails."""
        note(self._connection, happenings, self._now)


_recorded_columns = select(
    *(exchange.c[n] for n in ("seq", "identity", "exchange_id", "submitter", "digest", "outcome", "code"))
)
_copies_columns = (
    select(
        *(copy.c[name] for name in ("seq", "n", "kind", "recipient", "state", "tries", "replay")),
        copy.c.body.label("receipt"),
        *(exchange.c[name] for name in ("exchange_id", "sender", "message_id", "type", "digest", "body")),
        exchange.c.parent_message_id,
        batch.c.settled_at,
    )
    .join_from(copy, exchange, copy.c.seq == exchange.c.seq)
    .join(batch, batch.c.id == exchange.c.batch_id)
)


def _one_of(query: Select[Any], column: ColumnElement[str]) -> Mapping[bool, Select[Any]]:
    """The rows whose column is one of many values, sent as one: by whether it is SQLite that is asked."""
    return {of_sqlite: query.where(is_among(column, "values", of_sqlite)) for of_sqlite in (True, False)}


# Made once, as all that is asked for every batch: SQLAlchemy takes longer to make a statement than to run it.
_known = _one_of(_recorded_columns, exchange.c.identity)
_pruned = _one_of(select(taken), taken.c.identity)
_same_bytes = _recorded_columns.where(
    exchange.c.digest.in_(bindparam("digests", expanding=True)), exchange.c.outcome != str(Outcome.REJECTED)
)
_copies_of = _copies_columns.where(exchange.c.seq == bindparam("of"))


def copies_query() -> Any:
    """A select of everything that rows.copy_of needs."""
    return _copies_columns


def _is_owed(row: rows.Row) -> bool:
    """Whether our own broker still has to get it; what is queued is the forwarder's."""
    return rows.copy_state(row["state"], row["settled_at"]) in ("due", "unsettled")


def add_rows(connection: Connection, table: Table, values: Sequence[Sequence[Any]]) -> None:
    """Add whole rows, their values in the order of the table's columns, the cheapest way that the database has."""
    if values:
        (_add_many if is_sqlite(connection) else _copy_in)(connection, table, values)
    crashpoint("table-recorded")  # of the same transaction others are missing yet


def _add_many(connection: Connection, table: Table, values: Sequence[Sequence[Any]]) -> None:
    marks = ",".join("?" * len(table.columns))
    statement = f"INSERT INTO {table.name} VALUES ({marks})"  # noqa: S608 - a name of ours
    connection.exec_driver_sql(statement, [tuple(row) for row in values])


def _copy_in(connection: Connection, table: Table, values: Sequence[Sequence[Any]]) -> None:
    """PostgreSQL's COPY: one statement for all rows, the cheapest way in on both sides."""
    names = ",".join(column.name for column in table.columns)
    statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    with as_sqlalchemy(connection, statement), driver.cursor() as cursor, cursor.copy(statement) as pipe:
        pipe.set_types([_PG_TYPES[str(column.type)] for column in table.columns])
        for row in values:
            pipe.write_row(row)


_PG_TYPES = {"BIGINT": "int8", "INTEGER": "int8", "SMALLINT": "int2", "TEXT": "text", "BLOB": "bytea", "BYTEA": "bytea"}


class Ledger(KnownRules):
    """A database as pipeline.Ledger; for one thread. Close it."""

    def __init__(self, url: str, on_damage: OnDamage = ignore) -> None:
        super().__init__(url)
        self._on_damage = on_damage

    @contextmanager
    def write(self, identities: Collection[str], now: datetime, rules_digest: str) -> Iterator[Book]:
        """Open a transaction that no other writer of these identities overlaps; see pipeline.Ledger."""
        with self._writing() as connection:
            if is_sqlite(connection):  # BEGIN IMMEDIATE: there is no other writer at all
                number = connection.execute(_next_number).scalar_one()
            else:
                connection.execute(_lock, {"hashes": sorted(_hash(identity) for identity in identities)})
                number = connection.execute(_draw_number).scalar_one()
            at = rows.microseconds(now)
            # Even when nothing will be recorded: a number used twice would let one worker settle another's batch.
            connection.execute(_new_batch, {"id": number, "rules_digest": rules_digest, "committed_at": at})
            yield Book(connection, number, at, self._on_damage)

    def settle(self, batch_number: int, failed: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        """Note that a batch was published, but for the copies that failed; see pipeline.Ledger."""
        at = rows.microseconds(now)
        with self._writing(synced=False) as connection:
            connection.execute(_done, {"of": batch_number, "at": at})
            mark_all(connection, failed, at)

    def mark(self, fates: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        """Note the fates of copies that were sent again; see pipeline.Ledger."""
        at = rows.microseconds(now)
        with self._writing(synced=False) as connection:
            mark_all(connection, fates, at)
            resent = (Happening(c.exchange_id, Event.RESENT, c.to) for c, fate in fates if fate is Fate.CONFIRMED)
            note(connection, resent, at)


_new_batch = insert(batch)
_is_open = and_(batch.c.id == bindparam("of"), batch.c.settled_at.is_(None))
_done = update(batch).where(_is_open).values(settled_at=bindparam("at", type_=BigInteger))
_next_number = select(func.coalesce(func.max(batch.c.id), 0) + 1)
_draw_number = select(tables.batch_number.next_value())
_lock = select(func.pg_advisory_xact_lock(func.unnest(tables.hashes)))


def _hash(identity: str) -> int:
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], signed=True)
