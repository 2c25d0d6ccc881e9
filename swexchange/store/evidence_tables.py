"""The tables of the Merkle log: which rows are its entries, its hashes, its checkpoints. docs/reference/evidence.md.

Nothing on the path of a message writes here, but for rules that decide for the first time: the sealer does, afterwards.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, Table, Text

from swexchange.store.tables import Number, metadata

rules = Table(
    "rules",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("known_keys", Text, nullable=False),  # JSON: every registered key with its validity
    Column("manifest", Text, nullable=False, server_default=""),  # the digest is its SHA-256; '' = it is not known
)
Index("rules_digest", rules.c.digest, unique=True)

sealed = Table(
    "sealed",
    metadata,
    Column("kind", Text, primary_key=True),  # 'batch': the exchanges of batches; 'event'; 'rules'
    Column("first", BigInteger, primary_key=True, autoincrement=False),  # numbers of batches, events or rules
    Column("last", BigInteger, nullable=False),
    Column("first_leaf", BigInteger, nullable=False),
    Column("leaves", BigInteger, nullable=False),
)
Index("sealed_leaf", sealed.c.first_leaf)

tile = Table(
    "tile",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),  # 1 to 256 of 32 bytes
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("made_at", BigInteger, nullable=False),
    Column("witnesses", SmallInteger, nullable=False),  # how many have signed
    Column("note", Text, nullable=False),  # signed; witnesses' signatures are added
)
