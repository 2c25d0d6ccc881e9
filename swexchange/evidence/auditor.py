"""Compares the whole Merkle log with the rows it is about, and names what does not fit.

Rows against leaf hashes, tiles against the tiles above them, roots against checkpoints,
checkpoints against keys, and against checkpoints that somebody else kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import starmap, takewhile
from typing import Protocol

from swexchange.core import merkle
from swexchange.core.checkpoint import Verifier
from swexchange.core.log import KeySum, Kind, Leaf, Signed, Span
from swexchange.core.tiles import WIDTH, split
from swexchange.evidence import tree_check
from swexchange.evidence.tree_check import Problem, Tile

EVERYTHING = 2**62  # leaves
AT_ONCE = 5_000  # leaves of a task, about
NAMES = {Kind.BATCH: "exchange", Kind.EVENT: "event", Kind.RULES: "rules"}


class Log(Protocol):
    """The Merkle log as the auditor needs it. Every method raises StoreDown when the database fails it."""

    def head(self) -> Signed | None:
        """The newest checkpoint; None before the first."""

    def checkpoints(self) -> Iterator[Signed]:
        """All checkpoints, by size."""

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""

    def spans(self) -> Sequence[Span]:
        """All sealed spans in the order of their leaves."""

    def gone(self) -> Set[int]:
        """The spans, by their first leaves, of which rows were pruned."""

    def leaves(self, span: Span, *, bodies: bool = False) -> Iterator[Leaf]:
        """The entries of a span in order; with `bodies`, each message is compared with its digest."""

    def pending(self, most: int, *, everywhere: bool = False) -> Sequence[Span]:
        """Spans to seal next, of some `most` leaves."""

    def key_sum(self, spans: Iterable[Span], seed: int) -> KeySum:
        """What the business keys of these spans' exchanges add up to; of details that cannot be read, anything."""

    def key_sum_beside(self, spans: Iterable[Span], seed: int) -> KeySum:
        """What the index by business key adds up to at this moment, without the exchanges in none of these spans."""

    def badly_indexed(self) -> Iterator[tuple[str, str]]:
        """Rows that the index lacks, or has too many: of which exchange, and what. Slow, and right at any moment."""

    def badly_matched(self) -> Sequence[str]:
        """Answers that came before their parent, whose rows now say other than their MATCHED event and their parent."""

    def badly_added(self) -> Sequence[str]:
        """Exchanges with a copy that was neither decided nor sent by a replay."""

    def badly_standing(self) -> Sequence[str]:
        """Exchanges with a copy of which no state is told that there is: nobody sends it."""

    def badly_recorded(self) -> Sequence[tuple[str, str]]:
        """Replays and holds whose rows say other than the log: which, and what."""


@dataclass(slots=True)
class Findings:
    """What an audit has seen."""

    size: int = 0  # leaves of the log
    checkpoints: int = 0
    unsealed: int = 0  # rows that are no leaves yet
    deleted: int = 0  # exchanges whose bytes are gone; everything else of them can still be proved
    archived: int = 0  # of these, in archive files
    gone: int = 0  # entries whose rows were pruned: they lie in archive files, their hashes here


@dataclass(slots=True)
class Compared:
    """What came of some spans."""

    leaves: int = 0
    deleted: int = 0  # as in Findings, each of them
    archived: int = 0
    gone: int = 0
    keys: KeySum = field(default_factory=KeySum)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Task:
    """Spans whose rows are to be compared with the hashes that were sealed: tasks can be done in any process."""

    spans: Sequence[Span]
    archived: int  # so many leaves of the log lie in archive files
    gone: Set[int]  # the spans of which rows were pruned, by their first leaves
    seed: int  # of KeySums: they can be compared where it is the same

    def compare(self, log: Log) -> Compared:
        """Do it. Raises StoreDown."""
        tile = lru_cache(maxsize=64)(log.tile)
        done = Compared()
        for span in self.spans:
            in_archive = span.first_leaf < self.archived
            was_pruned = in_archive and span.first_leaf in self.gone
            found = _compared(span, log, tile, was_pruned=was_pruned)
            if found.problems and in_archive and not was_pruned and span.first_leaf in log.gone():
                # Pruned since, perhaps: rows go in one transaction with the note that some of their span are gone.
                found = _compared(span, log, tile, was_pruned=True)
            done.leaves += span.leaves
            done.deleted += found.deleted
            done.archived += found.deleted if in_archive else 0
            done.gone += found.gone
            done.problems += found.problems
        done.keys = log.key_sum(self.spans, self.seed)
        return done


Compare = Callable[[Iterable[Task]], Iterable[Compared]]
"""Does tasks, and gives what came of them in their order."""


def audit(
    log: Log,
    keys: Sequence[Verifier],
    known: Mapping[str, str],
    found: Findings,
    advance: Callable[[int], object] = lambda _: None,
    archived: int = 0,
    gone: Set[int] = frozenset(),
    compare: Compare | None = None,
) -> Iterator[Problem]:
    """Everything that is wrong. `known` are checkpoints kept elsewhere, by name; `advance` is told of leaves done.

    The first `archived` leaves lie in archive files; of the spans `gone`, by their first leaves, rows were pruned.
    `compare` may do its tasks elsewhere and at once: they are most of the work.
    """
    found.size, spans = _sealed(log)
    tile = lru_cache(maxsize=64)(log.tile)
    yield from _gaps(spans, found.size)
    # What comes after this moment counts on neither side. What is pruned after it makes a difference, which is looked
    # into: each exchange together with its rows, so that none is named for it.
    seed = secrets.randbits(62)  # nobody who changes rows knows it
    unexplained = log.key_sum_beside(spans, seed)
    tasks = (Task(part, archived, {span.first_leaf for span in part} & gone, seed) for part in _parts(spans))
    for done in compare(tasks) if compare else (task.compare(log) for task in tasks):
        found.deleted += done.deleted
        found.archived += done.archived
        found.gone += done.gone
        unexplained -= done.keys
        yield from done.problems
        advance(done.leaves)
    if unexplained != KeySum():
        yield from starmap(Problem, log.badly_indexed())
    yield from tree_check.tiles(tile, found.size)
    for signed in takewhile(lambda one: one.size <= found.size, log.checkpoints()):  # others were made since
        found.checkpoints += 1
        yield from tree_check.checkpoint(tile, keys, signed.note, f"checkpoint {signed.size}", found.size, signed.size)
    for name, note in known.items():
        yield from tree_check.checkpoint(tile, keys, note, name, found.size)
    came_before = "its rows say other than the log of its outcome, parent or copy: it came before what it answers"
    for exchange in log.badly_matched():
        yield Problem(f"exchange {exchange}", came_before)
    for exchange in log.badly_added():
        yield Problem(f"exchange {exchange}", "it has a further copy that no REPLAYED event confirms")
    for exchange in log.badly_standing():
        yield Problem(f"exchange {exchange}", "it has a copy in no state that there is: nobody sends it")
    yield from starmap(Problem, log.badly_recorded())


def audit_unsealed(log: Log, found: Findings) -> Iterator[Problem]:
    """Messages that no checkpoint covers yet: all there is to compare is their bytes with their digests."""
    for span in log.pending(EVERYTHING, everywhere=True):
        for leaf in log.leaves(span, bodies=True):
            found.unsealed += 1
            if leaf.body == DELETED:
                found.deleted += 1
            elif leaf.body:
                yield Problem(_name(span, (leaf.number, leaf.exchange_id)), leaf.body)


def _sealed(log: Log) -> tuple[int, Sequence[Span]]:
    """The size of the log and its spans: looked at again until nothing was sealed in between."""
    while True:
        head, spans = log.head(), log.spans()
        if head == log.head():
            return head.size if head else 0, spans


def _gaps(spans: Sequence[Span], size: int) -> Iterator[Problem]:
    expected = 0
    for span in spans:
        if span.first_leaf != expected:
            where = f"leaves {min(expected, span.first_leaf)} to {max(expected, span.first_leaf) - 1}"
            yield Problem(where, "are in no span or in two: rows of `sealed` were changed")
        expected = span.first_leaf + span.leaves
    if expected != size:
        yield Problem(f"leaf {expected}", f"the spans end here, the last checkpoint says {size}")


def _parts(spans: Sequence[Span]) -> Iterator[Sequence[Span]]:
    """Spans in order, together while they have no more than AT_ONCE leaves."""
    part: list[Span] = []
    leaves = 0
    for span in spans:
        if part and leaves + span.leaves > AT_ONCE:
            yield part
            part, leaves = [], 0
        part.append(span)
        leaves += span.leaves
    if part:
        yield part


def _compared(span: Span, log: Log, tile: Tile, *, was_pruned: bool) -> Compared:
    found = Compared()
    found.problems += _span(span, log.leaves(span, bodies=True), tile, found, was_pruned=was_pruned)
    return found


def _span(span: Span, leaves: Iterator[Leaf], tile: Tile, found: Compared, *, was_pruned: bool) -> Iterator[Problem]:
    rows: list[tuple[int, str]] = []  # number and exchange
    actual: list[bytes] = []
    for leaf in leaves:
        rows.append((leaf.number, leaf.exchange_id))
        actual.append(merkle.leaf_hash(leaf.entry))
        if leaf.body == DELETED:
            found.deleted += 1
        elif leaf.body:
            yield Problem(_name(span, rows[-1]), leaf.body)
    wanted = _hashes(tile, span.first_leaf, span.first_leaf + span.leaves)
    if was_pruned and _is_part(actual, wanted):
        found.gone += len(wanted) - len(actual)
    elif actual != wanted:
        yield from _differences(span, [_name(span, row) for row in rows], actual, wanted)


def _is_part(actual: Sequence[bytes], wanted: Sequence[bytes]) -> bool:
    """Whether these hashes stand among those in this order: rows may be gone, none was changed or added."""
    left = iter(wanted)
    return all(one in left for one in actual)


DELETED = "its bytes were deleted"


def _name(span: Span, row: tuple[int, str]) -> str:
    number, exchange = row
    return f"{NAMES[span.kind]} {exchange or '-'} ({'seq' if span.kind is Kind.BATCH else 'id'} {number})"


def _hashes(tile: Tile, start: int, end: int) -> list[bytes]:
    """The stored hashes of leaves [start, end); fewer where tiles are missing."""
    hashes = []
    for number in range(start // WIDTH, -(-end // WIDTH)):
        first = number * WIDTH
        hashes += split(tile(0, number))[max(0, start - first) : end - first]
    return hashes


def _differences(span: Span, names: Sequence[str], actual: list[bytes], wanted: list[bytes]) -> Iterator[Problem]:
    for how, i, j, x, y in SequenceMatcher(None, wanted, actual, autojunk=False).get_opcodes():
        if how == "equal":
            continue
        both = min(j - i, y - x)
        for at in range(both):
            yield Problem(names[x + at], f"was changed after it became leaf {span.first_leaf + i + at}")
        for at in range(i + both, j):
            before = names[x + both - 1] if x + both else "the beginning of its span"
            what = f"the row of its {NAMES[span.kind]} was removed; it stood behind {before}"
            yield Problem(f"leaf {span.first_leaf + at}", what)
        for at in range(x + both, y):
            yield Problem(names[at], "was added among rows that were sealed without it")
