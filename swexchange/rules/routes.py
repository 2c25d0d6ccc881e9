"""Where each message goes: the routes, checked against everything they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swexchange.core.model import ASKER, RECEIVERS
from swexchange.core.rulebook import Condition, MessageType, Participant, Route
from swexchange.rules.sheet import Sheet, suggest

BUILT_IN_FIELDS = frozenset({"type", "sender", "receiver", "msg_type"})


class RouteReader:
    """Reads the routes of one sheet."""

    def __init__(self, sheet: Sheet, participants: Mapping[str, Participant], types: Mapping[str, MessageType]) -> None:
        self._sheet, self._participants = sheet, participants
        self._kinds = {kind.id: kind for kind in types.values()}
        named = {place.name for kind in types.values() for place in (*kind.keys, *kind.fields)}
        self._fields = named | BUILT_IN_FIELDS

    def routes(self) -> tuple[Route, ...]:
        """All routes in the order of the file."""
        routes = tuple(self._route(entry, i) for i, entry in enumerate(self._sheet.data["routes"]))
        seen: set[str] = set()
        for i, route in enumerate(routes):
            if route.name in seen:
                self._sheet.problem(f"route {route.name} stands twice", ("routes", i))
            seen.add(route.name)
            self._check_conditions(route, i)
            self._check_destinations(route, i)
        self._check_last(routes)
        return routes

    def _route(self, entry: Mapping[str, Any], position: int) -> Route:
        return Route(
            name=entry["name"],
            line=self._sheet.file.line(("routes", position)),
            to=tuple(dict.fromkeys(entry["to"])),
            when=_conditions(entry.get("when")),
            unless=_conditions(entry.get("unless")),
        )

    def _check_conditions(self, route: Route, position: int) -> None:
        closed = {"type": self._kinds.keys(), "sender": self._participants.keys()}
        for part, conditions in (("when", route.when), ("unless", route.unless)):
            for condition in conditions:
                place = ("routes", position, part, condition.field)
                if condition.field not in self._fields:
                    do = suggest(condition.field, self._fields)
                    self._sheet.problem(f"no type has a field {condition.field}", place, do)
                known = closed.get(condition.field)
                for value in condition.values - known if known is not None else ():
                    self._sheet.problem(f"there is no {condition.field} {value}", place, suggest(value, known or ()))

    def _check_destinations(self, route: Route, position: int) -> None:
        known = {*self._participants, RECEIVERS, ASKER}
        for destination in route.to:
            if destination not in known:
                place = ("routes", position, "to")
                self._sheet.problem(f"there is no participant {destination}", place, suggest(destination, known))
        if ASKER in route.to and not self._answers_only(route):
            do = "Limit it by `when: {type: ...}` to types that have `answers`"
            self._sheet.problem(f"route {route.name} sends to asker", ("routes", position), do)

    def _answers_only(self, route: Route) -> bool:
        types = next((c for c in route.when if c.field == "type" and not c.prefixes), None)
        return types is not None and all(self._kinds[t].answers for t in types.values if t in self._kinds)

    def _check_last(self, routes: tuple[Route, ...]) -> None:
        open_to_all = [i for i, route in enumerate(routes) if not route.when and not route.unless]
        if not open_to_all:
            self._sheet.problem("no route takes everything else", ("routes",), "End with a route without `when`")
        elif self._sheet.data["match"] == "first" and open_to_all[0] < len(routes) - 1:
            behind = open_to_all[0] + 1
            what = f"route {routes[behind].name} is never reached"
            self._sheet.problem(what, ("routes", behind), "Put the route without `when` last")


def _conditions(entry: Mapping[str, Any] | None) -> tuple[Condition, ...]:
    conditions = []
    for name, given in (entry or {}).items():
        texts = given if isinstance(given, list) else [given]
        exact = frozenset(text for text in texts if not text.endswith("*"))
        prefixes = tuple(text[:-1] for text in texts if text.endswith("*"))
        conditions.append(Condition(name, exact, prefixes))
    return tuple(conditions)
