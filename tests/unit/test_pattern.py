"""core.pattern: which patterns of XSD may take forever to match."""

from __future__ import annotations

import pytest

from swexchange.core.pattern import explosive_group


@pytest.mark.parametrize(
    ("pattern", "group"),
    [
        ("(a+)+b", "(a+)+"),
        ("(.*a){12}b", "(.*a){12}"),
        ("x(a?)*y", "(a?)*"),
        ("(a|b+){2,}", "(a|b+){2,}"),
        ("((a+))*x", "((a+))*"),
        ("((a|b)*c)*", "((a|b)*c)*"),
        (r"[a-z-[aeiou]]+(b+)+", "(b+)+"),
        ("(.{0,50}a){12}", "(.{0,50}a){12}"),
        ("(a{1,200}){1,200}", "(a{1,200}){1,200}"),
        ("(a{2,3}){99999999999}", "(a{2,3}){99999999999}"),
    ],
)
def test_a_repeated_group_that_repeats_inside_is_named(pattern: str, group: str) -> None:
    """Whatever makes backtracking explode is found, and the message can quote the group."""
    assert explosive_group(pattern) == group


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "[0-9]{18}",
        r"\d{1,3}(,\d{3})*(\.\d{1,2})?",
        r"(\d{1,3}\.){3}\d{1,3}",
        "([A-Z]{2}){3,}",
        "[a-z(+*)]+",
        r"\(a+\)+",
        r"[\]+*]+(b)+",
        "(ab*)?",
        "(((a{2}){2}){2})",
        "[A-Z0-9 ]{2,6}|[A-Z0-9 ]{6}Z",
        "[一-龥]{2,20}",
    ],
)
def test_what_has_few_ways_to_match_is_left_alone(pattern: str) -> None:
    """Patterns as they stand in real schemas are not refused."""
    assert explosive_group(pattern) == ""


@pytest.mark.parametrize("pattern", ["(", ")", "a)b", "[", "[a", "\\", "a{", "a{2", "(|)", "{2}", "*", "(a{5,2})+"])
def test_a_malformed_pattern_is_left_to_the_engines(pattern: str) -> None:
    """It is not this check that says so, and it does not crash."""
    assert explosive_group(pattern) in ("", pattern)


def test_a_pattern_nested_beyond_reason_is_refused() -> None:
    """Depth does not exhaust the stack."""
    pattern = "(" * 5000 + "a" + ")" * 5000
    assert explosive_group(pattern) == pattern
