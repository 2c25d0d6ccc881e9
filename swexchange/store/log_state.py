"""How far sealing and archiving have come. Read off the ends of indexes: quick, however long the log is."""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, select

from swexchange.core.log import Kind, LogState
from swexchange.store import rows
from swexchange.store.archive_tables import archive
from swexchange.store.evidence_tables import checkpoint, sealed
from swexchange.store.ledger import POSITIONS
from swexchange.store.tables import batch, exchange

MOST_BATCHES = 1_000  # that are looked into for exchanges that are not sealed: more is just as wrong

_is_batch = sealed.c.kind == str(Kind.BATCH)
_head = select(checkpoint.c.size, checkpoint.c.made_at).order_by(checkpoint.c.size.desc()).limit(1)
_newest_file = select(archive).order_by(archive.c.first_leaf.desc()).limit(1)
_last_sealed = select(sealed.c.last).where(_is_batch).order_by(sealed.c.first.desc()).limit(1)


def log_state(connection: Connection) -> LogState:
    """How far the Merkle log goes, and how far the archive files."""
    head = connection.execute(_head).first()
    file = connection.execute(_newest_file).first()
    archived = file.first_leaf + file.leaves if file else 0
    return LogState(
        sealed=head.size if head else 0,
        sealed_at=rows.moment_if(head.made_at if head else None),
        unsealed=_unsealed(connection),
        archived=archived,
        archive=file.name if file else "",
        archived_at=rows.moment_if(file.made_at if file else None),
        unarchived_since=rows.moment_if(_unarchived_since(connection, archived)),
    )


def _unsealed(connection: Connection) -> int:
    """Exchanges of the batches behind the newest that is sealed; late ones before it are the sealer's business."""
    last = connection.execute(_last_sealed).scalar()
    first_seq = batch.c.id * POSITIONS
    inside = and_(exchange.c.seq >= first_seq, exchange.c.seq < first_seq + POSITIONS)
    # Positions of a batch have no holes: its last one says how many there are, without counting them.
    last_seq = select(func.max(exchange.c.seq)).where(inside).correlate(batch).scalar_subquery()
    behind = select((last_seq - first_seq + 1).label("count")).where(batch.c.id > (-1 if last is None else last))
    some = behind.order_by(batch.c.id).limit(MOST_BATCHES).subquery()
    return int(connection.execute(select(func.coalesce(func.sum(some.c.count), 0))).scalar_one())


def _unarchived_since(connection: Connection, leaf: int) -> int | None:
    """When the first batch was recorded whose leaves begin with this one or behind it."""
    # The kind as an expression: an index that begins with it would find all spans of batches, and sort them.
    is_batch = sealed.c.kind.concat("") == str(Kind.BATCH)
    spans = select(sealed.c.first).where(is_batch, sealed.c.first_leaf >= leaf, sealed.c.leaves > 0)
    first = spans.order_by(sealed.c.first_leaf).limit(1).scalar_subquery()
    return connection.execute(select(batch.c.committed_at).where(batch.c.id == first)).scalar()
