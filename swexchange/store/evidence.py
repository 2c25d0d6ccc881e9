"""The Merkle log in the database: what is to be sealed, what is sealed, its tiles and checkpoints.

The leaves are the rows of `exchange` and `event`, in the order in which spans of them were
sealed. Transactions may commit out of the order of their numbers, so a span holds only numbers
that are there, and holes are looked into again: a row that comes late is sealed late, not missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, select, text, update

from swexchange.core.log import Exhibit, KeySum, Kind, Leaf, LogState, Signed, Span
from swexchange.store import key_index, leaves, rows
from swexchange.store.archive_tables import gone
from swexchange.store.copies_check import badly_added, badly_matched, badly_standing
from swexchange.store.database import Database
from swexchange.store.engine import is_sqlite
from swexchange.store.evidence_tables import checkpoint, sealed, tile
from swexchange.store.exhibit import read_exhibit, sealed_until
from swexchange.store.ledger import POSITIONS
from swexchange.store.log_state import log_state
from swexchange.store.operations_check import badly_recorded
from swexchange.store.tables import batch, exchange

LOOK_BACK = 1_000  # spans between which a late row is looked for, of each kind; checkpoints looked at for witnesses
_NO_END = 2**62
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('swexchange/seal', 0))")


class Evidence(Database):
    """A database as sealer.Log and auditor.Log; for one thread. Close it."""

    def head(self) -> Signed | None:
        """The newest checkpoint; None before the first."""
        return self._signed(select(checkpoint).order_by(checkpoint.c.size.desc()).limit(1))

    def state(self) -> LogState:
        """How far sealing and archiving have come; quick."""
        with self._reading() as connection:
            return log_state(connection)

    def checkpoint_over(self, size: int) -> Signed | None:
        """The newest checkpoint of at least this size, one that a witness has signed where there is any."""
        query = select(checkpoint).where(checkpoint.c.size >= size)
        best = (checkpoint.c.witnesses > 0).desc(), checkpoint.c.size.desc()
        return self._signed(query.order_by(*best).limit(1))

    def checkpoint_at(self, size: int) -> Signed | None:
        """The first checkpoint of at least this size."""
        return self._signed(select(checkpoint).where(checkpoint.c.size >= size).order_by(checkpoint.c.size).limit(1))

    def _signed(self, query: Select[Any]) -> Signed | None:
        with self._reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Signed(row["size"], rows.moment(row["made_at"]), row["note"])

    def checkpoints(self) -> Iterator[Signed]:
        """All checkpoints, by size."""
        size = -1
        while found := self.checkpoint_at(size + 1):
            yield found
            size = found.size

    def witnessed(self) -> Sequence[Signed]:
        """Checkpoints that a witness has signed, newest first, among the last LOOK_BACK of all."""
        last = select(checkpoint).order_by(checkpoint.c.size.desc()).limit(LOOK_BACK).subquery()
        query = select(last).where(last.c.witnesses > 0).order_by(last.c.size.desc())
        with self._reading() as connection:
            found = connection.execute(query).mappings().all()
        return [Signed(row["size"], rows.moment(row["made_at"]), row["note"]) for row in found]

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""
        query = select(tile.c.hashes).where(tile.c.level == level, tile.c.number == number)
        with self._reading() as connection:
            return bytes(connection.execute(query).scalar() or b"")

    def spans(self) -> Sequence[Span]:
        """All sealed spans in the order of their leaves."""
        with self._reading() as connection:
            found = connection.execute(select(sealed).order_by(sealed.c.first_leaf, sealed.c.leaves)).mappings().all()
        return [leaves.span_of(row) for row in found]

    def gone(self) -> Set[int]:
        """The spans, by their first leaves, of which rows were pruned."""
        with self._reading() as connection:
            return set(connection.execute(select(gone.c.first_leaf)).scalars())

    def pending(self, most: int, *, everywhere: bool = False) -> Sequence[Span]:
        """Spans to seal next, of some `most` leaves, not yet placed; [] = everything is sealed.

        Holes are looked into between the newest sealed spans, or `everywhere`.
        """
        found: list[Span] = []
        with self._reading() as connection:
            for kind in Kind:
                for low, high in _holes(connection, kind, everywhere):
                    numbers = _numbers(connection, kind, low, high, most)
                    found += (Span(kind, run[0], run[-1]) for run in _runs(numbers))
                    most -= len(numbers)
                    if most <= 0:
                        return found
        return found

    def leaves(self, span: Span, *, bodies: bool = False) -> Iterator[Leaf]:
        """The entries of a span in order; with `bodies`, each message is compared with its digest."""
        if span.kind is not Kind.BATCH:
            with self._reading() as connection:
                found = leaves.others(connection, span.kind, span.first, span.last)
            yield from found
            return
        first, last = leaves.seqs(span.first, span.last)
        page = leaves.LONG_PAGE if bodies else leaves.PAGE
        while first <= last:
            # Exchanges and their copies as they were at one moment: both may be pruned meanwhile.
            with self._reading(snapshot=True) as connection:
                found = leaves.exchanges(connection, first, last, page, bodies=bodies)
            yield from found
            first = found[-1].number + 1 if len(found) == page else last + 1

    def exhibit(self, exchange_id: str) -> Exhibit | None:
        """What proves an exchange; None where there is none. Without entries it is not sealed yet."""
        with self._reading() as connection:
            return read_exhibit(connection, exchange_id)

    def sealed_until(self, exchange_id: str) -> int:
        """So many leaves cover all of an exchange that is sealed; 0 = it is not, or there is none. Quick."""
        with self._reading() as connection:
            return sealed_until(connection, exchange_id)

    def key_sum(self, spans: Iterable[Span], seed: int) -> KeySum:
        """What the business keys of these spans' exchanges add up to."""
        with self._reading(snapshot=True) as connection:
            return key_index.sum_of(connection, leaves.runs(spans), seed)

    def key_sum_beside(self, spans: Iterable[Span], seed: int) -> KeySum:
        """What the index by business key adds up to at this moment, without the exchanges in none of these spans."""
        with self._reading(snapshot=True) as connection:
            others = key_index.pages(connection, leaves.between(leaves.runs(spans)))
            return key_index.whole_sum(connection, seed) - key_index.sum_of(connection, others, seed)

    def badly_indexed(self) -> Iterator[tuple[str, str]]:
        """Rows that the index by business key lacks, or has too many: of which exchange, and what.

        Reads all exchanges and all of the index, page by page, each in a snapshot.
        """
        start: int | None = key_index.LOWEST
        while start is not None:
            with self._reading(snapshot=True) as connection:
                troubles, start = key_index.not_indexed(connection, start)
            yield from troubles
        last = None
        while True:
            with self._reading(snapshot=True) as connection:
                found = key_index.page_of_index(connection, last)
            if not found:
                return
            yield from key_index.unexplained(found)
            last = found[-1].value, found[-1].name, found[-1].seq

    def badly_matched(self) -> Sequence[str]:
        """Answers that came before their parent, whose rows now say other than their MATCHED event and their parent."""
        with self._reading() as connection:
            return badly_matched(connection)

    def badly_added(self) -> Sequence[str]:
        """Exchanges with a copy that was neither decided nor sent by a replay."""
        with self._reading() as connection:
            return badly_added(connection)

    def badly_standing(self) -> Sequence[str]:
        """Exchanges with a copy of which no state is told that there is: nobody sends it."""
        with self._reading() as connection:
            return badly_standing(connection)

    def badly_recorded(self) -> Sequence[tuple[str, str]]:
        """Replays and holds whose rows say other than the log: which, and what."""
        with self._reading() as connection:
            return list(badly_recorded(connection))

    def seal(
        self, size: int, spans: Sequence[Span], tiles: Mapping[tuple[int, int], bytes], made: Signed | None
    ) -> bool:
        """Add spans, tiles and the checkpoint in one transaction; False when the log is no longer of this size."""
        with self._writing() as connection:
            if not is_sqlite(connection):  # SQLite has one writer anyway
                connection.execute(_LOCK)
            if (connection.execute(_size).scalar() or 0) != size or _is_sealed(connection, spans[0]):
                return False  # another sealer was quicker: what this one signed was never shown to anybody
            connection.execute(insert(sealed), [_span_row(span) for span in spans])
            for (level, number), hashes in tiles.items():
                this = and_(tile.c.level == level, tile.c.number == number)
                if not connection.execute(update(tile).where(this).values(hashes=hashes)).rowcount:
                    connection.execute(insert(tile), {"level": level, "number": number, "hashes": hashes})
            if made:
                at = rows.microseconds(made.made_at)
                row = {"size": made.size, "made_at": at, "witnesses": 0, "note": made.note}
                connection.execute(insert(checkpoint), row)
        return True

    def cosigned(self, size: int, note: str, witnesses: int) -> None:
        """Replace a checkpoint's note by one that so many witnesses have signed."""
        with self._writing() as connection:
            this = update(checkpoint).where(checkpoint.c.size == size)
            connection.execute(this.values(note=note, witnesses=witnesses))


_size = select(func.max(checkpoint.c.size))


def _is_sealed(connection: Connection, span: Span) -> bool:
    """Spans without a leaf leave the size as it is."""
    this = and_(sealed.c.kind == str(span.kind), sealed.c.first == span.first)
    return connection.execute(select(sealed.c.first).where(this)).first() is not None


def _span_row(span: Span) -> dict[str, Any]:
    return {name: getattr(span, name) for name in span.__slots__} | {"kind": str(span.kind)}


def _holes(connection: Connection, kind: Kind, everywhere: bool) -> Iterator[tuple[int, int]]:
    """The ranges of numbers that no span covers, lowest first."""
    query = select(sealed.c.first, sealed.c.last).where(sealed.c.kind == str(kind)).order_by(sealed.c.first.desc())
    known = connection.execute(query if everywhere else query.limit(LOOK_BACK)).all()
    low = 0 if everywhere or len(known) < LOOK_BACK else known[-1].first
    for first, last in reversed(known):
        if low < first:
            yield low, first - 1
        low = last + 1
    yield low, _NO_END


def _numbers(connection: Connection, kind: Kind, low: int, high: int, most: int) -> list[int]:
    """Numbers that are there, in order, of `most` leaves together or a little more."""
    number = leaves.NUMBERS[kind]
    query = select(number).where(number.between(low, high)).order_by(number).limit(most)
    if kind is not Kind.BATCH:
        return list(connection.execute(query).scalars())
    first = batch.c.id * POSITIONS
    inside = and_(exchange.c.seq >= first, exchange.c.seq < first + POSITIONS)
    # Positions of a batch have no holes: its last one says how many there are, without counting them.
    last = select(func.max(exchange.c.seq)).where(inside).correlate(batch).scalar_subquery()
    found = []
    for identity, last_seq in connection.execute(query.add_columns(last)).all():
        found.append(identity)
        most -= 0 if last_seq is None else last_seq - identity * POSITIONS + 1
        if most <= 0:
            break
    return found


def _runs(numbers: Iterable[int]) -> Iterator[list[int]]:
    """Runs of neighbouring numbers."""
    for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        yield [number for _, number in run]
