"""One rules file while it is being read: its data, and every problem found so far."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from swexchange.core.envelope import moment
from swexchange.errors import ConfigFault, Rejected, RulesInvalid
from swexchange.yamlfile import Place, YamlFile


@dataclass(slots=True)
class Sheet:
    """Collects problems and goes on, so that one run shows them all."""

    file: YamlFile
    problems: list[ConfigFault] = field(default_factory=list)

    @property
    def data(self) -> Any:
        """The file's data: a mapping of the shape that the JSON Schema gives."""
        return self.file.data

    def problem(self, what: str, place: Place, do: str = "") -> None:
        """Note a problem at a place of the file."""
        self.problems.append(self.file.fault(what, place, do))

    def raise_any(self) -> None:
        """Raise RulesInvalid if there is any problem."""
        if self.problems:
            raise RulesInvalid(self.problems)

    def moment(self, entry: dict[str, str], name: str, place: Place) -> datetime | None:
        """The date (midnight) or time under a name, +08:00 unless it says otherwise; None where it is absent."""
        text = entry.get(name)
        if text is None:
            return None
        try:
            return moment(text)
        except Rejected as refusal:
            self.problem(f"{name}: {refusal.findings[0].detail}", (*place, name))
            return None

    def start(self, entry: dict[str, str], place: Place) -> datetime:
        """The time under `from`, which the JSON Schema requires."""
        return self.moment(entry, "from", place) or moment("2000-01-01")


def suggest(value: str, known: Iterable[str]) -> str:
    """What to do about an unknown name."""
    near = difflib.get_close_matches(value, known, n=1)
    return f"Did you mean {near[0]}?" if near else "Add it, or correct the name"
