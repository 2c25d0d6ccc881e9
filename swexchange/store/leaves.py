"""Rows read as leaves of the Merkle log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, LargeBinary, func, select

from swexchange.core.log import Kind, Leaf, Record, Span
from swexchange.core.model import Kind as Copied
from swexchange.core.rules_manifest import digest_of
from swexchange.store import entries, key_index, rows
from swexchange.store.evidence_tables import rules, sealed
from swexchange.store.ledger import POSITIONS
from swexchange.store.readable import readable
from swexchange.store.tables import ADDED, NOTHING, batch, copy, event, exchange

PAGE = 100  # exchanges read at once to be sealed, which does not pause within
LONG_PAGE = 1_000  # and to be verified
TOGETHER = 25  # and where their bodies stay in memory
NUMBERS = {Kind.BATCH: batch.c.id, Kind.EVENT: event.c.id, Kind.RULES: rules.c.id}

_exchanges = select(*((batch if name in batch.c else exchange).c[name] for name in entries.EXCHANGE_COLUMNS)).join_from(
    exchange, batch, batch.c.id == exchange.c.batch_id
)
_exchanges_with_bodies = _exchanges.add_columns(exchange.c.body)
# Of a message the database gives the digest alone: it costs little there, and a page of messages may be large.
_exchanges_with_digests = _exchanges.add_columns(func.sha256(exchange.c.body, type_=LargeBinary).label("body_digest"))
_copies = select(*(copy.c[name] for name in entries.COPY_COLUMNS)).where(copy.c.n < ADDED)
_events = select(*(event.c[name] for name in entries.EVENT_COLUMNS))
_rules = select(*(rules.c[name] for name in entries.RULES_COLUMNS), rules.c.manifest)


def span_of(row: rows.Row) -> Span:
    """A span from its row of `sealed`. Raises DamagedRow."""
    with readable(sealed, f"{row['kind']} {row['first']}"):
        numbers = [row[name] for name in ("first", "last", "first_leaf", "leaves")]
        if not all(isinstance(number, int) for number in numbers):
            raise TypeError("one of its numbers is none")
        return Span(Kind(row["kind"]), *numbers)


def seqs(first: int, last: int) -> tuple[int, int]:
    """The lowest and highest possible `exchange.seq` of batches."""
    return first * POSITIONS, last * POSITIONS + POSITIONS - 1


def runs(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """As `seqs`, of all runs of neighbouring batches that spans consist of, in order."""
    found: list[tuple[int, int]] = []
    for span in sorted((span for span in spans if span.kind is Kind.BATCH), key=lambda span: span.first):
        first, last = seqs(span.first, span.last)
        if found and found[-1][1] + 1 == first:
            first = found.pop()[0]
        found.append((first, last))
    return found


def between(found: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What is before, between and behind such runs."""
    low = key_index.LOWEST
    for first, last in found:
        if low < first:
            yield low, first - 1
        low = last + 1
    yield low, key_index.HIGHEST


def exchanges(connection: Connection, first: int, last: int, most: int, *, bodies: bool = False) -> list[Leaf]:
    """Exchanges by seq in order, at most so many; with `bodies`, each message is compared with its digest."""
    query = (_exchanges_with_digests if bodies else _exchanges).where(exchange.c.seq.between(first, last))
    found = connection.execute(query.order_by(exchange.c.seq).limit(most)).all()
    copies = _copies_of(connection, found[0].seq, found[-1].seq) if found else {}
    return [
        Leaf(
            Kind.BATCH,
            row.seq,
            row.exchange_id,
            _entry(entries.exchange_entry, row, copies.get(row.seq, ())),
            _body_trouble(row.body_digest, row.digest) if bodies else "",
        )
        for row in found
    ]


def records(connection: Connection, first: int, last: int) -> list[Record]:
    """Exchanges by seq in order with all that belongs to them, at most TOGETHER."""
    query = _exchanges_with_bodies.where(exchange.c.seq.between(first, last)).order_by(exchange.c.seq)
    found = connection.execute(query.limit(TOGETHER)).all()
    copies = _copies_of(connection, found[0].seq, found[-1].seq) if found else {}
    return [_record(row, copies.get(row.seq, ())) for row in found]


def _record(row: Any, copies: Sequence[Sequence[Any]]) -> Record:
    leaf = Leaf(Kind.BATCH, row.seq, row.exchange_id, _entry(entries.exchange_entry, row, copies))
    receipts = (bytes(body) for _, kind, _, body in copies if kind == Copied.RECEIPT)
    detail, message = row.detail.encode(), bytes(row.body)
    return Record(leaf, row.rules_digest, row.received_at, detail, message, next(receipts, b""))


def others(connection: Connection, kind: Kind, first: int, last: int) -> list[Leaf]:
    """Events or rules by number in order."""
    number = NUMBERS[kind]
    query = (_events if kind is Kind.EVENT else _rules).where(number.between(first, last)).order_by(number)
    found = connection.execute(query).all()
    if kind is Kind.EVENT:
        return [Leaf(kind, row.id, row.exchange_id, _entry(entries.event_entry, row)) for row in found]
    return [Leaf(kind, row.id, "", _entry(_rules_entry, row)) for row in found]


def _rules_entry(row: Sequence[Any]) -> bytes:
    """The entry of rules: it holds their digest, so a manifest of another one was never sealed with them."""
    *own, manifest = row
    if manifest and digest_of(manifest) != row[2]:
        raise TypeError("the manifest is not what the digest is of")
    return entries.rules_entry(own)


def position(connection: Connection, span: Span, number: int) -> int:
    """The leaf that a row of a span is: exchange.seq, event.id or rules.id."""
    column = exchange.c.seq if span.kind is Kind.BATCH else NUMBERS[span.kind]
    first = seqs(span.first, span.last)[0] if span.kind is Kind.BATCH else span.first
    before = select(func.count()).select_from(column.table).where(column >= first, column < number)
    return span.first_leaf + connection.execute(before).scalar_one()


def _copies_of(connection: Connection, first: int, last: int) -> Mapping[int, Sequence[Sequence[Any]]]:
    query = _copies.where(copy.c.seq.between(first, last)).order_by(copy.c.seq, copy.c.n)
    found: dict[int, list[Sequence[Any]]] = {}
    for row in connection.execute(query).all():
        found.setdefault(row[0], []).append(row)
    return found


def _entry(write: Callable[..., bytes], row: Sequence[Any], *more: Any) -> bytes:
    try:
        return write(row, *more)
    except (TypeError, AttributeError):
        return b""  # a value of a wrong type, as SQLite allows: whatever it is, no such thing was sealed


def _body_trouble(actual: bytes | None, digest: bytes) -> str:
    if actual is None:
        return "its bytes are no bytes"
    if actual == digest:
        return ""
    return "its bytes were deleted" if actual == NOTHING else "its bytes are not those of its digest"
