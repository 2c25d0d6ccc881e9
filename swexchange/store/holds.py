"""Legal holds: what may not be pruned, by whom and why. A hold is a filter: what comes later is held too."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, insert, not_, or_, select, text, true, update

from swexchange.core.model import BusinessKey, Event
from swexchange.core.search import Filter
from swexchange.errors import ConfigFault
from swexchange.store import rows
from swexchange.store.archive_tables import hold
from swexchange.store.database import Database
from swexchange.store.engine import is_sqlite
from swexchange.store.operations import note_hold
from swexchange.store.readable import Partly, read_json, readable
from swexchange.store.selecting import conditions
from swexchange.store.tables import exchange

_TEXTS = ("message_id", "sender", "receiver", "type", "outcome", "code", "route", "state")
_KEY = {"name": str, "value": str}
_WANTED = Partly(dict.fromkeys(_TEXTS, str), exchanges=[str], key=_KEY, since=int, until=int)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('swexchange/hold', 0))")


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold, in force until it is lifted."""

    id: int
    wanted: Filter
    placed_at: datetime
    placed_by: str
    why: str
    lifted_at: datetime | None
    lifted_by: str
    lifted_why: str


class Holds(Database):
    """All holds of a database; close it."""

    def add(self, wanted: Filter, who: str, why: str, now: datetime) -> int:
        """Hold what a filter finds, now and later; the hold's number. Once it returns, nothing of it is pruned."""
        row = {"wanted": _written(wanted), "placed_at": rows.microseconds(now), "placed_by": who, "why": why}
        with self._writing() as connection:
            lock(connection)
            placed = connection.execute(insert(hold).values(row).returning(*hold.c)).mappings().one()
            note_hold(connection, Event.PLACED, placed)
            return int(placed["id"])

    def lift(self, number: int, who: str, why: str, now: datetime) -> None:
        """End a hold. Raises ConfigFault where there is none of this number in force."""
        lifted = {"lifted_at": rows.microseconds(now), "lifted_by": who, "lifted_why": why}
        this = and_(hold.c.id == number, hold.c.lifted_at.is_(None))
        with self._writing() as connection:
            ended = connection.execute(update(hold).where(this).values(lifted).returning(*hold.c)).mappings().first()
            if ended is None:
                raise ConfigFault(f"no hold {number} is in force", do="`swexchange hold list` lists those that are")
            note_hold(connection, Event.LIFTED, ended)

    def list(self) -> Sequence[Hold]:
        """All holds, the latest first, lifted ones too."""
        with self._reading() as connection:
            found = connection.execute(select(hold).order_by(hold.c.id.desc())).mappings().all()
        return [_hold(row) for row in found]

    def count(self, wanted: Filter) -> int:
        """How many exchanges a filter finds, whatever its limit."""
        counted = select(func.count()).select_from(exchange).where(*conditions(wanted))
        with self._reading() as connection:
            return int(connection.execute(counted).scalar_one())


def lock(connection: Connection) -> None:
    """Holds do not change while this transaction lasts, and it knows all of them. SQLite has one writer anyway."""
    if not is_sqlite(connection):
        connection.execute(_LOCK)


def in_force(connection: Connection) -> Mapping[int, Filter]:
    """What the holds in force hold, by number. Raises DamagedRow: what one holds must be known to prune the rest."""
    found = connection.execute(select(hold.c.id, hold.c.wanted).where(hold.c.lifted_at.is_(None))).all()
    return {number: _read(number, text) for number, text in found}


def is_held(connection: Connection) -> ColumnElement[bool]:
    """Whether an exchange is under a hold that is in force."""
    held = [and_(true(), *conditions(wanted)) for wanted in in_force(connection).values()]
    return or_(*held) if held else not_(true())


def _written(wanted: Filter) -> str:
    """A filter as JSON; what it does not say is left out."""
    return json.dumps(dict(_values(wanted)), ensure_ascii=False)


def _values(wanted: Filter) -> Iterator[tuple[str, Any]]:
    for name, value in dataclasses.asdict(wanted).items():
        if value and name not in ("after", "limit"):
            yield name, rows.microseconds(value) if isinstance(value, datetime) else value


def _hold(row: rows.Row) -> Hold:
    wanted = _read(row["id"], row["wanted"])
    with readable(hold, row["id"]):
        times = {"placed_at": rows.moment(row["placed_at"]), "lifted_at": rows.moment_if(row["lifted_at"])}
        return Hold(**{**row, "wanted": wanted, **times})


def _read(number: int, text: str) -> Filter:
    told = read_json(hold.c.wanted, number, text, _WANTED)
    with readable(hold, number, hold.c.wanted.name):
        times = {name: rows.moment(told[name]) for name in ("since", "until") if name in told}
        keys = {"key": BusinessKey(**told["key"])} if "key" in told else {}
        return Filter(**{**told, **times, **keys, "exchanges": tuple(told.get("exchanges", ()))})
