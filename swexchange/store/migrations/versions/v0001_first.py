"""The first version of all tables."""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE batch (
    id {number} NOT NULL PRIMARY KEY,
    rules_digest TEXT NOT NULL,
    committed_at BIGINT NOT NULL,
    settled_at BIGINT
);
CREATE INDEX batch_unsettled ON batch (committed_at) WHERE settled_at IS NULL;
CREATE TABLE exchange (
    seq {number} NOT NULL PRIMARY KEY,
    batch_id BIGINT NOT NULL,
    exchange_id TEXT NOT NULL,
    identity TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    submitter TEXT NOT NULL,
    sender TEXT NOT NULL,
    message_id TEXT NOT NULL,
    type TEXT NOT NULL,
    outcome TEXT NOT NULL,
    code TEXT NOT NULL,
    digest {bytes} NOT NULL,
    key_id TEXT NOT NULL,
    envelope_edition TEXT NOT NULL,
    edition TEXT NOT NULL,
    route TEXT NOT NULL,
    detail TEXT NOT NULL,
    parent_exchange_id TEXT,
    parent_sender TEXT,
    parent_message_id TEXT,
    tries SMALLINT,
    next_try BIGINT,
    body {bytes} NOT NULL
);
CREATE UNIQUE INDEX exchange_identity ON exchange (identity);
CREATE INDEX exchange_digest ON exchange (digest);
CREATE INDEX exchange_listing ON exchange (exchange_id, type);
CREATE INDEX exchange_sender ON exchange (sender, exchange_id);
CREATE INDEX exchange_message ON exchange (message_id, sender);
CREATE INDEX exchange_outcome ON exchange (outcome, exchange_id) WHERE outcome <> 'accepted';
CREATE INDEX exchange_code ON exchange (code, exchange_id) WHERE outcome <> 'accepted';
CREATE INDEX exchange_waiting ON exchange (next_try) WHERE outcome = 'waiting';
CREATE TABLE copy (
    seq BIGINT NOT NULL,
    n SMALLINT NOT NULL,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    body {bytes},
    state TEXT,
    due_at BIGINT,
    sent_at BIGINT,
    tries SMALLINT,
    lane TEXT,
    replay TEXT,
    PRIMARY KEY (seq, n)
);
CREATE INDEX copy_due ON copy (due_at) WHERE state = 'due';
CREATE INDEX copy_queued ON copy (recipient, seq, due_at, lane) WHERE state = 'queued';
CREATE INDEX copy_lane ON copy (recipient, lane, seq) WHERE state = 'queued';
CREATE TABLE business_key (
    value TEXT NOT NULL,
    name TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (value, name, seq)
) {without_rowid};
CREATE TABLE event (
    id {serial} NOT NULL PRIMARY KEY,
    exchange_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX event_exchange ON event (exchange_id);
CREATE TABLE attempt (
    worker TEXT NOT NULL,
    digest {bytes} NOT NULL,
    turn BIGINT NOT NULL,
    PRIMARY KEY (worker, digest)
);
CREATE INDEX attempt_digest ON attempt (digest);
CREATE TABLE upstream (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL,
    breaker TEXT NOT NULL,
    reason TEXT NOT NULL,
    since BIGINT,
    last_success BIGINT,
    sent BIGINT NOT NULL,
    pace BIGINT NOT NULL,
    sampled_at BIGINT,
    sampled_backlog BIGINT,
    sampled_sent BIGINT,
    sampled_stored BIGINT
);
CREATE TABLE rules (
    id {serial} NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    digest TEXT NOT NULL,
    known_keys TEXT NOT NULL
);
CREATE UNIQUE INDEX rules_digest ON rules (digest);
CREATE TABLE sealed (
    kind TEXT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    first_leaf BIGINT NOT NULL,
    leaves BIGINT NOT NULL,
    PRIMARY KEY (kind, first)
);
CREATE INDEX sealed_leaf ON sealed (first_leaf);
CREATE TABLE tile (
    level SMALLINT NOT NULL,
    number BIGINT NOT NULL,
    hashes {bytes} NOT NULL,
    PRIMARY KEY (level, number)
);
CREATE TABLE checkpoint (
    size BIGINT NOT NULL PRIMARY KEY,
    made_at BIGINT NOT NULL,
    witnesses SMALLINT NOT NULL,
    note TEXT NOT NULL
);
CREATE TABLE replay (
    id TEXT NOT NULL PRIMARY KEY,
    planned_at BIGINT NOT NULL,
    planned_by TEXT NOT NULL,
    how TEXT NOT NULL,
    wanted TEXT NOT NULL,
    effect TEXT NOT NULL,
    rules_digest TEXT NOT NULL,
    items BIGINT NOT NULL,
    digest {bytes},
    state TEXT NOT NULL,
    runner TEXT,
    lease_until BIGINT
);
CREATE TABLE replay_item (
    replay_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    does TEXT NOT NULL,
    targets TEXT NOT NULL,
    state TEXT NOT NULL,
    fate TEXT,
    at BIGINT,
    PRIMARY KEY (replay_id, seq)
);
CREATE UNIQUE INDEX replay_item_outstanding ON replay_item (seq) WHERE state IN ('open', 'sending');
CREATE INDEX replay_item_sent ON replay_item (seq) WHERE state = 'sent';
CREATE TABLE replay_log (
    id {serial} NOT NULL PRIMARY KEY,
    replay_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    who TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX replay_log_replay ON replay_log (replay_id)
"""
_SQLITE = {"number": "INTEGER", "serial": "INTEGER", "bytes": "BLOB", "without_rowid": "WITHOUT ROWID"}
_POSTGRESQL = {"number": "BIGINT", "serial": "BIGSERIAL", "bytes": "BYTEA", "without_rowid": ""}


def upgrade() -> None:
    """Make all tables."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    words = _SQLITE if on_sqlite else _POSTGRESQL
    for statement in _TABLES.format(**words).split(";"):
        op.execute(statement)
    if not on_sqlite:
        op.execute("CREATE SEQUENCE batch_number")
        # Bodies are base64 inside XML: compressing them costs time and gains little.
        op.execute("ALTER TABLE exchange ALTER COLUMN body SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE copy ALTER COLUMN body SET STORAGE EXTERNAL")
