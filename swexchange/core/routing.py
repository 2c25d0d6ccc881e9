"""Where a message goes: the routes tried, the destinations, and each named receiver's result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from swexchange.core import codes
from swexchange.core.model import ASKER, RECEIVERS, Head, ReceiverResult
from swexchange.core.rulebook import ANYTHING, Condition, Participant, Route, Rulebook

_NOTHING: frozenset[str] = frozenset()

Facts = Mapping[str, frozenset[str]]
"""What routes can ask about: `type`, `sender`, `receiver`, `msg_type`, and every key and field by name."""


@dataclass(frozen=True, slots=True)
class Routing:
    """The outcome: matched routes, destinations in order without repeats, results of named receivers."""

    routes: tuple[Route, ...]
    to: tuple[str, ...]
    results: tuple[ReceiverResult, ...] = ()
    to_asker: bool = False


def why_not(route: Route, facts: Facts) -> str:
    """Why a route does not take these facts; '' when it does."""
    for condition in route.when:
        found = facts.get(condition.field, _NOTHING)
        if not condition.holds(found):
            return f"{condition.field} is {_said(found)}, wanted {_wanted(condition)}"
    for condition in route.unless:
        found = facts.get(condition.field, _NOTHING)
        if condition.holds(found):
            return f"{condition.field} is {_said(found)}, excepted by unless"
    return ""


def _said(found: frozenset[str]) -> str:
    return ", ".join(sorted(found)) or "absent"


def _wanted(condition: Condition) -> str:
    texts = [*sorted(condition.values), *(f"{prefix}*" for prefix in condition.prefixes)]
    return texts[0] if len(texts) == 1 else "one of " + ", ".join(texts)


def matching(rules: Rulebook, facts: Facts) -> Iterator[Route]:
    """The routes that take these facts, in the order of the file."""
    for position in rules.index.candidates(facts):
        route = rules.routes[position]
        if _takes(route, facts):
            yield route


def _takes(route: Route, facts: Facts) -> bool:
    return all(c.holds(facts.get(c.field, _NOTHING)) for c in route.when) and not any(
        c.holds(facts.get(c.field, _NOTHING)) for c in route.unless
    )


def route(rules: Rulebook, facts: Facts, head: Head, sender: Participant) -> Routing:
    """Destinations of a message. No route at all leaves `routes` empty."""
    found = matching(rules, facts)
    matched = tuple(found) if rules.match_all else tuple(r for r, _ in zip(found, range(1), strict=False))
    wanted = [destination for r in matched for destination in r.to]
    results = _results(rules, head, sender) if RECEIVERS in wanted else ()
    reachable = [result.receiver for result in results if result.code == codes.ACCEPTED]
    to: dict[str, None] = {}
    for destination in wanted:
        to.update(dict.fromkeys(reachable if destination == RECEIVERS else (destination,)))
    return Routing(matched, tuple(d for d in to if d != ASKER), results, ASKER in to)


def _results(rules: Rulebook, head: Head, sender: Participant) -> tuple[ReceiverResult, ...]:
    return tuple(_result(rules, receiver, sender) for receiver in dict.fromkeys(head.receivers))


def _result(rules: Rulebook, receiver: str, sender: Participant) -> ReceiverResult:
    if receiver not in rules.participants:
        return ReceiverResult(receiver, codes.NO_RECEIVER)
    if sender.to is not ANYTHING and not sender.to & {receiver, "*"}:
        return ReceiverResult(receiver, codes.RECEIVER_NOT_ALLOWED)
    return ReceiverResult(receiver, codes.ACCEPTED)
