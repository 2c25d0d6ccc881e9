"""What operators do to replays and holds, as events of the Merkle log: what its rows say can be held against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from swexchange.core.model import Event, Happening
from swexchange.store import rows
from swexchange.store.fates import note
from swexchange.store.tables import THE_LOG

REPLAYED = (Event.PLANNED, Event.STARTED, Event.STOPPED, Event.DONE, Event.ABORTED)
HELD = (Event.PLACED, Event.LIFTED)


def note_replay(connection: Connection, event: Event, log: Mapping[str, Any], replay: rows.Row) -> None:
    """Add to the log what a row of `replay_log` says, in the transaction that adds it."""
    note(connection, [Happening(THE_LOG, event, _written(replay_told(event, log, replay)))], log["at"])


def note_hold(connection: Connection, event: Event, hold: rows.Row) -> None:
    """Add to the log that a hold was placed or lifted, in the transaction that does it."""
    at = hold["placed_at" if event is Event.PLACED else "lifted_at"]
    note(connection, [Happening(THE_LOG, event, _written(hold_told(event, hold)))], at)


def replay_told(event: str, log: rows.Row, replay: rows.Row) -> dict[str, Any]:
    """The event's detail, of the rows it is about; of a plan, all that never changes."""
    told = {"replay": log["replay_id"], "by": log["who"], "reason": log["detail"]}
    if event != Event.PLANNED:
        return told
    effect = hashlib.sha256(replay["effect"].encode()).hexdigest()
    frozen = {"planner": replay["planned_by"], "planned_at": replay["planned_at"], "how": replay["how"]}
    frozen |= {"wanted": replay["wanted"], "rules": replay["rules_digest"], "effect": effect}
    return told | frozen | {"count": replay["items"], "digest": (replay["digest"] or b"").hex()}


def hold_told(event: str, hold: rows.Row) -> dict[str, Any]:
    """The event's detail, of the row it is about."""
    if event == Event.PLACED:
        return {"hold": hold["id"], "by": hold["placed_by"], "reason": hold["why"], "wanted": hold["wanted"]}
    return {"hold": hold["id"], "by": hold["lifted_by"], "reason": hold["lifted_why"]}


def _written(told: Mapping[str, Any]) -> str:
    return json.dumps(told, ensure_ascii=False)
