"""Holds the rows of replays and holds against the events of the Merkle log about them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, exists, func, or_, select

from swexchange.core.model import Event
from swexchange.store.archive_tables import hold
from swexchange.store.operations import HELD, REPLAYED, hold_told, replay_told
from swexchange.store.replays import digest_of
from swexchange.store.tables import THE_LOG, event, exchange, replay, replay_item, replay_log

Told = Mapping[str, Any]
Happened = dict[tuple[str, str, int], list[Told]]  # by subject, event and time
_STATES: dict[str, str] = {Event.PLANNED: "planned", Event.STARTED: "running"}  # after others, that event's own name


def badly_recorded(connection: Connection) -> Iterator[tuple[str, str]]:
    """Replays and holds whose rows say other than the log: which, and what.

    Rows are added in one transaction with their events. So an event that is there before the rows are read
    has its row, and a row has its event afterwards, whoever plans and runs meanwhile.
    """
    before = _events(connection)
    rows = _rows(connection)
    after = _events(connection)
    for key in sorted(before.keys() | rows.keys()):
        logged = before.get(key) or after.get(key, [])
        for said, row in zip_longest(logged, rows.get(key, [])):
            if what := _trouble(key[1], said, row):
                yield key[0], what
    yield from _replays(connection)


def _trouble(happened: str, said: Told | None, row: Told | None) -> str:
    if row is None:
        return f"the log says that it was {happened}, its row of that was removed"
    if said is None:
        return f"its row says that it was {happened}, the log does not: it was added"
    other = [name for name in row if row[name] != said.get(name)]
    return f"its row says another {', '.join(other)} than the log, of when it was {happened}" if other else ""


def _events(connection: Connection) -> Happened:
    of_operators = event.c.exchange_id == THE_LOG, event.c.event.in_([str(one) for one in (*REPLAYED, *HELD)])
    query = select(event.c.event, event.c.at, event.c.detail).where(*of_operators).order_by(event.c.id)
    return _by_key((name, at, _read(detail)) for name, at, detail in connection.execute(query).all())


def _read(detail: str) -> Told:
    """What cannot be read says nothing; whoever changed it is found with its leaf."""
    try:
        told = json.loads(detail)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _rows(connection: Connection) -> Happened:
    found: list[tuple[str, int, Told]] = []
    of_log = connection.execute(select(replay_log).order_by(replay_log.c.id)).mappings().all()
    plans = {row["id"]: row for row in connection.execute(select(replay)).mappings()}
    found += [  # a row without its plan says nothing: the log does
        (row["event"], row["at"], _told(replay_told, row["event"], row, plans[row["replay_id"]]))
        for row in of_log
        if row["replay_id"] in plans
    ]
    for row in connection.execute(select(hold).order_by(hold.c.id)).mappings():
        found.append((str(Event.PLACED), row["placed_at"], _told(hold_told, Event.PLACED, row)))
        if row["lifted_at"] is not None:
            found.append((str(Event.LIFTED), row["lifted_at"], _told(hold_told, Event.LIFTED, row)))
    return _by_key(found)


def _told(tell: Callable[..., dict[str, Any]], *rows: Any) -> Told:
    try:
        return tell(*rows)
    except (TypeError, AttributeError):
        return {}  # a value of a wrong type, as SQLite allows: whatever it is, no such thing was recorded


def _by_key(found: Iterable[tuple[str, int, Told]]) -> Happened:
    by_key: Happened = defaultdict(list)
    for name, at, told in found:
        subject = f"replay {told['replay']}" if "replay" in told else f"hold {told.get('hold', '-')}"
        by_key[subject, name, at].append(told)
    return by_key


def _replays(connection: Connection) -> Iterator[tuple[str, str]]:
    last = select(replay_log.c.event).where(replay_log.c.replay_id == replay.c.id).order_by(replay_log.c.id.desc())
    columns: list[Any] = [
        replay.c.id,
        replay.c.state,
        replay.c["items"],
        replay.c.digest,
        last.limit(1).scalar_subquery(),
    ]
    for number, state, items, digest, happened in connection.execute(select(*columns).order_by(replay.c.id)).all():
        if happened is None and state == "planning":
            continue
        if state != _STATES.get(happened, happened):
            yield f"replay {number}", f"its row says that it is {state}, the last that is recorded of it: {happened}"
        if digest and digest_of(connection, number) != (items, bytes(digest)):
            yield f"replay {number}", "its items are not those that were planned"
    for query, what in _ITEMS:
        for number, count in connection.execute(query):
            yield f"replay {number}", what.format(count)


def _of_log(*kinds: str) -> ColumnElement[bool]:
    """Whether the log has an event of the item's exchange that this replay sent something of a kind, or what it did."""
    about = event.c.exchange_id == exchange.c.exchange_id, event.c.event == str(Event.REPLAYED)
    begins = (event.c.detail.startswith(replay_item.c.replay_id.concat(f" {kind} ")) for kind in kinds)
    return exists().where(*about, or_(*begins) if kinds else event.c.detail.startswith(replay_item.c.replay_id))


def _items(*these: ColumnElement[bool]) -> Select[Any]:
    """Replays with the number of such items, among those whose exchange was not pruned since."""
    query = select(replay_item.c.replay_id, func.count())
    query = query.join_from(replay_item, exchange, exchange.c.seq == replay_item.c.seq)
    return query.where(*these).group_by(replay_item.c.replay_id).order_by(replay_item.c.replay_id)


_ITEM_STATES = ("planned", "open", "sending", "sent", "failed", "left", "unknown")
# An item is marked in one transaction with its events. One that was given up in a run's hand may be sent all the same.
_was_sent, _may_be_sent = replay_item.c.state == "sent", replay_item.c.state.in_(("sent", "unknown"))
_ITEMS = (
    (_items(replay_item.c.state.not_in(_ITEM_STATES)), "{} items stand in no state that there is"),
    (_items(_was_sent, ~_of_log()), "its rows say that {} items were sent, the log does not"),
    (
        _items(~_may_be_sent, _of_log("message", "receipt", "queued")),
        "its rows say that {} items were not sent, the log that they were: another run would send them again",
    ),
)
