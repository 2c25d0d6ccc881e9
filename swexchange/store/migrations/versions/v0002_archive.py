"""Archive files of sealed leaves, legal holds, and the manifest of the rules."""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = """
CREATE TABLE archive (
    first_leaf BIGINT NOT NULL PRIMARY KEY,
    leaves BIGINT NOT NULL,
    name TEXT NOT NULL,
    digest {bytes} NOT NULL,
    size BIGINT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    emptied_at BIGINT,
    rows_gone_at BIGINT
);
CREATE TABLE gone (
    first_leaf BIGINT NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL
);
CREATE TABLE taken (
    identity TEXT NOT NULL PRIMARY KEY,
    exchange_id TEXT NOT NULL,
    digest {bytes} NOT NULL
);
CREATE TABLE hold (
    id {serial} NOT NULL PRIMARY KEY,
    wanted TEXT NOT NULL,
    placed_at BIGINT NOT NULL,
    placed_by TEXT NOT NULL,
    why TEXT NOT NULL,
    lifted_at BIGINT,
    lifted_by TEXT NOT NULL DEFAULT '',
    lifted_why TEXT NOT NULL DEFAULT ''
);
ALTER TABLE rules ADD COLUMN manifest TEXT NOT NULL DEFAULT ''
"""


def upgrade() -> None:
    """Make the tables, and the column."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    words = {"bytes": "BLOB", "serial": "INTEGER"} if on_sqlite else {"bytes": "BYTEA", "serial": "BIGSERIAL"}
    for statement in _TABLES.format(**words).split(";"):
        op.execute(statement)
