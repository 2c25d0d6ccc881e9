"""Routing: conditions, exceptions, first and all; and an index that changes nothing but the time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swexchange.core.model import Head, ReceiverResult
from swexchange.core.routing import Facts, matching, route, why_not
from swexchange.core.rulebook import Condition, Participant, Route, RouteIndex, Rulebook
from tests.world import CUSTOMS, ENTERPRISE, PORT, PROVINCE, condition, participants, rulebook

RULES = rulebook()
HEAD = Head("ID", ENTERPRISE, (CUSTOMS, PORT), "", "")
SENDER = participants()[ENTERPRISE]


def facts(**values: str | list[str]) -> Facts:
    return {name: frozenset([found] if isinstance(found, str) else found) for name, found in values.items()}


HOLDS = {
    "equal": (("53",), ["53"], True),
    "other": (("53",), ["54"], False),
    "absent": (("53",), [], False),
    "one of the texts": (("53", "54"), ["54"], True),
    "one of the values": (("53",), ["52", "53"], True),
    "prefix": (("53*",), ["5304"], True),
    "prefix itself": (("53*",), ["53"], True),
    "shorter than the prefix": (("53*",), ["5"], False),
    "prefix of absent": (("*",), [], False),
    "any value": (("*",), ["x"], True),
    "star inside is a letter": (("5*3",), ["513"], False),
    "star inside, exactly": (("5*3",), ["5*3"], True),
    "exact and prefix": (("53*", "54"), ["54"], True),
    "case counts": (("AB",), ["ab"], False),
    "blanks count": (("AB",), ["AB "], False),
    "no pattern": ((".*",), ["x"], False),
    "no texts": ((), ["x"], False),
    "Chinese": (("深*",), ["深圳"], True),
}


@pytest.mark.parametrize(("texts", "found", "expected"), HOLDS.values(), ids=HOLDS)
def test_a_condition_holds_for_any_of_its_texts(texts: tuple[str, ...], found: list[str], expected: bool) -> None:
    """Exactly, or by what stands before a final star."""
    assert condition("f", *texts).holds(frozenset(found)) is expected


WHY = {
    "takes everything": (Route("r", 1, ()), facts(), ""),
    "all hold": (
        Route("r", 1, (), (condition("a", "1"), condition("b", "2*"))),
        facts(a="1", b="23"),
        "",
    ),
    "absent": (Route("r", 1, (), (condition("a", "1"),)), facts(), "a is absent, wanted 1"),
    "other": (Route("r", 1, (), (condition("a", "1", "2*"),)), facts(a=["4", "3"]), "a is 3, 4, wanted one of 1, 2*"),
    "second fails": (
        Route("r", 1, (), (condition("a", "1"), condition("b", "2"))),
        facts(a="1", b="3"),
        "b is 3, wanted 2",
    ),
    "excepted": (
        Route("r", 1, (), (condition("a", "1"),), (condition("b", "2"),)),
        facts(a="1", b="2"),
        "b is 2, excepted by unless",
    ),
    "exception does not hold": (Route("r", 1, (), unless=(condition("b", "2"),)), facts(b="3"), ""),
    "any exception counts": (
        Route("r", 1, (), unless=(condition("a", "1"), condition("b", "2"))),
        facts(b="2"),
        "b is 2, excepted by unless",
    ),
}


@pytest.mark.parametrize(("candidate", "known", "expected"), WHY.values(), ids=WHY)
def test_why_a_route_does_not_take_a_message(candidate: Route, known: Facts, expected: str) -> None:
    """The first condition that fails is told with what was found and what was wanted."""
    assert why_not(candidate, known) == expected


def rules(*routes: Route, match_all: bool = False) -> Rulebook:
    return replace(RULES, routes=routes, match_all=match_all)


FIRST = Route("first", 1, (PORT, "receivers"), (condition("type", "A"),))
SECOND = Route("second", 2, (PROVINCE, PORT), (condition("type", "A"),))


def test_destinations_come_in_order_without_repeats() -> None:
    """Of the first route, or of all that match."""
    assert route(rules(FIRST, SECOND), facts(type="A"), HEAD, SENDER).to == (PORT, CUSTOMS)
    every = route(rules(FIRST, SECOND, match_all=True), facts(type="A"), HEAD, SENDER)
    assert every.to == (PORT, CUSTOMS, PROVINCE)
    assert [r.name for r in every.routes] == ["first", "second"]


def test_results_are_those_of_named_receivers_where_the_route_asks_for_them() -> None:
    """A route that names its destinations itself leaves the envelope's receivers aside."""
    assert route(rules(FIRST), facts(type="A"), HEAD, SENDER).results == (
        ReceiverResult(CUSTOMS, "0000"),
        ReceiverResult(PORT, "0000"),
    )
    assert route(rules(SECOND), facts(type="A"), HEAD, SENDER).results == ()


def test_no_route_leaves_nothing() -> None:
    """Nothing matches: no route, no destination, no result."""
    nothing = route(rules(FIRST), facts(type="B"), HEAD, SENDER)
    assert (nothing.routes, nothing.to, nothing.results, nothing.to_asker) == ((), (), (), False)


def test_the_asker_is_no_destination_but_a_wish() -> None:
    """`asker` is known only later: it is told apart from the destinations."""
    found = route(rules(Route("r", 1, ("asker", PORT))), facts(), HEAD, SENDER)
    assert (found.to_asker, found.to) == (True, (PORT,))


def test_permission_is_asked_of_named_receivers() -> None:
    """An unknown receiver is unknown before it is forbidden."""
    narrow = Participant(ENTERPRISE, "", "integrator", to=frozenset({PORT}))
    head = Head("ID", ENTERPRISE, (CUSTOMS, "NOBODY", PORT, PORT), "", "")
    found = route(rules(Route("r", 1, ("receivers",))), facts(), head, narrow)
    assert found.to == (PORT,)
    assert [(r.receiver, r.code) for r in found.results] == [(CUSTOMS, "4107"), ("NOBODY", "2001"), (PORT, "0000")]


NAMES = st.sampled_from("abc")
VALUES = st.sampled_from(["1", "2", "12", "3"])
CONDITIONS = st.builds(
    Condition,
    NAMES,
    st.frozensets(VALUES, max_size=3),
    st.lists(st.sampled_from(["", "1", "3"]), max_size=2).map(tuple),
)
ROUTES = st.lists(
    st.builds(
        Route,
        st.just("r"),
        st.just(1),
        st.lists(st.sampled_from([PORT, CUSTOMS, "receivers", "asker"]), max_size=3).map(tuple),
        st.lists(CONDITIONS, max_size=3).map(tuple),
        st.lists(CONDITIONS, max_size=2).map(tuple),
    ),
    max_size=8,
).map(tuple)
FACTS = st.dictionaries(NAMES, st.frozensets(VALUES, max_size=3))


def takes(candidate: Route, known: Facts) -> bool:
    """What a route means, said once more and plainly."""

    def holds(c: Condition) -> bool:
        return any(value in c.values or value.startswith(c.prefixes) for value in known.get(c.field, ()))

    return all(map(holds, candidate.when)) and not any(map(holds, candidate.unless))


@settings(max_examples=250, deadline=None)
@given(ROUTES, FACTS, st.booleans())
@example((Route("r", 1, (), (Condition("a", frozenset()),)),), {"a": frozenset("1")}, True)
@example((Route("r", 1, (), (Condition("a", frozenset("1"), ("",)),)),), {"a": frozenset("3")}, True)
def test_the_index_finds_what_trying_every_route_finds(routes: tuple[Route, ...], known: Facts, every: bool) -> None:
    """Same routes, same order, and `why_not` says nothing of exactly those."""
    expected = [candidate for candidate in routes if takes(candidate, known)]
    book = rules(*routes, match_all=every)
    assert list(matching(book, known)) == expected
    assert [candidate for candidate in routes if not why_not(candidate, known)] == expected
    found = route(book, known, HEAD, SENDER).routes
    assert found == tuple(expected if every else expected[:1])


def test_the_index_does_not_try_what_cannot_match() -> None:
    """Of 10,000 routes only those are tried, in the order of the file, that the message's values lead to."""
    routes = tuple(
        Route(f"r{n}", n, (PORT,), (condition("type", "A"), condition("customs", str(n)))) for n in range(10_000)
    )
    open_route = Route("open", 0, (PORT,), (condition("customs", "53*"),))
    index = RouteIndex.of((*routes, open_route))
    assert set(index.candidates(facts(type="A", customs="77"))) - {10_000} == {77}
    assert set(index.candidates(facts(type="A"))) <= {10_000}
    assert 10_000 in index.candidates(facts(customs="5399"))
