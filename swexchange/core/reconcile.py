"""What came in on a day and what became of it, added up: the equations, what is open, the document that says so.

A day is one of China (+08:00), and an exchange belongs to the day on which it was received,
whenever its copies go out. docs/reference/evidence.md.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from swexchange.core import etsi
from swexchange.core.canonical import CHINA, local_time

TITLE = "swexchange-reconciliation/v1"
OUTCOMES = ("accepted", "rejected", "waiting", "held")
COPIES = ("delivered", "owed", "dropped")
RECEIPTS = ("delivered", "owed", "dropped", "none")  # 'none': nobody could be told, or it is a receipt itself


class Side(StrEnum):
    """Which messages of a participant are meant."""

    SENDER = "sender"  # what it sent us
    RECEIVER = "receiver"  # what we delivered to it


@dataclass(frozen=True, slots=True)
class Became:
    """What became of a message."""

    outcome: str  # one of OUTCOMES
    copies: str  # one of COPIES: the worst of its copies; 'none' = it has none
    receipt: str  # one of RECEIPTS


class Standing(StrEnum):
    """How an item stands."""

    OPEN = "open"  # something is still to be done
    CLOSED = "closed"  # an operator decided what becomes of it
    WRONG = "wrong"  # nothing that is recorded explains it


@dataclass(frozen=True, slots=True)
class Item:
    """Something that did not simply come and go."""

    side: Side
    standing: Standing
    exchange_id: str
    message_id: str
    what: str


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a participant's list."""

    exchange_id: str
    digest: bytes
    message_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Equation:
    """A total and its parts."""

    name: str
    total: int
    parts: Mapping[str, int]

    @property
    def holds(self) -> bool:
        """Whether the parts add up."""
        return self.total == sum(self.parts.values())

    def __str__(self) -> str:
        return f"{self.name} {self.total} = " + " + ".join(f"{name} {count}" for name, count in self.parts.items())


@dataclass(slots=True)
class Account:
    """A participant's day."""

    day: date
    participant: str
    received: int = 0  # messages it sent, counted apart from what became of them
    became: Counter[Became] = field(default_factory=Counter)
    addressed: int = 0  # copies for it, counted apart from how they stand
    copies: Counter[str] = field(default_factory=Counter)  # of these, by COPIES
    items: list[Item] = field(default_factory=list)

    @property
    def equations(self) -> tuple[Equation, ...]:
        """What must add up."""
        accepted = {b: n for b, n in self.became.items() if b.outcome == "accepted"}
        return (
            Equation("received", self.received, _parts(OUTCOMES, ((b.outcome, n) for b, n in self.became.items()))),
            Equation("accepted", sum(accepted.values()), _parts(COPIES, ((b.copies, n) for b, n in accepted.items()))),
            Equation("receipts", self.received, _parts(RECEIPTS, ((b.receipt, n) for b, n in self.became.items()))),
            Equation("copies", self.addressed, _parts(COPIES, self.copies.items())),
        )

    @property
    def holds(self) -> bool:
        """Whether everything that came in is accounted for."""
        return all(equation.holds for equation in self.equations) and not self.count(Standing.WRONG)

    def count(self, standing: Standing) -> int:
        """How many items stand so."""
        return sum(item.standing is standing for item in self.items)


def _parts(names: Iterable[str], counted: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """Sums by name; what has none of the names is left out, so that the equation shows it missing."""
    parts = dict.fromkeys(names, 0)
    for name, count in counted:
        if name in parts:
            parts[name] += count
    return parts


def bounds(day: date) -> tuple[datetime, datetime]:
    """When a day begins and when the next one does."""
    begins = datetime.combine(day, time(), CHINA)
    return begins, begins + timedelta(days=1)


def document(account: Account, origin: str, lines: tuple[Side, Sequence[Line]] | None, now: datetime) -> str:
    """The text that is signed, but for the checkpoint. The same for the same facts once nothing is open any more."""
    is_final = not account.count(Standing.OPEN) and now >= bounds(account.day)[1]
    told = [
        TITLE,
        f"origin {origin}",
        f"day {account.day.isoformat()} +08:00",
        f"participant {account.participant}",
        f"state {'final' if is_final else f'as of {local_time(now)}'}",
        *map(str, account.equations),
        f"etsi {etsi.words()}",
        f"items {len(account.items)}",
        *(f"{i.side} {i.standing} {i.exchange_id} {_quoted(i.message_id)} {_quoted(i.what)}" for i in account.items),
    ]
    if lines:
        side, rows = lines
        told.append(f"list {side} {len(rows)}")
        told += (f"{r.exchange_id} {r.digest.hex()} {r.outcome} {_quoted(r.message_id)}" for r in rows)
    return "\n".join(told) + "\n"


def _quoted(text: str) -> str:
    """A text as JSON, in one line whatever it holds."""
    return json.dumps(text)


@dataclass(frozen=True, slots=True)
class Difference:
    """What one side has and the other has not."""

    theirs: tuple[str, ...]  # in their list only: message ids, or digests in hex
    ours: tuple[Line, ...]  # in ours only


def compare(lines: Iterable[Line], theirs: Iterable[str]) -> Difference:
    """Our list and another's of message ids, digests in hex, or both. Repeats do not matter."""
    wanted = dict.fromkeys(theirs)
    known: set[str] = set()
    ours = []
    for line in lines:
        names = {line.message_id, line.digest.hex()}
        known |= names
        if not names & wanted.keys():
            ours.append(line)
    return Difference(tuple(name for name in wanted if name not in known), tuple(ours))


def read_list(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Message ids and digests from the rows of a CSV file.

    A first row with `message_id` or `digest` names the columns, and the digest counts where there
    is one; without it the first column is taken, 64 hex digits as a digest. Blank rows are skipped.
    """
    columns = [0]
    for number, row in enumerate(rows):
        heads = [cell.strip().lower() for cell in row]
        if number == 0 and {"message_id", "digest"} & set(heads):
            columns = [heads.index(name) for name in ("digest", "message_id") if name in heads]
            continue
        cells = (row[at].strip() for at in columns if at < len(row))
        if name := next(filter(None, cells), ""):
            yield name.lower() if _is_digest(name) else name


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text.lower()) <= set("0123456789abcdef")
