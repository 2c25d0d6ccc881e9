r"""Finds patterns of XSD whose cost can explode: a repeated group that itself repeats.

`(a+)+`, `(.*a){12}` or `(.{0,50}x){9}` can be matched in so many ways that one short value
stops an engine for minutes. Reads the pattern only; it neither compiles nor matches it, and
it refuses a few harmless ones, such as `(\.[a-z]+)*`, rather than pass a dangerous one.
"""

from __future__ import annotations

import re
from math import inf

_BOUNDS = re.compile(r"\{(\d+)(,?)(\d*)\}")
_SIMPLE_BOUNDS = {"?": (0.0, 1.0), "*": (0.0, inf), "+": (1.0, inf)}
_MOST_WAYS = 1000.0  # in which a repeated group may match; a dotted IPv4 address has 27
_DEEPEST = 50  # groups within groups


def explosive_group(pattern: str) -> str:
    """The first repeated group of the XSD `pattern` that repeats inside; '' where there is none."""
    reader = _Reader(pattern)
    while reader.at < len(pattern) and not reader.found:
        reader.alternatives()
        reader.at += 1  # a stray ')': the engines complain of it
    return reader.found


class _Reader:
    """Walks over a pattern; each method returns the number of ways in which its part can match."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at, self.depth, self.found = pattern, 0, 0, ""

    def alternatives(self) -> float:
        ways = self._sequence()
        while self._next() == "|":
            self.at += 1
            ways = max(ways, self._sequence())
        return ways

    def _sequence(self) -> float:
        ways = 1.0
        while self._next() not in ("", "|", ")"):
            ways *= self._piece()
        return ways

    def _piece(self) -> float:
        start = self.at
        inside = self._atom()
        least, most = self._bounds()
        ways: float = min(inside, _MOST_WAYS + 1) ** min(most, 64.0)
        if most > 1 and ways > _MOST_WAYS:
            self.found = self.found or self.pattern[start : self.at]
        return (most - least + 1) * ways

    def _atom(self) -> float:
        char = self._next()
        self.at += 2 if char == "\\" else 1
        if char == "[":
            self._class()
        return self._group() if char == "(" else 1.0

    def _group(self) -> float:
        if self.depth == _DEEPEST:
            self.found, self.at = self.found or self.pattern, len(self.pattern)
            return 1.0
        self.depth += 1
        ways = self.alternatives()
        self.depth, self.at = self.depth - 1, self.at + 1
        return ways

    def _class(self) -> None:
        """Passes over a character class and the classes subtracted from it."""
        depth = 1
        while depth and self.at < len(self.pattern):
            char = self._next()
            depth += {"[": 1, "]": -1}.get(char, 0)
            self.at += 2 if char == "\\" else 1

    def _bounds(self) -> tuple[float, float]:
        char = self._next()
        if char in _SIMPLE_BOUNDS:
            self.at += 1
            return _SIMPLE_BOUNDS[char]
        found = _BOUNDS.match(self.pattern, self.at)
        if not found:
            return 1.0, 1.0
        self.at = found.end()
        least, comma, most = found.groups()
        return float(least), float(most) if most else inf if comma else float(least)

    def _next(self) -> str:
        return self.pattern[self.at : self.at + 1]
