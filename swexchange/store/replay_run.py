"""One run of a replay in the store: the lease, and the items claimed and marked. Implements replay.Stock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, TextClause, and_, exists, func, insert, select, update

from swexchange.core.canonical import local_time
from swexchange.core.model import Copy, Event, Happening, Kind
from swexchange.core.replay import BEHIND, PRUNED, Does, Done, Parcel
from swexchange.errors import Busy, ConfigFault, Unstorable
from swexchange.store import rows
from swexchange.store.fates import note
from swexchange.store.replays import Replays, digest_of, is_leased, log, row_of, set_items, targets_of
from swexchange.store.tables import ADDED, OUTSTANDING, REPLAYED, copy, exchange, replay, replay_item

LEASE = 45_000_000  # microseconds a run may be silent: longer than it waits for the broker


@dataclass(frozen=True, slots=True)
class Runner:
    """Who runs a replay, and why."""

    name: str  # user, machine and process: no two runs have the same
    who: str
    reason: str


class Running(Replays):
    """The items of a replay, for its one run; close it."""

    def __init__(self, url: str, replay_id: str, runner: Runner, max_bytes: int) -> None:
        super().__init__(url)
        self._id, self._runner, self._max_bytes = replay_id, runner, max_bytes
        self._remote: Set[str] = frozenset()

    def take(self, rules_digest: str, now: datetime, remote: Set[str] = frozenset()) -> None:
        """Take the lease and make every item outstanding that is not sent; `remote`: who is behind an upstream.

        Raises Busy while somebody else runs it or one of its exchanges is in another replay, and
        ConfigFault when it cannot be run any more.
        """
        at = rows.microseconds(now)
        with self._reading() as connection:  # items of a sealed plan never change: this needs no lock
            found = digest_of(connection, self._id)
        try:
            with self._writing() as connection:
                self._take(connection, rules_digest, found, at)
            self._remote = remote
        except Unstorable:  # two began in the same moment: the unique index has let one of them pass
            raise Busy("another replay that shares an exchange has just begun", do="Try again later") from None

    def _take(self, connection: Connection, rules_digest: str, found: tuple[int, bytes], at: int) -> None:
        row = row_of(connection, self._id, lock=True)
        if is_leased(row, at):
            until = local_time(rows.moment(row["lease_until"]))
            do = f"If that process is dead, try again after {until}"
            raise Busy(f"replay {self._id} is being run by {row['runner']}", do=do)
        if why := self._why_over(connection, row, rules_digest, found):
            raise ConfigFault(f"replay {self._id} {why}", do="Make a new plan")
        if other := connection.execute(_overlap(self._id, OUTSTANDING)).first():
            raise Busy(
                f"{other[1]} exchanges of it are outstanding in replay {other[0]}", do="Finish or abort that one"
            )
        set_items(connection, self._id, ("planned", "failed"), "open")
        held = {"state": "running", "runner": self._runner.name, "lease_until": at + LEASE}
        connection.execute(update(replay).where(replay.c.id == self._id).values(held))
        log(connection, self._id, at, Event.STARTED, self._runner.who, self._runner.reason)

    def _why_over(self, connection: Connection, row: rows.Row, rules_digest: str, found: tuple[int, bytes]) -> str:
        if row["state"] in ("planning", "done", "aborted"):
            return f"is {row['state']}"
        if rules_digest and rules_digest != row["rules_digest"]:
            return "was planned under other rules than those in force"
        if found != (row["items"], row["digest"]):
            return "is not what was planned: its items have changed"
        later = and_(REPLAYED, replay_item.c.at > row["planned_at"])
        if other := connection.execute(_overlap(self._id, later)).first():
            return f"holds {other[1]} exchanges that replay {other[0]} has sent since it was planned"
        return ""

    def claim(self, after: int, limit: int, now: datetime) -> Sequence[Parcel]:
        """The next items; see replay.Stock. Fewer than asked for where they are large."""
        with self._writing() as connection:
            self._renew(connection, now, only_running=True)
            seqs = self._fitting(connection, after, limit)
            if not seqs:
                return ()
            these = and_(_of(self._id), replay_item.c.seq.in_(seqs), _is_open)
            connection.execute(update(replay_item).where(these).values(state="sending"))
            query = select(exchange, *replay_item.c["replay_id", "does", "targets"])
            query = query.join_from(replay_item, exchange, exchange.c.seq == replay_item.c.seq)
            found = connection.execute(query.where(these).order_by(replay_item.c.seq)).mappings().all()
            receipts = _receipts(connection, seqs)
            return [_parcel(row, receipts.get(row["seq"]), self._remote) for row in found]

    def _fitting(self, connection: Connection, after: int, limit: int) -> list[int]:
        query = select(replay_item.c.seq, func.length(exchange.c.body))
        query = query.join_from(replay_item, exchange, exchange.c.seq == replay_item.c.seq)
        query = query.where(_of(self._id), _is_open, replay_item.c.seq > after)
        seqs: list[int] = []
        size = 0
        for seq, length in connection.execute(query.order_by(replay_item.c.seq).limit(limit)):
            size += length
            if seqs and size > self._max_bytes:
                break
            seqs.append(seq)
        return seqs

    def mark(self, done: Sequence[Done], now: datetime) -> None:
        """Note what became of items; see replay.Stock. Not synced: a crash that undoes it has them sent again."""
        at = rows.microseconds(now)
        with self._writing(synced=False) as connection:
            self._renew(connection, now, only_running=False)
            of_this = and_(_of(self._id), replay_item.c.state == "sending")
            sent = [one for one in done if not one.fate]
            these = and_(of_this, replay_item.c.seq.in_([one.parcel.seq for one in sent]))
            connection.execute(update(replay_item).where(these).values(state="sent", fate=None, at=at))
            for one in done:
                if one.fate:
                    this = and_(of_this, replay_item.c.seq == one.parcel.seq)
                    connection.execute(update(replay_item).where(this).values(state="failed", fate=one.fate, at=at))
            _record_copies(connection, sent, self._id, at)
            note(connection, (h for one in done for h in self._happenings(one)), at)

    def _happenings(self, one: Done) -> Iterator[Happening]:
        if one.fate in (BEHIND, PRUNED):  # it was not touched
            return
        said = f"{self._id} {one.fate}".strip()
        for sent in one.parcel.copies:
            yield Happening(one.parcel.exchange_id, Event.REPLAYED, f"{said} {sent.kind} {sent.to}")
        for queued in () if one.fate else one.parcel.queued:
            yield Happening(one.parcel.exchange_id, Event.REPLAYED, f"{said} queued {queued.kind} {queued.to}")
        if one.parcel.delivery:
            yield Happening(one.parcel.exchange_id, Event.REPLAYED, f"{said} {one.accepted_as}".strip())
        if one.accepted_as:
            yield Happening(one.accepted_as, Event.REPLAYED, f"{self._id} was {one.parcel.exchange_id}")

    def _renew(self, connection: Connection, now: datetime, *, only_running: bool) -> None:
        """The lease for another while; what was published by an aborted run is still marked."""
        mine = [replay.c.id == self._id, replay.c.runner == self._runner.name]
        mine += [replay.c.state == "running"] if only_running else []
        until = rows.microseconds(now) + LEASE
        if connection.execute(update(replay).where(*mine).values(lease_until=until)).rowcount != 1:
            raise Busy(f"replay {self._id} was aborted or is run by somebody else")

    def end(self, why: str, now: datetime, *, complete: bool) -> None:
        """Give the lease back. A complete replay is done unless items failed; a new run tries these again."""
        at = rows.microseconds(now)
        with self._writing() as connection:
            row = row_of(connection, self._id, lock=True)
            if row["runner"] != self._runner.name:
                return
            failed = exists(select(replay_item.c.seq).where(_of(self._id), replay_item.c.state == "failed"))
            over = complete and not connection.execute(select(failed)).scalar_one()
            state = row["state"] if row["state"] == "aborted" else "done" if over else "stopped"
            if state == "aborted":  # what it had in hand and could not mark
                set_items(connection, self._id, ("sending",), "unknown")
            connection.execute(update(replay).where(replay.c.id == self._id).values(state=state, lease_until=None))
            log(connection, self._id, at, Event(state), self._runner.who, why)


_is_open = replay_item.c.state.in_(("open", "sending"))


def _of(replay_id: str) -> ColumnElement[bool]:
    return replay_item.c.replay_id == replay_id


def _overlap(replay_id: str, condition: ColumnElement[Any] | TextClause) -> Select[Any]:
    """Other replays, each with the number of its items that meet a condition and that this one has yet to send."""
    mine = select(replay_item.c.seq).where(_of(replay_id), replay_item.c.state.in_(("planned", "failed")))
    others = condition, replay_item.c.replay_id != replay_id, replay_item.c.seq.in_(mine)
    return select(replay_item.c.replay_id, func.count()).where(*others).group_by(replay_item.c.replay_id)


def _receipts(connection: Connection, seqs: Sequence[int]) -> dict[int, bytes]:
    query = select(copy.c.seq, copy.c.body).where(copy.c.seq.in_(seqs), copy.c.kind == str(Kind.RECEIPT))
    return {seq: bytes(body) for seq, body in connection.execute(query)}


def _parcel(row: rows.Row, receipt: bytes | None, remote: Set[str]) -> Parcel:
    recorded = rows.decision_of(row, "")
    number, lane = recorded.exchange_id, recorded.lane
    if rows.is_pruned(row):
        return Parcel(row["seq"], number, lane, (), pruned=True)  # or it would send nothing under the old ids
    if row["does"] == Does.ACCEPT:
        return Parcel(row["seq"], number, lane, (), recorded.again, recorded.received_at)
    targets = targets_of(row)
    copies = [rows.copy_of({**row, "kind": kind, "recipient": to, "receipt": receipt}) for kind, to in targets]
    own, queued = (tuple(c for c in copies if (c.to in remote) is is_remote) for is_remote in (False, True))
    return Parcel(row["seq"], number, lane, own, queued=queued)


def _record_copies(connection: Connection, sent: Sequence[Done], replay_id: str, at: int) -> None:
    """Keep the exchanges' copies true: new destinations are added, what was dropped and sent is sent, the rest queued.

    A new copy is numbered apart: the leaf of its exchange says what was decided, a REPLAYED event what was added.
    A queued one knows its lane and its replay.
    """
    columns = copy.c.seq, copy.c.n, copy.c.kind, copy.c.recipient, copy.c.state
    states: dict[tuple[int, str, str], str | None] = {}
    last = dict.fromkeys((one.parcel.seq for one in sent), ADDED - 1)
    query = select(*columns).where(copy.c.seq.in_([one.parcel.seq for one in sent]))
    for seq, n, kind, recipient, state in connection.execute(query):
        states[seq, kind, recipient] = state
        last[seq] = max(n, last[seq])
    for seq, changed, values in _changes(sent, replay_id, at):
        key = seq, str(changed.kind), changed.to
        if key not in states:
            last[seq] += 1
            row = {"seq": seq, "n": last[seq], "kind": str(changed.kind), "recipient": changed.to}
            connection.execute(insert(copy), {**row, **values})
        elif values["state"] == "queued" or states[key] == "dropped":
            this = and_(copy.c.seq == seq, copy.c.kind == str(changed.kind), copy.c.recipient == changed.to)
            connection.execute(update(copy).where(this).values(values))


def _changes(sent: Sequence[Done], replay_id: str, at: int) -> Iterator[tuple[int, Copy, dict[str, Any]]]:
    """Each copy of these items with its exchange's seq and what its row says from now on."""
    for parcel in (one.parcel for one in sent):
        for published in parcel.copies:
            yield parcel.seq, published, {"state": "sent", "sent_at": at}
        for queued in parcel.queued:
            lane = parcel.lane if queued.kind is Kind.MESSAGE else ""
            waits = {"state": "queued", "due_at": at, "tries": 0, "lane": lane or None, "replay": replay_id}
            yield parcel.seq, queued, waits
