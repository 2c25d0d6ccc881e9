"""What is there afterwards: the contents of all queues, of the database, and of the logs.

Read with pika, sqlite3 and psycopg alone; nothing here imports the daemon's code.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pika
import psycopg

from tests.chaos.history import Attempted
from tests.chaos.merkle import Log

INTAKE = "swx.intake"
EXCHANGES = """
SELECT e.seq, e.exchange_id, e.submitter, e.sender, e.message_id, e.outcome, e.code, e.digest, e.body,
       b.rules_digest, b.settled_at, e.parent_message_id
FROM exchange e LEFT JOIN batch b ON b.id = e.batch_id ORDER BY e.seq"""
COPIES = "SELECT seq, kind, recipient, body, state FROM copy ORDER BY seq, n"
EVENTS = "SELECT exchange_id, event, detail FROM event ORDER BY id"
OPEN = (
    "SELECT (SELECT count(*) FROM batch WHERE settled_at IS NULL)"
    " + (SELECT count(*) FROM copy WHERE state = 'due') + (SELECT count(*) FROM copy WHERE state = 'queued')"
    " + (SELECT count(*) FROM exchange WHERE outcome = 'waiting')"
)
DIGESTS = "SELECT submitter, digest FROM exchange"
UNSEALED = (
    "SELECT (SELECT count(*) FROM exchange) + (SELECT count(*) FROM event) + (SELECT count(*) FROM rules)"
    " - coalesce((SELECT max(size) FROM checkpoint), 0)"
)
CHECKPOINTS = "SELECT note FROM checkpoint ORDER BY size"


@dataclass(frozen=True, slots=True)
class Drained:
    """One message that lay in a queue."""

    queue: str
    message_id: str
    correlation_id: str
    body: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the body, hex."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A row of the audit log, with the digest of its batch's rules."""

    seq: int
    exchange_id: str
    submitter: str
    sender: str
    message_id: str
    outcome: str
    code: str
    digest: bytes
    body: bytes
    rules_digest: str
    settled_at: int | None
    parent_message_id: str | None


@dataclass(frozen=True, slots=True)
class Copy:
    """A row of what had to be sent; `body` only of a receipt."""

    seq: int
    kind: str
    recipient: str
    body: bytes | None
    state: str | None


@dataclass(slots=True)
class Evidence:
    """All that a fault left behind."""

    inputs: dict[tuple[str, str], Attempted]
    drained: list[Drained]
    exchanges: list[Exchange]
    copies: list[Copy]
    events: list[tuple[str, str, str]]  # exchange id, event, detail
    left_in_intake: list[str]  # digests of what nobody took
    platform_keys: dict[str, bytes]  # key id -> public key
    log: Log  # the sealed one
    logs: Sequence[Path] = ()
    secrets: Sequence[str] = ()  # texts that must not stand in any log
    editions: int = 1  # of the rules, that may have been in force
    troubles: list[str] = field(default_factory=list)  # what the frame saw: not drained, grown, ended badly


class Database:
    """The daemon's database, looked at from outside."""

    def __init__(self, url: str) -> None:
        self._url = url

    def open_ends(self) -> int:
        """Batches not settled, copies due or queued for an upstream, and answers waiting."""
        return int(self._all(OPEN)[0][0])

    def unsealed(self) -> int:
        """Rows that are to be entries of the log, and are not yet."""
        return int(self._all(UNSEALED)[0][0])

    def checkpoints(self) -> list[str]:
        """All that the log ever had."""
        return [row[0] for row in self._all(CHECKPOINTS)]

    def recorded(self) -> set[tuple[str, str]]:
        """Submitter and digest of all that is recorded."""
        return {(row[0], bytes(row[1]).hex()) for row in self._all(DIGESTS)}

    def read(self) -> tuple[list[Exchange], list[Copy], list[tuple[str, str, str]]]:
        """Everything the checker judges."""
        exchanges = [Exchange(*_plain(row)) for row in self._all(EXCHANGES)]
        copies = [Copy(*_plain(row)) for row in self._all(COPIES)]
        return exchanges, copies, [(row[0], row[1], row[2]) for row in self._all(EVENTS)]

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        if self._url.startswith("sqlite"):
            path = self._url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as link:
                return link.execute(query).fetchall()
        with psycopg.connect(self._url, connect_timeout=10) as link:
            return link.execute(query).fetchall()


def _plain(row: Sequence[Any]) -> Iterator[Any]:
    for value in row:
        yield bytes(value) if isinstance(value, memoryview) else value


def depth(url: str, queue: str) -> int:
    """How many messages are ready in a queue."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as link:
        return int(link.channel().queue_declare(queue, passive=True).method.message_count)


def drain(url: str, queues: Sequence[str]) -> list[Drained]:
    """Take everything out of these queues: until two looks in a row found nothing."""
    found: list[Drained] = []
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as link:
        channel = link.channel()
        channel.basic_qos(prefetch_count=500)
        for queue in queues:
            found += _drain(channel, queue)
    return found


def arrived(url: str, queue: str, participant: str) -> list[Drained]:
    """Take what lies in a queue that is a participant's inbox and receipts in one; each says by its type what it is."""
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as link:
        channel = link.channel()
        channel.basic_qos(prefetch_count=500)
        kinds = {"DxpRep": f"swx.receipts.{participant}"}
        return _drain(channel, queue, lambda kind: kinds.get(kind, f"swx.inbox.{participant}"))


def _drain(channel: Any, queue: str, named: Callable[[str], str] | None = None) -> list[Drained]:
    """All that a queue holds, acknowledged.

    Silence does not prove that it is empty, on a busy machine least of all; what the broker says to a get does.
    """
    found: list[Drained] = []

    def take(method: Any, properties: Any, body: bytes) -> None:
        name = named(properties.type or "") if named else queue
        found.append(Drained(name, properties.message_id or "", properties.correlation_id or "", body))
        channel.basic_ack(method.delivery_tag)

    for delivery in channel.consume(queue, inactivity_timeout=0.25):
        if delivery[0] is None:
            break
        take(*delivery)
    channel.cancel()  # what was on its way goes back
    while (delivery := channel.basic_get(queue))[0] is not None:
        take(*delivery)
    return found


def log_events(logs: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Every event of the daemons' logs that is whole."""
    for log in logs:
        for line in log.read_text("utf-8", "replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)
