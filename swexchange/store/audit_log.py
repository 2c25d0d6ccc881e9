"""The audit log as people ask it: one exchange in full, a search, what is open. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from swexchange.core.breaker import Standing
from swexchange.core.forecast import Sample
from swexchange.core.identity import first_id
from swexchange.core.model import Decision, Kind, Outcome, Parent
from swexchange.core.search import Filter
from swexchange.errors import DamagedRow
from swexchange.store import rows
from swexchange.store.archive_tables import gone
from swexchange.store.archives import archive_of
from swexchange.store.backlog import sample_of, standing_of, waiting_upstream
from swexchange.store.database import Database
from swexchange.store.fates import EVENT_OF_FATE
from swexchange.store.readable import readable
from swexchange.store.selecting import compared, conditions, is_waiting_for_an_operator
from swexchange.store.tables import DUE, NOT_ACCEPTED, WAITING, batch, copy, event, exchange, upstream


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of a search."""

    exchange_id: str
    received_at: datetime
    sender: str  # '' = not authenticated
    submitter: str
    message_id: str
    type: str
    outcome: str
    code: str
    route: str


@dataclass(frozen=True, slots=True)
class CopyTrail:
    """One copy and how it stands."""

    id: str
    kind: str
    to: str
    state: str  # sent, unsettled (being sent, or left by a crash), due, queued (for an upstream), dropped
    at: datetime | None  # when it was confirmed or dropped, or is due again
    tries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Trail:
    """Everything recorded of one exchange."""

    decision: Decision  # without copies
    parent: Parent | None
    committed_at: datetime
    settled_at: datetime | None
    copies: tuple[CopyTrail, ...]
    events: tuple[tuple[datetime, str, str], ...]  # time, what, detail; in order
    receipt: bytes | None
    archive: str  # the archive file where the message's bytes lie, which are not here any more; '' = they are here


@dataclass(frozen=True, slots=True)
class Open:
    """What is not done yet, and when something last was."""

    waiting: int  # answers without a parent
    waiting_since: datetime | None
    due: dict[str, int]  # copies to send again, by recipient
    due_since: datetime | None  # committed time of the oldest
    due_failures: dict[str, int]  # how the last try of these failed: returned, refused, unconfirmed; of the newest 1000
    unsettled: int  # batches being sent, or left by a crash
    last_received: datetime | None
    received_last_hour: int  # exchanges
    refused_last_hour: int  # of these
    held: int  # messages that wait for an operator
    rules: str  # digest of the rules of the last batch, '' = there was none


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """A message that waits for an operator."""

    exchange_id: str
    received_at: datetime
    submitter: str
    bytes: int
    cause: str


@dataclass(frozen=True, slots=True)
class UpstreamTrail:
    """How an upstream stands, as its forwarder last said."""

    name: str
    held_until: datetime  # when its forwarder's lease ends; past = none runs
    standing: Standing
    sample: Sample | None  # an earlier look at its backlog


class AuditLog(Database):
    """Reads a store; any number beside its workers."""

    def search(self, wanted: Filter) -> list[Summary]:
        """Exchanges, newest first, at most `limit`."""
        columns = [exchange.c[name] for name in Summary.__dataclass_fields__]
        query = select(*columns).where(*conditions(wanted)).order_by(compared(wanted, "exchange_id").desc())
        with self._reading() as connection:
            found = connection.execute(query.limit(wanted.limit)).mappings().all()
        return [_summary(row) for row in found]

    def ids(self, wanted: Filter) -> Iterator[str]:
        """The ids of all exchanges that a filter finds, oldest first, whatever its limit."""
        number = compared(wanted, "exchange_id")
        query = select(exchange.c.exchange_id).where(*conditions(wanted)).order_by(number)
        with self._reading() as connection:
            yield from connection.execute(query, execution_options={"yield_per": 1000}).scalars()

    def show(self, exchange_id: str) -> Trail | None:
        """Everything about one exchange, by its id."""
        query = select(exchange, batch.c.rules_digest, batch.c.committed_at, batch.c.settled_at)
        query = query.join_from(exchange, batch, batch.c.id == exchange.c.batch_id)
        with self._reading() as connection:
            row = connection.execute(query.where(exchange.c.exchange_id == exchange_id)).mappings().first()
            return None if row is None else _trail(connection, row)

    def held(self) -> list[HeldMessage]:
        """Messages that are held and whose bytes were not decided since, oldest first."""
        names = ("exchange_id", "received_at", "submitter", "detail")
        query = select(*(exchange.c[name] for name in names), func.length(exchange.c.body).label("bytes"))
        with self._reading() as connection:
            found = connection.execute(query.where(is_waiting_for_an_operator).order_by(exchange.c.exchange_id)).all()
        return [HeldMessage(r[0], rows.moment(r[1]), r[2], r[4], _cause(r[0], r[3])) for r in found]

    def open(self, now: datetime) -> Open:
        """What is open. Looks at partial indexes and the last hour only: quick with millions of rows."""
        recent = exchange.c.exchange_id >= first_id(now - timedelta(hours=1))
        with self._reading() as connection:
            waiting, waiting_since = connection.execute(_waiting).one()
            due = connection.execute(_due_by_recipient).all()
            last = connection.execute(_last).scalar_one_or_none()
            return Open(
                waiting=waiting,
                waiting_since=rows.moment_if(waiting_since),
                due={recipient: count for recipient, count, _ in due},
                due_since=rows.moment_if(min((oldest for _, _, oldest in due), default=None)),
                due_failures={why: count for why, count in connection.execute(_due_failures) if why},
                unsettled=connection.execute(_unsettled).scalar_one(),
                last_received=rows.moment_if(last),
                received_last_hour=connection.execute(_counted.where(recent)).scalar_one(),
                rules=connection.execute(_last_rules).scalar_one_or_none() or "",
                held=connection.execute(_counted.where(is_waiting_for_an_operator)).scalar_one(),
                refused_last_hour=connection.execute(_counted.where(recent, NOT_ACCEPTED, _is_refused)).scalar_one(),
            )

    def has_pruned(self) -> bool:
        """Whether whole exchanges were taken out: they lie in archive files."""
        with self._reading() as connection:
            return connection.execute(select(gone.c.first_leaf).limit(1)).first() is not None

    def queued(self) -> dict[str, tuple[int, datetime]]:
        """Copies that wait for upstreams, by recipient: how many, and when the oldest was received."""
        with self._reading() as connection:
            return waiting_upstream(connection)

    def upstreams(self) -> list[UpstreamTrail]:
        """Every upstream that was ever forwarded to."""
        with self._reading() as connection:
            found = connection.execute(select(upstream).order_by(upstream.c.name)).mappings().all()
        return [_upstream_trail(row) for row in found]


def _upstream_trail(row: rows.Row) -> UpstreamTrail:
    with readable(upstream, row["name"]):
        return UpstreamTrail(row["name"], rows.moment(row["held_until"]), standing_of(row), sample_of(row))


_is_refused = exchange.c.outcome == str(Outcome.REJECTED)
_waiting = select(func.count(), func.min(exchange.c.received_at)).where(WAITING)
_due_by_recipient = (
    select(copy.c.recipient, func.count(), func.min(exchange.c.received_at))
    .join_from(copy, exchange, exchange.c.seq == copy.c.seq)
    .where(DUE)
    .group_by(copy.c.recipient)
)
_newest_due = select(copy.c.seq, copy.c.recipient).where(DUE).order_by(copy.c.due_at.desc()).limit(1000).subquery()
_last_failure = (
    select(event.c.event)
    .where(
        event.c.exchange_id == exchange.c.exchange_id,
        event.c.detail == _newest_due.c.recipient,
        event.c.event.in_([str(failed) for failed in EVENT_OF_FATE.values()]),
    )
    .order_by(event.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_due_failures = (
    select(_last_failure.label("why"), func.count())
    .join_from(_newest_due, exchange, exchange.c.seq == _newest_due.c.seq)
    .group_by("why")
)
_unsettled = select(func.count()).select_from(batch).where(batch.c.settled_at.is_(None))
_last = select(exchange.c.received_at).order_by(exchange.c.exchange_id.desc()).limit(1)
_last_rules = select(batch.c.rules_digest).order_by(batch.c.id.desc()).limit(1)
_counted = select(func.count()).select_from(exchange)


def _summary(row: rows.Row) -> Summary:
    with readable(exchange, row["exchange_id"]):
        rows.require_texts(row)
        return Summary(**{**row, "received_at": rows.moment(row["received_at"])})


def _cause(exchange_id: str, detail: str) -> str:
    """Why a message is held; one that cannot be read does not hide the others."""
    try:
        return rows.first_detail(exchange_id, detail)
    except DamagedRow as fault:
        return str(fault)


def _trail(connection: Connection, row: rows.Row) -> Trail:
    events = connection.execute(
        select(event.c.at, event.c.event, event.c.detail)
        .where(event.c.exchange_id == row["exchange_id"])
        .order_by(event.c.id)
    ).all()
    copies = connection.execute(select(copy).where(copy.c.seq == row["seq"]).order_by(copy.c.n)).mappings().all()
    receipts = (bytes(c["body"]) for c in copies if c["kind"] == Kind.RECEIPT)
    with readable(exchange, row["exchange_id"]):
        return Trail(
            decision=rows.decision_of(row, row["rules_digest"]),
            parent=rows.parent_of(row),
            committed_at=rows.moment(row["committed_at"]),
            settled_at=rows.moment_if(row["settled_at"]),
            copies=tuple(_copy_trail(c, row) for c in copies),
            events=tuple((rows.moment(at), what, detail) for at, what, detail in events),
            receipt=next(receipts, None),
            archive="" if row["body"] else archive_of(connection, row["batch_id"]),
        )


def _copy_trail(found: rows.Row, row: rows.Row) -> CopyTrail:
    whole = rows.copy_of({**row, "kind": found["kind"], "recipient": found["recipient"], "receipt": found["body"]})
    state = rows.copy_state(found["state"], row["settled_at"])
    at = {"sent": found["sent_at"] or row["settled_at"], "dropped": found["sent_at"]}.get(state, found["due_at"])
    return CopyTrail(whole.id, whole.kind, whole.to, state, rows.moment_if(at), found["tries"] or 0, len(whole.body))
