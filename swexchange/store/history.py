"""The recorded past, read in stretches by several processes at once: what many exchanges are decided again from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from swexchange.core.compare import Past, PastCopy
from swexchange.core.model import Kind
from swexchange.core.search import Filter
from swexchange.store import rows
from swexchange.store.audit_log import AuditLog
from swexchange.store.selecting import conditions
from swexchange.store.tables import HAS_BYTES, batch, copy, exchange

TOGETHER = 25  # exchanges in memory at once, with their bodies


@dataclass(frozen=True, slots=True)
class Stretch:
    """Exchange ids after one and through another; ids sort by time."""

    after: str
    through: str


class History(AuditLog):
    """Reads what a filter finds, oldest first, whatever its limit; close it."""

    def count(self, wanted: Filter) -> int:
        """How many exchanges there are."""
        with self._reading() as connection:
            counted = select(func.count()).select_from(exchange).where(*_wanted(wanted))
            return int(connection.execute(counted).scalar_one())

    def without_bytes(self, wanted: Filter) -> int:
        """How many exchanges it leaves out: their bytes are in archive files, and no longer here."""
        with self._reading() as connection:
            gone = select(func.count()).select_from(exchange).where(*conditions(wanted), ~HAS_BYTES)
            return int(connection.execute(gone).scalar_one())

    def stretches(self, wanted: Filter, size: int) -> Iterator[Stretch]:
        """Stretches of this many exchanges, the last one shorter, without gap or overlap."""
        number, after = exchange.c.exchange_id, ""
        query = select(number).where(*_wanted(wanted)).order_by(number)
        while True:
            with self._reading() as connection:
                behind = query.where(number > after)
                through = connection.execute(behind.offset(size - 1).limit(1)).scalar()
                if through is None:  # fewer are left
                    through = connection.execute(select(func.max(behind.subquery().c.exchange_id))).scalar()
            if through is None:
                return
            yield Stretch(after, through)
            after = through

    def read(self, wanted: Filter, stretch: Stretch) -> Iterator[Past]:
        """The exchanges of a stretch; only few of them are in memory at a time."""
        number = exchange.c.exchange_id
        query = select(exchange, batch.c.rules_digest, batch.c.settled_at)
        query = query.join_from(exchange, batch, batch.c.id == exchange.c.batch_id).where(*_wanted(wanted))
        query = query.where(number > stretch.after, number <= stretch.through).order_by(number)
        streamed = {"yield_per": TOGETHER}
        with self._reading() as connection, connection.execute(query, execution_options=streamed) as found:
            for part in found.mappings().partitions():
                copies = _copies(connection, part)
                for row in part:
                    yield Past(
                        seq=row["seq"],
                        decision=rows.decision_of(row, row["rules_digest"]),
                        parent=rows.parent_of(row),
                        copies=tuple(copies.get(row["seq"], ())),
                    )


def _wanted(wanted: Filter) -> list[Any]:
    return [*conditions(wanted), HAS_BYTES]


def _copies(connection: Connection, part: Sequence[rows.Row]) -> dict[int, list[PastCopy]]:
    settled = {row["seq"]: row["settled_at"] for row in part}
    found: dict[int, list[PastCopy]] = {}
    for row in connection.execute(_copies_of(list(settled))).mappings():
        state = rows.copy_state(row["state"], settled[row["seq"]])
        past = PastCopy(Kind(row["kind"]), row["recipient"], state == "sent", state == "dropped")
        found.setdefault(row["seq"], []).append(past)
    return found


def _copies_of(seqs: Sequence[int]) -> Select[Any]:
    columns = copy.c.seq, copy.c.kind, copy.c.recipient, copy.c.state
    return select(*columns).where(copy.c.seq.in_(seqs)).order_by(copy.c.seq, copy.c.n)
