"""The upstreams: other brokers, and the participants who are behind them. Their URLs stand elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swexchange.core.lanes import Weights
from swexchange.core.rulebook import Participant, RemoteQueue, Upstream
from swexchange.rules.sheet import Sheet, suggest
from swexchange.yamlfile import Place


def read_upstreams(sheet: Sheet, participants: Mapping[str, Participant]) -> dict[str, Upstream]:
    """All upstreams by name; each must have a participant behind it, and each such participant its upstream."""
    upstreams: dict[str, Upstream] = {}
    for i, entry in enumerate(sheet.data.get("upstreams") or []):
        if entry["name"] in upstreams:
            sheet.problem(f"upstream {entry['name']} stands twice", ("upstreams", i))
        upstreams[entry["name"]] = _upstream(sheet, entry, ("upstreams", i), participants)
    for i, entry in enumerate(sheet.data["participants"]):
        name = entry.get("upstream")
        if name is not None and name not in upstreams:
            sheet.problem(f"there is no upstream {name}", ("participants", i, "upstream"), suggest(name, upstreams))
    return upstreams


def _upstream(sheet: Sheet, entry: dict[str, Any], place: Place, participants: Mapping[str, Participant]) -> Upstream:
    behind = {p.id for p in participants.values() if p.upstream == entry["name"]}
    if not behind:
        sheet.problem(f"nobody is behind upstream {entry['name']}", place, "Give a participant this `upstream`")
    for j, queue in enumerate(entry.get("queues") or []):
        if queue["from"] not in behind:
            what = f"{queue['from']} is not behind upstream {entry['name']}"
            sheet.problem(what, (*place, "queues", j, "from"), suggest(queue["from"], behind))
    weights = {name: int(value) for name, value in (entry.get("weights") or {}).items()}
    return Upstream(
        name=entry["name"],
        exchange=entry["exchange"],
        queues=tuple(RemoteQueue(queue["name"], queue["from"]) for queue in entry.get("queues") or []),
        weights=Weights(**weights),
    )
