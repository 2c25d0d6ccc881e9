"""What one database has that another lacks: what would be lost if the other took its place."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Column, func, select

from swexchange.core.model import Kind
from swexchange.store.leaves import PAGE
from swexchange.store.snapshot import Snapshot
from swexchange.store.tables import copy, event, exchange

SHOWN = 10  # ids


@dataclass(frozen=True, slots=True)
class Lost:
    """What a live database has and a backup has not."""

    exchanges: int
    receipts: int
    events: int
    first: tuple[str, ...]  # the first few exchange ids
    senders: Mapping[str, int]  # exchanges by sender, '' = not authenticated; most first
    unknown: int  # exchanges and events that only the backup has: the live database is no continuation of it


def lost(saved: Snapshot, live: Snapshot) -> Lost:
    """Compare two snapshots by the numbers of their rows. Raises StoreDown."""
    exchanges, unknown = _only_live(saved, live, exchange.c.seq)
    events, unknown_events = _only_live(saved, live, event.c.id)
    senders: Counter[str] = Counter()
    first: list[str] = []
    receipts = 0
    for start in range(0, len(exchanges), PAGE):
        seqs = exchanges[start : start + PAGE]
        about = select(exchange.c.exchange_id, exchange.c.sender).where(exchange.c.seq.in_(seqs))
        found = live.connection.execute(about.order_by(exchange.c.seq)).all()
        senders.update(row.sender for row in found)
        first += [row.exchange_id for row in found[: SHOWN - len(first)]]
        told = select(func.count()).where(copy.c.seq.in_(seqs), copy.c.kind == str(Kind.RECEIPT))
        receipts += live.connection.execute(told).scalar_one()
    return Lost(
        len(exchanges), receipts, len(events), tuple(first), dict(senders.most_common()), unknown + unknown_events
    )


def _only_live(saved: Snapshot, live: Snapshot, number: Column[int]) -> tuple[list[int], int]:
    """The numbers that only the live database has, and how many only the saved one has."""
    only: list[int] = []
    unknown = 0
    for found, run in groupby(heapq.merge(_numbers(saved, number, 0), _numbers(live, number, 1)), itemgetter(0)):
        sides = [side for _, side in run]
        if sides == [1]:
            only.append(found)
        elif sides == [0]:
            unknown += 1
    return only, unknown


def _numbers(snapshot: Snapshot, number: Column[int], side: int) -> Iterator[tuple[int, int]]:
    query = select(number).order_by(number).execution_options(yield_per=10_000)
    return ((found, side) for found in snapshot.connection.execute(query).scalars())
