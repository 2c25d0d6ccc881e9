"""The rules in force, frozen: who takes part, which types there are, what goes where.

`rules.py` builds a Rulebook from `routes.yaml`; everything that decides reads it. A compiled
schema and a compiled XPath are held as plain callables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lxml import etree

from swexchange.core.keys import Key, SigningKey
from swexchange.core.lanes import Weights
from swexchange.core.model import Finding
from swexchange.core.rules_manifest import digest_of

ANYTHING = frozenset({"*"})

Check = Callable[[etree._ElementTree, int], tuple[Finding, ...]]
"""A compiled schema: document and cap of findings in, findings out; none = valid."""


@dataclass(frozen=True, slots=True)
class Participant:
    """Someone who sends or receives."""

    id: str
    name: str
    kind: str  # integrator, agency, province
    sends: frozenset[str] = ANYTHING  # message types
    to: frozenset[str] = ANYTHING  # receivers it may name
    node: str = ""  # its node id where it speaks for others (DxpMsgSv)
    upstream: str = ""  # the upstream behind which it is; '' = it reads from our own broker


@dataclass(frozen=True, slots=True)
class RemoteQueue:
    """A queue on an upstream's broker that is ours to read."""

    name: str
    sender: str  # the participant whose messages it brings


@dataclass(frozen=True, slots=True)
class Upstream:
    """Another broker, on which this platform is a participant."""

    name: str
    exchange: str  # where this platform publishes there
    queues: tuple[RemoteQueue, ...] = ()
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands in a document."""

    name: str
    xpath: str
    find: Callable[[etree._Element], object] = field(compare=False)  # compiled `xpath`

    def values(self, root: etree._Element) -> list[str]:
        """The values found, stripped; empty ones left out: for routing and search, empty is not a value."""
        found = self.find(root)
        nodes = found if isinstance(found, list) else [found]
        return [text for text in map(_text_of, nodes) if text]

    def value(self, root: etree._Element) -> str:
        """The first value, '' where there is none."""
        return next(iter(self.values(root)), "")


def _text_of(node: object) -> str:
    if isinstance(node, etree._Element):
        text = "".join(node.itertext()) if len(node) else node.text or ""
        return text.strip()
    return str(node).strip()


@dataclass(frozen=True, slots=True)
class Edition:
    """One edition of a schema, in force between two dates."""

    label: str  # family/edition
    check: Check = field(compare=False)
    valid_from: datetime
    valid_to: datetime | None = None

    def in_force(self, at: datetime) -> bool:
        """Whether it is in force at a time; the end is exclusive."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True, slots=True)
class BarePlaces:
    """Where a bare business document names itself; an absent place yields ''."""

    id: Place
    sender: Place
    receivers: Place | None = None
    created: Place | None = None


@dataclass(frozen=True, slots=True)
class MessageType:
    """A type of message: how it is recognised, checked, found and answered."""

    id: str
    root: str  # {namespace}local of the business document
    editions: tuple[Edition, ...]  # newest first
    msg_types: frozenset[str] = frozenset()  # MsgType texts allowed in an envelope; empty = any
    bare: BarePlaces | None = None  # None: only inside an envelope
    keys: tuple[Place, ...] = ()  # business keys: recorded, searchable, usable in routes
    fields: tuple[Place, ...] = ()  # further values for routes
    answers: tuple[Place, ...] = ()  # the keys of the message it answers
    order: str = ""  # the key or field whose messages of one sender stay in order on the way upstream; '' = none


@dataclass(frozen=True, slots=True)
class Condition:
    """One field and the texts it may have; a text ending in `*` is a prefix."""

    field: str
    values: frozenset[str]
    prefixes: tuple[str, ...] = ()

    def holds(self, found: frozenset[str]) -> bool:
        """Whether any value found is one of the texts."""
        if not self.values.isdisjoint(found):
            return True
        return bool(self.prefixes) and any(value.startswith(self.prefixes) for value in found)


@dataclass(frozen=True, slots=True)
class Route:
    """Where messages go that meet every condition and none of the exceptions."""

    name: str
    line: int  # in routes.yaml
    to: tuple[str, ...]  # participants, RECEIVERS, ASKER
    when: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """Ourselves."""

    id: str  # our participant id
    node: str  # our node id, 1-8 characters
    key: SigningKey | None = field(repr=False)  # None where nothing is sent: then decisions have no receipts


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a message."""

    message_bytes: int = 8 * 1024 * 1024
    findings: int = 20
    oldest: timedelta | None = None  # of CreatTime before receipt; None = not judged
    ahead: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Everything that decisions depend on, and its digest."""

    manifest: str  # which files they are made of, see core.rules_manifest
    platform: Platform
    participants: Mapping[str, Participant]
    keys: Mapping[str, Key]
    envelopes: tuple[Edition, ...]  # of the DXP family, newest first
    types: Mapping[str, MessageType]  # by root name
    routes: tuple[Route, ...]
    match_all: bool = False  # every matching route, or the first
    limits: Limits = Limits()
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    digest: str = field(init=False)  # SHA-256 of the manifest, 64 hex digits: over routes.yaml, its keys, and schemas
    remote: frozenset[str] = field(init=False, compare=False, repr=False)  # participants behind an upstream
    index: RouteIndex = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.manifest))
        object.__setattr__(self, "index", RouteIndex.of(self.routes))
        remote = frozenset(p.id for p in self.participants.values() if p.upstream)
        object.__setattr__(self, "remote", remote)


_Token = tuple[str, str, bool]
"""A field, a text, and whether the text is a prefix."""


@dataclass(frozen=True, slots=True)
class RouteIndex:
    """Finds the routes that can match without trying them all: each stands under one of its conditions."""

    positions: Mapping[_Token, tuple[int, ...]]
    lengths: Mapping[str, tuple[int, ...]]  # field -> lengths of the prefixes asked of it
    rest: tuple[int, ...]  # positions of routes without condition

    @classmethod
    def of(cls, routes: tuple[Route, ...]) -> RouteIndex:
        """Index each route under its condition with the rarest texts."""
        uses = Counter(token for route in routes for c in route.when for token in _tokens(c))
        positions: dict[_Token, list[int]] = {}
        rest: list[int] = []
        for position, route in enumerate(routes):
            if not route.when:
                rest.append(position)
                continue
            best = min(route.when, key=lambda c: sum(uses[token] for token in _tokens(c)))
            for token in _tokens(best):
                positions.setdefault(token, []).append(position)
        lengths: dict[str, set[int]] = {}
        for name, text, is_prefix in positions:
            lengths.setdefault(name, set()).update((len(text),) if is_prefix else ())
        return cls(
            {token: tuple(found) for token, found in positions.items()},
            {name: tuple(sorted(found)) for name, found in lengths.items()},
            tuple(rest),
        )

    def candidates(self, facts: Mapping[str, frozenset[str]]) -> list[int]:
        """Positions of the routes worth trying, in the order of the file."""
        found = set(self.rest)
        for name, lengths in self.lengths.items():
            for value in facts.get(name, ()):
                found.update(self.positions.get((name, value, False), ()))
                for length in lengths:
                    found.update(self.positions.get((name, value[:length], True), ()))
        return sorted(found)


def _tokens(condition: Condition) -> list[_Token]:
    exact = [(condition.field, value, False) for value in condition.values]
    return exact + [(condition.field, prefix, True) for prefix in condition.prefixes]
