"""What waits for an upstream: taken in the order of its lanes, by one forwarder at a time.

Implements upstream.Backlog, and the operator's last word on a copy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
    update,
)

from swexchange.core.breaker import Standing, State
from swexchange.core.forecast import Sample
from swexchange.core.lanes import Weights, share
from swexchange.core.model import Copy, Event, Fate, Happening
from swexchange.errors import DamagedRow
from swexchange.store import rows
from swexchange.store.database import Database
from swexchange.store.fates import (
    FARTHEST_LEASE,
    copy_in,
    has_come,
    is_due,
    named_copy,
    note,
    note_failed,
    put_off,
    this_copy,
)
from swexchange.store.ledger import POSITIONS, copies_query
from swexchange.store.readable import OnDamage, ignore, readable, sort_out
from swexchange.store.tables import DUE, QUEUED, batch, copy, exchange, upstream

Key = tuple[int, int]
"""Number of an exchange, and of a copy among its copies."""

_earlier = copy.alias("earlier")
_is_head = or_(
    copy.c.lane.is_(None),
    ~exists().where(
        _earlier.c.state == literal_column("'queued'"),  # a word of the index, as QUEUED
        _earlier.c.recipient == copy.c.recipient,
        _earlier.c.lane == copy.c.lane,
        _earlier.c.seq < copy.c.seq,
    ),
)


class Backlog(Database):
    """A database as upstream.Backlog; for one thread. Close it."""

    def __init__(self, url: str, on_damage: OnDamage = ignore) -> None:
        super().__init__(url)
        self._on_damage = on_damage

    # -- who forwards

    def hold(self, name: str, holder: str, now: datetime, seconds: float) -> Standing | None:
        """Take or keep the lease of an upstream; how it stands, None where another holds it."""
        at, until = rows.microseconds(now), rows.microseconds(now + timedelta(seconds=seconds))
        asked = {"of": name, "by": holder, "before": at - 1, "until": until}
        with self._writing(synced=False) as connection:
            found = connection.execute(_taken, asked).mappings().first()
            if found is not None:
                return self._standing(found)
            if connection.execute(select(upstream.c.name).where(upstream.c.name == name)).first() is not None:
                return None
            # Two at the same moment: one is refused by the primary key, and finds the row next time.
            row = {"name": name, "holder": holder, "held_until": until, **_told(Standing())}
            connection.execute(insert(upstream), row)
            return Standing()

    def _standing(self, row: rows.Row) -> Standing:
        try:
            return standing_of(row)
        except DamagedRow as fault:  # as of one that was never forwarded to: `tell` soon says how it stands
            self._on_damage(fault)
            return Standing()

    def release(self, name: str, holder: str) -> None:
        """Give the lease back, so that another need not wait for its end."""
        with self._writing(synced=False) as connection:
            mine = and_(upstream.c.name == name, upstream.c.holder == holder)
            connection.execute(update(upstream).where(mine).values(held_until=0))

    def tell(self, name: str, standing: Standing, sample: Sample) -> None:
        """Write down how an upstream stands, and an earlier look at its backlog, for `status`."""
        looked = {
            "sampled_at": rows.microseconds(sample.at),
            "sampled_backlog": sample.backlog,
            "sampled_sent": sample.sent,
            "sampled_stored": sample.stored,
        }
        with self._writing(synced=False) as connection:
            connection.execute(_told_of, {"of": name, **_told(standing), **looked})

    # -- what is forwarded

    def newest(self) -> int:
        """A mark between what is recorded and what will be: the boundary of backlog and live traffic."""
        with self._reading() as connection:
            last = connection.execute(_newest).scalar() or 0
        return int(last) * POSITIONS + POSITIONS - 1

    def size(self, recipients: Collection[str]) -> tuple[int, datetime | None]:
        """How many copies wait for these recipients, and when the oldest was received."""
        with self._reading() as connection:
            found = waiting_upstream(connection)
        mine = [found[recipient] for recipient in recipients if recipient in found]
        return sum(count for count, _ in mine), min((oldest for _, oldest in mine), default=None)

    def take(
        self, recipients: Collection[str], boundary: int, most: int, weights: Weights, max_bytes: int, now: datetime
    ) -> Sequence[Copy]:
        """The oldest copy of each lane whose turn has come, live and backlog by weight.

        Nothing is claimed: only the holder of the lease takes. At most `max_bytes` of bodies, but
        always one copy when there is one. One that cannot be read waits, as one that was refused.
        """
        at = rows.microseconds(now)
        asked = {"boundary": boundary, "most": most, "at": at}
        with self._reading() as connection:
            keys = sorted(
                (seq, n) for to in recipients for seq, n in connection.execute(_live_and_backlog, {"to": to, **asked})
            )
            live, backlog = ([key for key in keys if (key[0] > boundary) == is_live] for is_live in (True, False))
            found = _within(connection, share(live[:most], backlog[:most], most, weights), max_bytes)
        copies, damaged = sort_out(_whole_copy, found, self._on_damage)
        if damaged:
            with self._writing(synced=False) as connection:
                for row in damaged:
                    put_off(connection, and_(copy_in(row), QUEUED), at, "queued")
        return copies

    def settle(self, fates: Sequence[tuple[Copy, Fate]], now: datetime) -> None:
        """Note the fates of copies that were taken; not synced: a crash has them sent again with equal ids.

        A returned or refused one waits, and its lane with it (10 s, doubling to 10 min). So does one without
        an answer where others had theirs: it may never get one, and all would wait for it each time. Where
        none was confirmed, nothing is held against it.
        """
        at = rows.microseconds(now)
        with self._writing(synced=False) as connection:
            confirmed = [sent for sent, fate in fates if fate is Fate.CONFIRMED]
            if confirmed:
                keys = [{"of": sent.exchange_id, "what": str(sent.kind), "to": sent.to, "at": at} for sent in confirmed]
                connection.execute(_confirmed, keys)
            for sent, fate in fates:
                if fate is not Fate.CONFIRMED and (confirmed or fate is not Fate.UNKNOWN):
                    put_off(connection, and_(this_copy(sent), QUEUED), at, "queued")
            note_failed(connection, fates, at)

    def drop(self, exchange_id: str, recipient: str, why: str, now: datetime) -> int:
        """An operator gives up what is owed to a recipient because of an exchange; how many copies that was."""
        at = rows.microseconds(now)
        seq = select(exchange.c.seq).where(exchange.c.exchange_id == exchange_id).scalar_subquery()
        owed = and_(copy.c.seq == seq, copy.c.recipient == recipient, or_(QUEUED, DUE))
        with self._writing() as connection:
            count = connection.execute(update(copy).where(owed).values(_over("dropped", at))).rowcount
            note(connection, [Happening(exchange_id, Event.DROPPED, f"{recipient}: {why}")] * (count > 0), at)
        return count


def _over(state: str, at: int | ColumnElement[int]) -> dict[str, Any]:
    """What is left of a copy that waits no longer."""
    return {"state": state, "sent_at": at, "due_at": None, "lane": None, "replay": None}


# Made once and run for many copies at a time: most of a forwarder's time went into making such statements.
_confirmed = update(copy).where(named_copy, QUEUED).values(_over("sent", bindparam("at", type_=BigInteger)))


def _heads(is_head: ColumnElement[bool]) -> CompoundSelect[int, int]:
    """What asks for copies that are first in their lane and whose time has come, the oldest of live and of backlog.

    By recipient `to`, one by one: each half is a range of an index.
    """
    at, most, boundary = (bindparam(name, type_=BigInteger) for name in ("at", "most", "boundary"))
    heads = select(copy.c.seq, copy.c.n).where(QUEUED, copy.c.recipient == bindparam("to"), is_due(at), is_head)
    heads = heads.order_by(copy.c.seq, copy.c.n).limit(most)
    halves = (heads.where(copy.c.seq > boundary), heads.where(copy.c.seq <= boundary))
    return union_all(*(select(half.subquery()) for half in halves))


# Made once too: asked in every pass of a forwarder, and mostly there is nothing.
_live_and_backlog = _heads(_is_head)
_newest = select(func.max(batch.c.id))
_expired = has_come(upstream.c.held_until, bindparam("before", type_=BigInteger), FARTHEST_LEASE)
_taken = (
    update(upstream)
    .where(upstream.c.name == bindparam("of"), or_(upstream.c.holder == bindparam("by"), _expired))
    .values(holder=bindparam("by"), held_until=bindparam("until", type_=BigInteger))
    .returning(*upstream.c)
)
_told_of = update(upstream).where(upstream.c.name == bindparam("of"))
_waiting = select(copy.c.recipient, func.count(), func.min(copy.c.seq)).where(QUEUED).group_by(copy.c.recipient)
_received_at = select(exchange.c.received_at).where(exchange.c.seq == bindparam("of"))
_waiting_whole = (
    select(func.count(), func.min(exchange.c.received_at))
    .join_from(copy, exchange, exchange.c.seq == copy.c.seq)
    .where(QUEUED, copy.c.recipient == bindparam("to"))
)

_these = tuple_(copy.c.seq, copy.c.n).in_(bindparam("keys", expanding=True))
_size = func.coalesce(func.length(copy.c.body), func.length(exchange.c.body))
_sized = select(copy.c.seq, copy.c.n, _size).join_from(copy, exchange, exchange.c.seq == copy.c.seq).where(_these)
_these_copies = copies_query().where(_these)


def _within(connection: Connection, keys: Sequence[Key], max_bytes: int) -> list[rows.Row]:
    """The rows of these keys, as long as their bodies fit: a body may be megabytes, so sizes are asked first.

    Of a copy whose exchange is gone there is only its key.
    """
    if not keys:
        return []
    sizes = {(seq, n): length for seq, n, length in connection.execute(_sized, {"keys": keys})}
    ends = list(accumulate(sizes.get(key, 0) for key in keys))
    fitting = [key for key, end in zip(keys, ends, strict=True) if end <= max_bytes] or keys[:1]
    found = connection.execute(_these_copies, {"keys": fitting}).mappings()
    by_key = {(row["seq"], row["n"]): row for row in found}
    return [by_key.get(key) or {"seq": key[0], "n": key[1]} for key in fitting]


def _whole_copy(row: rows.Row) -> Copy:
    """A copy from its row. Raises DamagedRow, also where its exchange is gone."""
    with readable(copy, f"{row['seq']} {row['n']}"):
        if "exchange_id" not in row:
            raise LookupError("the exchange that it belongs to was removed")
    return rows.copy_of(row)


def waiting_upstream(connection: Connection) -> dict[str, tuple[int, datetime]]:
    """Queued copies by recipient: how many, and when the oldest was received; none that lost their exchange."""
    found: dict[str, tuple[int, datetime]] = {}
    for recipient, queued, oldest in connection.execute(_waiting).all():
        count, received = queued, connection.execute(_received_at, {"of": oldest}).scalar()
        if received is None:  # rare, and slow: those whose exchange is there are counted one by one
            count, received = connection.execute(_waiting_whole, {"to": recipient}).one()
        if received is not None:
            found[recipient] = count, rows.moment(received)
    return found


def standing_of(row: rows.Row) -> Standing:
    """How an upstream stands, from its row. Raises DamagedRow."""
    with readable(upstream, row["name"]):
        return Standing(
            state=State(row["breaker"]),
            reason=str(row["reason"]),
            since=rows.moment_if(row["since"]),
            last_success=rows.moment_if(row["last_success"]),
            sent=row["sent"] + 0,  # no number: an error here, not wherever it is counted on
            pace=row["pace"] / 3600,
        )


def sample_of(row: rows.Row) -> Sample | None:
    """The earlier look at an upstream's backlog, from its row."""
    if row["sampled_at"] is None:
        return None
    numbers = (row[name] + 0 for name in ("sampled_backlog", "sampled_sent", "sampled_stored"))
    return Sample(rows.moment(row["sampled_at"]), *numbers)


def _told(standing: Standing) -> dict[str, Any]:
    return {
        "breaker": str(standing.state),
        "reason": standing.reason,
        "since": rows.microseconds(standing.since) if standing.since else None,
        "last_success": rows.microseconds(standing.last_success) if standing.last_success else None,
        "sent": standing.sent,
        "pace": round(standing.pace * 3600),
    }
