"""Replays as an operator sees them: planned, listed, followed, given up. Running one is `replay_run`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from swexchange.core.model import Event
from swexchange.core.replay import Item
from swexchange.errors import ConfigFault
from swexchange.store import rows
from swexchange.store.archive_tables import taken
from swexchange.store.database import Database
from swexchange.store.fates import FARTHEST_LEASE
from swexchange.store.operations import note_replay
from swexchange.store.readable import Partly, read_json, readable
from swexchange.store.tables import exchange, replay, replay_item, replay_log

_TARGETS = [(str, str, bool)]  # kind, participant, whether it is a repeat
_EFFECT = Partly(
    dict.fromkeys(("found", "matching", "items", "accepted_anew"), int),
    sends=[{"kind": str, "to": str, "repeats": bool, "copies": int}],
    left_out=[{"why": str, "exchanges": int}],
    today_differs=[{"change": str, "type": str, "then": str, "today": str, "exchanges": int}],
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for, before its items are known."""

    how: str
    wanted: Mapping[str, Any]  # JSON values: the filter and what narrows it
    rules_digest: str
    who: str


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay and how it stands."""

    id: str
    planned_at: datetime
    planned_by: str
    how: str
    wanted: Mapping[str, Any]
    effect: Mapping[str, Any]  # what the plan showed
    rules_digest: str
    items: int
    digest: str  # hex; '' = its planning never ended
    state: str  # planning, planned, running, stopped, done, aborted
    runner: str
    lease_until: datetime | None
    counts: Mapping[str, int]  # items by state: planned, open, sending, sent, failed, left, unknown
    fates: Mapping[str, int]  # failed items by what happened
    log: tuple[tuple[datetime, str, str, str], ...]  # time, event, who, detail


@dataclass(frozen=True, slots=True)
class ReplayItem:
    """One exchange of a replay and how it stands."""

    exchange_id: str  # '' = its row was pruned
    message_id: str
    does: str
    to: tuple[str, ...]  # kind and participant of each copy
    state: str  # as in Replay.counts
    fate: str  # of a failed one: why
    at: datetime | None  # when it was sent or failed


class Replays(Database):
    """All replays of a database; close it."""

    def begin(self, plan: Plan, now: datetime) -> str:
        """A plan without items yet; its id: time, then what was asked for."""
        at, wanted = rows.microseconds(now), json.dumps(plan.wanted, ensure_ascii=False, sort_keys=True)
        content = hashlib.sha256(f"{at} {plan.who} {plan.how} {wanted}".encode()).hexdigest()
        number = f"{at // 1000:012x}-{content[:8]}"
        row = {
            "id": number,
            "planned_at": at,
            "planned_by": plan.who,
            "how": plan.how,
            "wanted": wanted,
            "effect": "{}",
            "rules_digest": plan.rules_digest,
            "items": 0,
            "state": "planning",
        }
        with self._writing() as connection:
            connection.execute(insert(replay), row)
        return number

    def held(self, identities: Collection[str]) -> set[str]:
        """Those of these identities that recorded exchanges have, pruned ones too."""
        with self._reading() as connection:
            columns = exchange.c.identity, taken.c.identity
            found = (connection.execute(select(one).where(one.in_(identities))).scalars() for one in columns)
            return set(chain.from_iterable(found))

    def freeze(self, replay_id: str, items: Iterable[Item], dropped: Collection[int] = ()) -> None:
        """Add items to a plan that is being made, and take out others, by seq."""
        values = [
            {
                "replay_id": replay_id,
                "seq": item.seq,
                "does": str(item.does),
                "targets": json.dumps([[str(t.kind), t.to, t.repeat] for t in item.targets]),
                "state": "planned",
            }
            for item in items
        ]
        with self._writing() as connection:
            if values:
                connection.execute(insert(replay_item), values)
            of_this = replay_item.c.replay_id == replay_id
            connection.execute(delete(replay_item).where(of_this, replay_item.c.seq.in_(dropped)))

    def seal(self, replay_id: str, effect: Mapping[str, Any], who: str, now: datetime) -> Replay:
        """The plan is complete: from now on its items never change."""
        with self._reading() as connection:
            count, digest = digest_of(connection, replay_id)
        with self._writing() as connection:
            sealed = {"effect": json.dumps(effect, ensure_ascii=False), "items": count, "digest": digest}
            connection.execute(update(replay).where(replay.c.id == replay_id).values(**sealed, state="planned"))
            said = f"{count} items, sha256 {digest.hex()}"
            log(connection, replay_id, rows.microseconds(now), Event.PLANNED, who, said)
        return self.get(replay_id)

    def get(self, replay_id: str) -> Replay:
        """One replay. Raises ConfigFault where there is none of this id."""
        with self._reading() as connection:
            return _replay(connection, row_of(connection, replay_id))

    def list(self, limit: int) -> list[Replay]:
        """The latest replays, newest first."""
        with self._reading() as connection:
            query = select(replay).order_by(replay.c.id.desc()).limit(limit)
            return [_replay(connection, row) for row in connection.execute(query).mappings().all()]

    def items(self, replay_id: str, state: str = "") -> Iterator[ReplayItem]:
        """The exchanges of a replay in their order, those in one state if asked; few are in memory at a time."""
        columns = replay_item.c["does", "targets", "state", "fate", "at"]
        query = select(
            exchange.c.exchange_id, exchange.c.message_id, replay_item.c.replay_id, replay_item.c.seq, *columns
        )
        query = query.join_from(replay_item, exchange, exchange.c.seq == replay_item.c.seq, isouter=True)
        these = replay_item.c.replay_id == replay_id, *((replay_item.c.state == state,) if state else ())
        query = query.where(*these).order_by(replay_item.c.seq)
        streamed = {"yield_per": 1000}
        with self._reading() as connection, connection.execute(query, execution_options=streamed) as found:
            for row in found.mappings():
                yield _item(row)

    def abort(self, replay_id: str, who: str, reason: str, now: datetime) -> Replay:
        """Give a replay up for good; a run that is at work ends after what it has in hand. Raises ConfigFault."""
        at = rows.microseconds(now)
        with self._writing() as connection:
            row = row_of(connection, replay_id, lock=True)
            if row["state"] == "done":
                raise ConfigFault(f"replay {replay_id} is done", do="There is nothing left to give up")
            connection.execute(update(replay).where(replay.c.id == replay_id).values(state="aborted"))
            set_items(connection, replay_id, ("planned", "open"), "left")
            if not is_leased(row, at):  # nobody is left to say what became of these
                set_items(connection, replay_id, ("sending",), "unknown")
            log(connection, replay_id, at, Event.ABORTED, who, reason)
        return self.get(replay_id)


def row_of(connection: Connection, replay_id: str, *, lock: bool = False) -> rows.Row:
    """The row of a replay, locked against other runs if asked. Raises ConfigFault where there is none."""
    query = select(replay).where(replay.c.id == replay_id)
    found = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if found is None:
        raise ConfigFault(f"there is no replay {replay_id}", do="`swexchange replay list` shows them")
    return found


def is_leased(row: rows.Row, at: int) -> bool:
    """Whether somebody is running it; nobody whose clock is right takes a lease for longer."""
    until = row["lease_until"]
    return isinstance(until, int) and at < until <= at + FARTHEST_LEASE


def digest_of(connection: Connection, replay_id: str) -> tuple[int, bytes]:
    """Number and SHA-256 of a replay's items, in order: what an operator saw is what is sent."""
    columns = replay_item.c.seq, replay_item.c.does, replay_item.c.targets
    query = select(*columns).where(replay_item.c.replay_id == replay_id).order_by(replay_item.c.seq)
    count, digest = 0, hashlib.sha256()
    for seq, does, targets in connection.execute(query, execution_options={"yield_per": 1000}):
        count += 1
        digest.update(f"{seq} {does} {targets}\n".encode())
    return count, digest.digest()


def set_items(connection: Connection, replay_id: str, before: tuple[str, ...], after: str) -> None:
    """Move items from one state to another."""
    these = replay_item.c.replay_id == replay_id, replay_item.c.state.in_(before)
    connection.execute(update(replay_item).where(*these).values(state=after))


def log(connection: Connection, replay_id: str, at: int, event: Event, who: str, detail: str) -> None:
    """Who did what to a replay, when and why: a row, and an event of the Merkle log that vouches for it."""
    row = {"replay_id": replay_id, "at": at, "event": str(event), "who": who, "detail": detail}
    connection.execute(insert(replay_log), row)
    note_replay(connection, event, row, row_of(connection, replay_id))


def targets_of(row: rows.Row) -> Sequence[tuple[str, str]]:
    """Kind and participant of each copy that an item sends. Raises DamagedRow."""
    place = f"{row['replay_id']} {row['seq']}"
    return [(kind, to) for kind, to, _ in read_json(replay_item.c.targets, place, row["targets"], _TARGETS)]


def _item(row: rows.Row) -> ReplayItem:
    to = tuple(f"{kind} {to}" for kind, to in targets_of(row))
    with readable(replay_item, f"{row['replay_id']} {row['seq']}"):
        return ReplayItem(
            row["exchange_id"] or "",
            row["message_id"] or "",
            row["does"],
            to,
            row["state"],
            row["fate"] or "",
            rows.moment_if(row["at"]),
        )


def _replay(connection: Connection, row: rows.Row) -> Replay:
    of_this = replay_item.c.replay_id == row["id"]
    counts = select(replay_item.c.state, func.count()).where(of_this).group_by(replay_item.c.state)
    fates = select(replay_item.c.fate, func.count()).where(of_this, replay_item.c.state == "failed")
    columns = replay_log.c.at, replay_log.c.event, replay_log.c.who, replay_log.c.detail
    logged = select(*columns).where(replay_log.c.replay_id == row["id"]).order_by(replay_log.c.id)
    with readable(replay, row["id"]):
        return Replay(
            id=row["id"],
            planned_at=rows.moment(row["planned_at"]),
            planned_by=row["planned_by"],
            how=row["how"],
            wanted=read_json(replay.c.wanted, row["id"], row["wanted"], dict),
            effect=read_json(replay.c.effect, row["id"], row["effect"], _EFFECT),
            rules_digest=row["rules_digest"],
            items=row["items"],
            digest=row["digest"].hex() if row["digest"] else "",
            state=row["state"],
            runner=row["runner"] or "",
            lease_until=rows.moment_if(row["lease_until"]),
            counts=_counted(connection, counts),
            fates=_counted(connection, fates.group_by(replay_item.c.fate)),
            log=tuple((rows.moment(at), event, who, detail) for at, event, who, detail in connection.execute(logged)),
        )


def _counted(connection: Connection, query: Select[Any]) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(query)}
