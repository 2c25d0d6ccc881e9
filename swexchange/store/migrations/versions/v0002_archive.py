"""Archive files of sealed leaves."""

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
    made_at BIGINT NOT NULL
)
"""


def upgrade() -> None:
    """Make the table."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute(_TABLES.format(bytes="BLOB" if on_sqlite else "BYTEA"))
