"""What is still owed: copies to send again, answers that wait for a parent. Implements forwarder.Outstanding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Select,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from swexchange.core.model import Copy, Decision, Event, Happening, Outcome, Parent
from swexchange.errors import DamagedRow
from swexchange.store import rows
from swexchange.store.engine import is_sqlite
from swexchange.store.fates import copy_in, has_come, is_due, put_off
from swexchange.store.ledger import POSITIONS, Book, Ledger, copies_query
from swexchange.store.readable import OnDamage, sort_out
from swexchange.store.tables import DUE, QUEUED, WAITING, batch, copy, exchange

SECOND = 1_000_000
DOUBTFUL_AFTER = 60 * SECOND  # a batch not settled by then was left behind by a crash
CLAIM = 60 * SECOND  # a claimed copy is not due again before
HANDED_OVER = 1000  # copies to an upstream's forwarder in one pass
LONGEST_WAIT = 60 * SECOND  # between two tries to match an answer


class MatchBook(Book):
    """A transaction in which answers find their parents."""

    def match(self, answer: Decision, parent: Parent, sent: Copy) -> None:
        """A waiting answer is accepted: its parent, its copy (due at once), an event."""
        this = and_(exchange.c.exchange_id == answer.exchange_id, exchange.c.outcome == str(Outcome.WAITING))
        accepted = {
            "outcome": str(Outcome.ACCEPTED),
            "parent_exchange_id": parent.exchange_id,
            "parent_sender": parent.sender,
            "parent_message_id": parent.message_id,
            "next_try": None,
        }
        changed = update(exchange).where(this).values(accepted).returning(exchange.c.seq)
        seq = self._connection.execute(changed).scalar()
        if seq is None:  # another worker matched it before
            return
        last = select(func.max(copy.c.n)).where(copy.c.seq == seq)
        row = {
            "seq": seq,
            "n": (self._connection.execute(last).scalar_one_or_none() or 0) + 1,
            "kind": str(sent.kind),
            "recipient": sent.to,
            "state": "due",
            "due_at": self._now,
        }
        self._connection.execute(insert(copy), row)
        self.note([Happening(answer.exchange_id, Event.MATCHED, parent.exchange_id)])


class FullLedger(Ledger):
    """The whole store of a worker: pipeline.Ledger and forwarder.Outstanding."""

    _remote: Set[str] | None = None  # who was behind an upstream when last looked

    def _connected(self) -> None:
        self._remote = None
        super()._connected()

    @contextmanager
    def matching(self, now: datetime) -> Iterator[MatchBook]:
        """Open a write transaction for `match`."""
        with self._writing() as connection:
            yield MatchBook(connection, 0, rows.microseconds(now), self._on_damage)

    def due(self, now: datetime, limit: int, remote: Set[str] = frozenset()) -> Sequence[Copy]:
        """Claim copies to send again; see forwarder.Outstanding."""
        at = rows.microseconds(now)
        if remote != self._remote:
            self._reassign(at, remote)
        if not self._is_there(_anything_due, at=at):
            return ()
        with self._writing(synced=False) as connection:
            _doubt(connection, at)
            _hand_over(connection, at, remote, self._on_damage)
            own = _due.where(copy.c.recipient.not_in(remote)).order_by(copy.c.due_at).limit(limit)
            claimed = connection.execute(_skipping(connection, own), {"at": at}).all()
            # Both: SQLite finds no index for the pairs alone.
            keys = and_(
                copy.c.seq.in_({seq for seq, _ in claimed}),
                tuple_(copy.c.seq, copy.c.n).in_([tuple(row) for row in claimed]),
            )
            connection.execute(update(copy).where(keys).values(due_at=at + CLAIM))
            if not claimed:
                return ()
            found = connection.execute(copies_query().where(keys).order_by(copy.c.seq)).mappings()
            copies, damaged = sort_out(rows.copy_of, found, self._on_damage)
            for row in damaged:
                put_off(connection, copy_in(row), at, "due")
            return copies

    def owed(self, most: int) -> int:
        """How many copies are due or queued, counted to `most` of each."""
        with self._reading() as connection:
            some = (select(copy.c.seq).where(state).limit(most).subquery() for state in (DUE, QUEUED))
            return sum(connection.execute(select(func.count()).select_from(part)).scalar_one() for part in some)

    def _reassign(self, at: int, remote: Set[str]) -> None:
        """Who is behind an upstream may have changed: all that is owed goes where the rules now say."""
        if self._is_there(_anything_misplaced, remote=list(remote), all_but=list(remote)):
            with self._writing(synced=False) as connection:
                ours = update(copy).where(_ours).values(state="due", due_at=at, lane=None)
                connection.execute(ours, {"all_but": list(remote)})
                while _hand_over(connection, at, remote, self._on_damage):
                    pass
        self._remote = frozenset(remote)

    def waiting(self, now: datetime, limit: int) -> Sequence[Decision]:
        """Claim answers that wait for a parent; see forwarder.Outstanding."""
        at = rows.microseconds(now)
        if not self._is_there(_anything_waiting, at=at):
            return ()
        query = select(exchange).where(_waits).order_by(exchange.c.next_try).limit(limit)
        with self._writing(synced=False) as connection:
            found = connection.execute(_skipping(connection, query), {"at": at}).mappings().all()
            for row in found:
                tries = row["tries"] or 0
                pause = min(LONGEST_WAIT, SECOND * 2 ** min(tries, 10))
                again = {"tries": min(tries + 1, 1000), "next_try": at + pause}
                connection.execute(update(exchange).where(exchange.c.seq == row["seq"]).values(again))
            # A damaged one goes on waiting, as one whose parent has not come.
            decisions, _ = sort_out(lambda row: rows.decision_of(row, ""), found, self._on_damage)
            return decisions

    def _is_there(self, query: Select[bool], **asked: Any) -> bool:
        """A look without the writers' lock: there is nearly never anything."""
        with self._reading() as connection:
            return bool(connection.execute(query, asked).scalar_one())


# Made once: asked every second by every worker, and mostly there is nothing.
_at: BindParameter[int] = bindparam("at", type_=BigInteger)
_left = or_(batch.c.committed_at <= _at - DOUBTFUL_AFTER, batch.c.committed_at > _at + DOUBTFUL_AFTER)
_doubtful = select(batch.c.id).where(batch.c.settled_at.is_(None), _left)
_due = select(copy.c.seq, copy.c.n).where(DUE, is_due(_at))
_waits = and_(WAITING, has_come(exchange.c.next_try, _at, LONGEST_WAIT))
_anything_due = select(or_(_doubtful.exists(), _due.exists()))
_anything_waiting = select(select(exchange.c.seq).where(_waits).exists())


# Where what is owed is not where the rules now say.
_ours = and_(QUEUED, copy.c.recipient.not_in(bindparam("all_but", expanding=True)))
_theirs = and_(DUE, copy.c.recipient.in_(bindparam("remote", expanding=True)))  # PostgreSQL's words for none differ
_anything_misplaced = select(or_(*(select(copy.c.seq).where(some).exists() for some in (_ours, _theirs))))
_columns = (copy.c.seq, copy.c.n, copy.c.kind, exchange.c.exchange_id, exchange.c.detail)
_handed_over = select(*_columns).join_from(copy, exchange, exchange.c.seq == copy.c.seq).where(_theirs)


def _hand_over(connection: Connection, at: int, remote: Set[str], on_damage: OnDamage) -> int:
    """What is due for a recipient behind an upstream is the forwarder's, in its lane; how many copies that was."""
    if not remote:
        return 0
    found = connection.execute(_handed_over.limit(HANDED_OVER), {"remote": list(remote)}).mappings().all()
    for row in found:
        queued = {"state": "queued", "due_at": at, "lane": _lane(row, on_damage)}
        connection.execute(update(copy).where(copy_in(row)).values(queued))
    return len(found)


def _lane(row: rows.Row, on_damage: OnDamage) -> str | None:
    """A copy's lane; one that cannot be known keeps it in none: late, it would be no more in order."""
    try:
        return rows.lane_of(row)
    except DamagedRow as fault:
        on_damage(fault)
        return None


def _skipping(connection: Connection, query: Select[Any]) -> Select[Any]:
    """Rows that another worker is claiming at this moment are left to it."""
    return query if is_sqlite(connection) else query.with_for_update(skip_locked=True)


def _doubt(connection: Connection, at: int) -> None:
    """Batches that nobody settled: every copy of theirs is due, one by one, from now on."""
    for (number,) in connection.execute(_doubtful.limit(100), {"at": at}).all():
        first = number * POSITIONS
        of_batch = and_(copy.c.seq >= first, copy.c.seq < first + POSITIONS, copy.c.state.is_(None))
        connection.execute(update(copy).where(of_batch).values(state="due", due_at=at, tries=0))
        connection.execute(update(batch).where(batch.c.id == number).values(settled_at=at))
