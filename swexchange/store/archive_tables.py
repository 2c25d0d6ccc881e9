"""The table of archive files: which leaves lie in which. docs/reference/evidence.md."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from swexchange.store.tables import metadata

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
)
