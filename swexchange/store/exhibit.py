"""Everything that proves one exchange, read from the database."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from swexchange.core import merkle
from swexchange.core.log import Exhibit, Kind, Span
from swexchange.core.model import Kind as Copied
from swexchange.core.tiles import WIDTH, split
from swexchange.store import leaves
from swexchange.store.archive_tables import gone
from swexchange.store.evidence_tables import rules, sealed, tile
from swexchange.store.tables import batch, copy, event, exchange


def read_exhibit(connection: Connection, exchange_id: str) -> Exhibit | None:
    """What proves an exchange; None where there is none. Without entries it is not sealed yet."""
    query = select(exchange, batch.c.rules_digest).join_from(exchange, batch, batch.c.id == exchange.c.batch_id)
    row = connection.execute(query.where(exchange.c.exchange_id == exchange_id)).first()
    if row is None:
        return None
    receipt = select(copy.c.body).where(copy.c.seq == row.seq, copy.c.kind == str(Copied.RECEIPT))
    logged = connection.execute(
        select(rules.c.id, rules.c.known_keys, rules.c.manifest).where(rules.c.digest == row.rules_digest)
    ).first()
    own = list(entries_of(connection, Kind.BATCH, row.batch_id, row.seq))
    known = list(entries_of(connection, Kind.RULES, logged.id, logged.id)) if logged else []
    events = connection.execute(select(event.c.id).where(event.c.exchange_id == exchange_id).order_by(event.c.id))
    happened = [entry for (number,) in events.all() for entry in entries_of(connection, Kind.EVENT, number, number)]
    return Exhibit(
        exchange_id=exchange_id,
        body=row.body,
        receipt=connection.execute(receipt).scalar(),
        detail=row.detail,
        editions=tuple(edition for edition in (row.envelope_edition, row.edition) if edition),
        keys=logged.known_keys if logged and known else None,
        manifest=logged.manifest if logged else "",
        entries=(*own, *known, *happened) if own else (),
    )


def entries_of(connection: Connection, kind: Kind, number: int, row: int) -> Iterator[tuple[int, bytes]]:
    """The leaf and entry of a row that has the number of a batch, an event or rules; none while it is not sealed."""
    if span := _span_of(connection, kind, number):
        if kind is Kind.BATCH:
            (leaf,) = leaves.exchanges(connection, row, row, 1)
        else:
            (leaf,) = leaves.others(connection, kind, row, row)
        yield _position(connection, span, row, leaf.entry), leaf.entry


def sealed_until(connection: Connection, exchange_id: str) -> int:
    """So many leaves cover all of an exchange that is sealed; 0 = it is not, or there is none. Reads no message."""
    query = select(exchange.c.batch_id, batch.c.rules_digest).where(batch.c.id == exchange.c.batch_id)
    row = connection.execute(query.where(exchange.c.exchange_id == exchange_id)).first()
    own = row and _span_of(connection, Kind.BATCH, row.batch_id)
    if not row or not own:
        return 0
    others = {
        Kind.RULES: select(rules.c.id).where(rules.c.digest == row.rules_digest),
        Kind.EVENT: select(event.c.id).where(event.c.exchange_id == exchange_id),
    }
    numbers = [(kind, number) for kind, ids in others.items() for number in connection.execute(ids).scalars()]
    spans = [own, *(_span_of(connection, kind, number) for kind, number in numbers)]
    return max(span.first_leaf + span.leaves for span in spans if span)


def _span_of(connection: Connection, kind: Kind, number: int) -> Span | None:
    """The sealed span that holds a number of its kind; None while none does."""
    query = select(sealed).where(sealed.c.kind == str(kind), sealed.c.first <= number).order_by(sealed.c.first.desc())
    found = connection.execute(query.limit(1)).mappings().first()
    return Span(**{**found, "kind": kind}) if found and number <= found["last"] else None


def _position(connection: Connection, span: Span, row: int, entry: bytes) -> int:
    """The leaf of a row; where neighbours of it were pruned, they cannot be counted: then it is known by its hash."""
    pruned = select(gone.c.first_leaf).where(gone.c.first_leaf == span.first_leaf)
    if connection.execute(pruned).first() is None:
        return leaves.position(connection, span, row)
    wanted, end = merkle.leaf_hash(entry), span.first_leaf + span.leaves
    tiles = tile.c.level == 0, tile.c.number.between(span.first_leaf // WIDTH, end // WIDTH)
    for number, hashes in connection.execute(select(tile.c.number, tile.c.hashes).where(*tiles)).all():
        for at, found in enumerate(split(bytes(hashes)), number * WIDTH):
            if found == wanted and span.first_leaf <= at < end:
                return at
    return span.first_leaf  # it was changed, and will not be proved
