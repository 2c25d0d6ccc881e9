"""The tables. Few rows a message, and rows that are only added: docs/reference/audit.md explains each.

Times are microseconds since 1970 in UTC; digests are 32 bytes. Texts never hold a NUL: XML
cannot, and what comes from AMQP properties is cleaned before.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    Table,
    Text,
    bindparam,
    func,
    or_,
    text,
)

metadata = MetaData()
batch_number = Sequence("batch_number", metadata=metadata)  # PostgreSQL's; SQLite counts on
THE_LOG = ""  # event.exchange_id of what happened to no exchange: to the log itself, to a replay, to a hold
ADDED = 16_384  # copy.n of the first copy that a replay added to an exchange: it is no part of what was decided then
hashes = bindparam("hashes", type_=ARRAY(BigInteger))

# Partial indexes. Queries use these very words: with a parameter, a database may not see that the index serves.
NOT_ACCEPTED, WAITING, DUE = text("outcome <> 'accepted'"), text("outcome = 'waiting'"), text("state = 'due'")
QUEUED = text("state = 'queued'")
OUTSTANDING, REPLAYED = text("state IN ('open', 'sending')"), text("state = 'sent'")

COPY_STATES = ("sent", "due", "queued", "dropped")  # what copy.state may say; any other word means nothing to anybody

Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite's own row number must be INTEGER

batch = Table(
    "batch",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("rules_digest", Text, nullable=False),
    Column("committed_at", BigInteger, nullable=False),
    Column("settled_at", BigInteger),  # every copy is confirmed, but for those that say otherwise
)
Index(
    "batch_unsettled",
    batch.c.committed_at,
    sqlite_where=text("settled_at IS NULL"),
    postgresql_where=text("settled_at IS NULL"),
)

exchange = Table(
    "exchange",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),  # batch id * 65536 + position in the batch
    Column("batch_id", BigInteger, nullable=False),
    Column("exchange_id", Text, nullable=False),
    Column("identity", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("submitter", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("envelope_edition", Text, nullable=False),
    Column("edition", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("detail", Text, nullable=False),  # JSON: head, findings, results, answers
    Column("parent_exchange_id", Text),
    Column("parent_sender", Text),
    Column("parent_message_id", Text),
    Column("tries", SmallInteger),  # of a waiting answer
    Column("next_try", BigInteger),
    Column("body", LargeBinary, nullable=False),  # the exact bytes; last, so that the rest is read without it
)
EXCHANGE_TEXTS = [column.name for column in exchange.c if isinstance(column.type, Text) and not column.nullable]
Index("exchange_digest", exchange.c.digest)
Index("exchange_identity", exchange.c.identity, unique=True)
Index("exchange_listing", exchange.c.exchange_id, exchange.c.type)  # ids sort by time
Index("exchange_sender", exchange.c.sender, exchange.c.exchange_id)
Index("exchange_message", exchange.c.message_id, exchange.c.sender)
for _part in ("outcome", "code"):
    Index(
        f"exchange_{_part}",
        exchange.c[_part],
        exchange.c.exchange_id,
        sqlite_where=NOT_ACCEPTED,
        postgresql_where=NOT_ACCEPTED,
    )
Index(
    "exchange_waiting",
    exchange.c.next_try,
    sqlite_where=WAITING,
    postgresql_where=WAITING,
)

NOTHING = hashlib.sha256(b"").digest()  # of a message without a byte: it has none to lose
# Or there never was one. A message that was pruned lies in an archive file; so does nothing that is still to be done.
HAS_BYTES = or_(func.length(exchange.c.body) > 0, exchange.c.digest == NOTHING)

copy = Table(
    "copy",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("n", SmallInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("body", LargeBinary),  # of a receipt; a message's is its exchange's
    Column("state", Text),  # NULL: as its batch says; 'sent'; 'due'; 'queued' for an upstream; 'dropped'
    Column("due_at", BigInteger),
    Column("sent_at", BigInteger),
    Column("tries", SmallInteger),
    Column("lane", Text),  # of a queued copy: what it must not overtake
    Column("replay", Text),  # of a copy that a replay queued: that replay, until it is sent; NULL: ordinary traffic
)
Index("copy_due", copy.c.due_at, sqlite_where=DUE, postgresql_where=DUE)
for _name, _columns in (
    ("copy_queued", (copy.c.recipient, copy.c.seq, copy.c.due_at, copy.c.lane)),
    ("copy_lane", (copy.c.recipient, copy.c.lane, copy.c.seq)),
):
    Index(_name, *_columns, sqlite_where=QUEUED, postgresql_where=QUEUED)

business_key = Table(
    "business_key",
    metadata,
    # The value first and as it is: serial numbers stay side by side in the index.
    Column("value", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("exchange_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
Index("event_exchange", event.c.exchange_id)

attempt = Table(  # no part of the audit log: what a worker decides at this moment, or died over
    "attempt",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("turn", BigInteger, nullable=False),
)
Index("attempt_digest", attempt.c.digest)

upstream = Table(
    "upstream",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # which process forwards now
    Column("held_until", BigInteger, nullable=False),  # unless it renews its lease
    Column("breaker", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", BigInteger),  # when the breaker opened
    Column("last_success", BigInteger),
    Column("sent", BigInteger, nullable=False),
    Column("pace", BigInteger, nullable=False),  # copies an hour when busy
    # A look some minutes ago, so that growth can be told.
    Column("sampled_at", BigInteger),
    Column("sampled_backlog", BigInteger),
    Column("sampled_sent", BigInteger),
    Column("sampled_stored", BigInteger),
)

replay = Table(
    "replay",
    metadata,
    Column("id", Text, primary_key=True),
    Column("planned_at", BigInteger, nullable=False),
    Column("planned_by", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("wanted", Text, nullable=False),  # JSON: what was asked for
    Column("effect", Text, nullable=False),  # JSON: what the plan showed
    Column("rules_digest", Text, nullable=False),  # today's rules when it was planned
    Column("items", BigInteger, nullable=False),
    Column("digest", LargeBinary),  # SHA-256 of all items; NULL while they are being written
    Column("state", Text, nullable=False),
    Column("runner", Text),  # who runs it, or did last
    Column("lease_until", BigInteger),  # nobody else runs it before
)

replay_item = Table(
    "replay_item",
    metadata,
    Column("replay_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("does", Text, nullable=False),
    Column("targets", Text, nullable=False),  # JSON: kind, participant, whether it is a repeat
    Column("state", Text, nullable=False),
    Column("fate", Text),
    Column("at", BigInteger),
)
# At most one outstanding replay of an exchange, whoever plans what.
Index(
    "replay_item_outstanding",
    replay_item.c.seq,
    unique=True,
    sqlite_where=OUTSTANDING,
    postgresql_where=OUTSTANDING,
)
Index("replay_item_sent", replay_item.c.seq, sqlite_where=REPLAYED, postgresql_where=REPLAYED)

replay_log = Table(
    "replay_log",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("replay_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
Index("replay_log_replay", replay_log.c.replay_id)
