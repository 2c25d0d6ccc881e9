"""What happened, in the order it happened: one JSON object a line, in the words of Jepsen.

`invoke` begins an attempt; `ok` says the broker confirmed it, `fail` that it certainly did not
take it, `info` that nobody knows. What is done to the system stands in between.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Alternatives = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Input:
    """One message as its sender knows it: whose outbox, which bytes, and what has to come of them."""

    submitter: str
    digest: str  # SHA-256 of the bytes, hex
    sender: str  # as the message says; '' = it says nothing readable
    message_id: str
    expect: str  # accepted, rejected, or claims: exactly one of those that claim an id is accepted
    to: Alternatives = ()  # sets of participants who may get it: one of these sets, by the rules in force
    answers: str = ""  # of an answer: the message id that its copy must be correlated with
    lane: str = ""  # of what goes to an upstream: the business number within which order is promised

    @property
    def key(self) -> tuple[str, str]:
        """What makes two attempts the same input."""
        return self.submitter, self.digest


class History:
    """Writes the file; for several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self.acknowledged: dict[tuple[str, str], Input] = {}

    def invoke(self, message: Input) -> None:
        """An attempt to send begins."""
        self._write("invoke", asdict(message))

    def ok(self, message: Input) -> None:
        """The broker has confirmed it: from now on it is the platform's to keep."""
        self._write("ok", {"submitter": message.submitter, "digest": message.digest})
        self.acknowledged[message.key] = message

    def fail(self, message: Input, why: str) -> None:
        """It certainly was not taken."""
        self._write("fail", {"submitter": message.submitter, "digest": message.digest, "why": why})

    def info(self, message: Input, why: str) -> None:
        """Nobody knows whether it was taken."""
        self._write("info", {"submitter": message.submitter, "digest": message.digest, "why": why})

    def nemesis(self, what: str) -> None:
        """Something was done to the system."""
        self._write("nemesis", {"what": what})

    def close(self) -> None:
        """No more is written."""
        self._file.close()

    def _write(self, kind: str, value: dict[str, Any]) -> None:
        with self._lock:
            line = {"time": round(time.monotonic() - self._start, 4), "type": kind, **value}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


@dataclass(slots=True)
class Attempted:
    """All attempts at one input."""

    input: Input
    attempts: int = 0
    acknowledged: bool = False


def attempted(path: Path) -> dict[tuple[str, str], Attempted]:
    """Every input of a history, with what its sender knows of it."""
    found: dict[tuple[str, str], Attempted] = {}
    for line in events(path):
        kind, key = line["type"], (line.get("submitter", ""), line.get("digest", ""))
        if kind == "invoke":
            message = Input(
                *key,
                sender=line["sender"],
                message_id=line["message_id"],
                expect=line["expect"],
                to=tuple(tuple(names) for names in line["to"]),
                answers=line["answers"],
                lane=line["lane"],
            )
            found.setdefault(key, Attempted(message)).attempts += 1
        elif kind == "ok":
            found[key].acknowledged = True
    return found


def events(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a history."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
