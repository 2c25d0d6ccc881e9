"""What a person sees of a demo: a line for each step, then a table of what became of the messages.

On a terminal with colours and progress, elsewhere as plain lines. Decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from demo_cases import AGAIN, ANSWERS, GOOD, LABELS, WRONG
from demo_watch import Counts, Course
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from swexchange.core.codes import ACCEPTED, meaning

PLAIN_WIDTH = 120  # columns where there is no terminal
_HEADS = {
    GOOD: "Declared by integrators, routed to agencies",
    ANSWERS: "Answered by agencies, back to whoever asked",
    WRONG: "Refused, with a signed receipt that says why",
    AGAIN: "Sent again under an id that was used before",
}


class Step:
    """A step in progress; `detail` is what its line will say."""

    def __init__(self, status: Status | None, title: str) -> None:
        self._status, self._title = status, title
        self.detail = ""

    def show(self, detail: str) -> None:
        """Say how far it has come, on a terminal."""
        self.detail = detail
        if self._status:
            self._status.update(f"{self._title}  [dim]{escape(detail)}")


class View:
    """Prints to stdout, or to stderr where stdout is for a program."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        console = Console(stderr=to_stderr, highlight=False)
        self._console = (
            console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=PLAIN_WIDTH)
        )

    def line(self, text: str = "") -> None:
        """One line, or several."""
        self._console.print(text, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """A step: a spinner while it lasts, a line when it is done."""
        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(title) as status:
                step = Step(status, title)
                yield step
        else:
            step = Step(None, title)
            yield step
        seconds = time.monotonic() - started
        self.line(f"[green]✓[/] {title:<10} {escape(step.detail)}  [dim]{seconds:.1f} s[/]")

    def results(self, courses: Sequence[Course], strays: Sequence[str]) -> None:
        """What became of each message: a row for those that were alike."""
        for section, head in _HEADS.items():
            rows = list(_rows(courses, section))
            widths = self._widths(rows)
            self.line(f"\n[bold]{head}[/]")
            for row in rows:
                self._show(row, widths)
        for stray in strays:
            self.line(f"[red]✗ {escape(stray)}[/]")

    def _widths(self, rows: Sequence[Row]) -> list[int]:
        """Of the columns; where the terminal is narrow, the title gives way."""
        widths = [max(cell_len(cell) for cell in column) for column in zip(*(row.cells for row in rows), strict=True)]
        surplus = 2 + sum(widths) + 2 * (len(widths) - 1) - self._console.width
        widths[1] -= max(0, min(surplus, widths[1] - 24))
        return widths

    def _show(self, row: Row, widths: Sequence[int]) -> None:
        texts = [set_cell_size(cell, width) for cell, width in zip(row.cells[1:], widths[1:], strict=True)]
        cells = [row.cells[0].rjust(widths[0]), *(escape(text) for text in texts)]
        cells[3] = f"[{'yellow' if row.refused else 'green'}]{cells[3]}[/]"
        mark = "[red]✗[/]" if row.problems else "[green]✓[/]"
        self.line(f"{mark} " + "  ".join(cells).rstrip())
        for problem in row.problems:
            self.line(f"    [red]{escape(problem)}[/]")


def verdict(courses: Sequence[Course], *, well: bool) -> str:
    """Everything in one sentence."""
    if well:
        return "[green]Each message has its signed receipt, each copy came byte for byte, and the audit log agrees.[/]"
    wrong = sum(bool(course.problems) for course in courses)
    return f"[red]{wrong} of {len(courses)} messages did not end as expected; what differs stands above.[/]"


def summary(counts: Counts) -> str:
    """The figures in one line."""
    return (
        f"sent {counts.sent}, accepted {counts.accepted}, rejected {counts.rejected}, delivered {counts.delivered}, "
        f"receipts {counts.receipts}, lost {counts.lost}, duplicated {counts.duplicated}"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """Messages that are alike, as one line."""

    cells: tuple[str, ...]  # how many, what, from and to, codes of receipts, audit
    refused: bool
    problems: tuple[str, ...]


def _rows(courses: Iterable[Course], section: str) -> Iterator[Row]:
    alike: dict[str, list[Course]] = {}
    for course in courses:
        if course.case.section == section:
            alike.setdefault(course.case.title, []).append(course)
    for title, row in alike.items():
        senders = list(dict.fromkeys(LABELS[course.case.submitter] for course in row))
        receivers = dict.fromkeys(LABELS[to] for course in row for to in course.case.to if to in course.delivered)
        codes = dict.fromkeys(_code(course) for course in row)
        trails = dict.fromkeys(word for course in row for word in course.trail.split(", "))
        way = f"{senders[0] if len(senders) == 1 else 'all three'} → {', '.join(receivers) or 'nobody'}"
        problems = dict.fromkeys(problem for course in row for problem in course.problems)
        yield Row(
            (str(len(row)), title, way, ", ".join(codes), ", ".join(trails)),
            refused=not all(course.accepted for course in row),
            problems=tuple(problems),
        )


def _code(course: Course) -> str:
    if course.code not in ("", ACCEPTED):
        return f"{course.code} {meaning(course.code).retry}"
    missed = "".join(f" ({code})" for code in course.case.results.values() if code != ACCEPTED)
    return (course.code or "none") + missed
