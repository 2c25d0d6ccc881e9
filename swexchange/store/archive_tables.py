"""The tables of archive files, which leaves lie in which, and of legal holds. docs/reference/evidence.md."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from swexchange.store.tables import Number, metadata

archive = Table(
    "archive",
    metadata,
    Column("first_leaf", BigInteger, primary_key=True, autoincrement=False),
    Column("leaves", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the file
    Column("size", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),  # when the first of its exchanges came; 0: it has none
    Column("until", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("emptied_at", BigInteger),  # none of its messages is in the database any more
    Column("rows_gone_at", BigInteger),  # nor any of its exchanges and events
)

gone = Table(  # spans of the Merkle log of which rows were pruned
    "gone",
    metadata,
    Column("first_leaf", BigInteger, primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False),
)

taken = Table(  # what accepted exchanges took whose rows are gone
    "taken",
    metadata,
    Column("identity", Text, primary_key=True),
    Column("exchange_id", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

hold = Table(
    "hold",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("wanted", Text, nullable=False),  # JSON: what it holds
    Column("placed_at", BigInteger, nullable=False),
    Column("placed_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("lifted_at", BigInteger),
    Column("lifted_by", Text, nullable=False, server_default=""),
    Column("lifted_why", Text, nullable=False, server_default=""),
)
