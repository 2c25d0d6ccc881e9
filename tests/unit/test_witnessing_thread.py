"""The thread that asks witnesses: one that is away holds up nobody, and whatever goes wrong is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from swexchange.core import checkpoint
from swexchange.core.canonical import local_time
from swexchange.core.checkpoint import COSIGNATURE, Checkpoint, Note, Verifier
from swexchange.core.keys import SigningKey
from swexchange.core.log import Signed
from swexchange.core.witness import OK, Answer
from swexchange.errors import BrokerLost, Fault, StoreDown
from swexchange.evidence.witnessing import Seen, WitnessingThread, last_seen
from swexchange.health.problem import Danger
from swexchange.health.witness import judge_witness
from tests.process.house import until

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
LOG = SigningKey.from_seed("audit", b"\1" * 32)
KEYS = {name: SigningKey.from_seed(name, name.encode() * 32) for name in "ab"}
WITNESSES = [Verifier(name, key.public, COSIGNATURE) for name, key in KEYS.items()]


def signed(size: int, *names: str, at: datetime = NOW) -> Signed:
    note = checkpoint.sign(Checkpoint("log", size, bytes(32)), LOG)
    lines = (checkpoint.cosign(Note.read(note), name, KEYS[name], int(at.timestamp())) for name in names)
    return Signed(size, NOW, note + "".join(lines))


class _Log:
    def __init__(self, error: Exception | None = None) -> None:
        self.newest, self.error = signed(5), error

    def head(self) -> Signed:
        error, self.error = self.error, None
        if error:
            raise error
        return self.newest

    def tile(self, level: int, number: int) -> bytes:
        return b""

    def cosigned(self, size: int, note: str, witnesses: int) -> None:
        self.newest = Signed(size, NOW, note)


class _Told:
    def __init__(self) -> None:
        self.signed: list[tuple[str, int]] = []
        self.faults: list[tuple[str, str]] = []

    def witnessed(self, witness: str, size: int) -> None:
        self.signed.append((witness, size))

    def not_witnessed(self, witness: str, fault: Fault) -> None:
        self.faults.append((witness, fault.what))


def run(log: _Log, away: set[str], opening: Exception | None = None) -> _Told:
    """What is told until the second witness has signed."""
    told, failing = _Told(), [opening] if opening else []

    @contextmanager
    def asking() -> Iterator[Callable[[str], Callable[[str], Answer]]]:
        if failing:
            raise failing.pop()

        def ask(name: str) -> Answer:
            if name in away:
                raise BrokerLost("no answer within 20 s", where=name)
            return Answer(OK, checkpoint.cosign(Note.read(log.newest.note), name, KEYS[name], 1))

        yield lambda name: lambda _: ask(name)

    thread = WitnessingThread(log, WITNESSES, asking, 0.01, told, threading.Event())
    thread.start()
    until(lambda: ("b", 5) in told.signed, "the witness that is there")
    thread.stop()
    return told


def test_every_witness_signs_and_is_not_asked_again() -> None:
    told = run(_Log(), set())
    assert (told.signed, told.faults) == ([("a", 5), ("b", 5)], [])


def test_one_that_is_away_holds_up_nobody() -> None:
    told = run(_Log(), {"a"})
    assert told.signed == [("b", 5)]
    assert set(told.faults) == {("a", "no answer within 20 s")}


@pytest.mark.parametrize(
    ("error", "what"),
    [(StoreDown("the database fails"), "the database fails"), (KeyError("a bug"), "unexpected KeyError")],
)
def test_a_failure_is_told_of_all_and_the_next_round_comes(error: Exception, what: str) -> None:
    assert run(_Log(error), set()).faults == [("a", what), ("b", what)]
    assert run(_Log(), set(), error).faults == [("a", what), ("b", what)]


def test_what_each_witness_has_signed_last() -> None:
    newest_first = [signed(9), signed(7, "b"), signed(5, "a", "b", at=NOW - timedelta(days=1))]
    assert last_seen(newest_first, WITNESSES) == {"a": Seen(5, NOW - timedelta(days=1)), "b": Seen(7, NOW)}
    assert last_seen([signed(9)], WITNESSES) == {"a": None, "b": None}
    note = Note.read(signed(9).note)
    for at in (2**64 - 1, 2**40, 253_402_300_799):  # what a witness states is shown, whatever it is
        absurd = Signed(9, NOW, f"{note}{checkpoint.cosign(note, 'a', KEYS['a'], at)}")
        seen = last_seen([absurd], WITNESSES)["a"]
        assert seen
        assert local_time(seen.at).startswith("9999-01-01")
    damaged = Signed(9, NOW, signed(9, "a").note.replace("log", "lag", 1))
    assert last_seen([damaged], WITNESSES)["a"] is None


@pytest.mark.parametrize(
    ("size", "at", "is_away"),
    [
        (0, None, True),
        (5, NOW - timedelta(hours=2), True),
        (5, NOW - timedelta(minutes=5), False),
        (9, NOW - timedelta(days=9), False),
    ],
)
def test_a_witness_is_away_when_the_log_grew_long_without_it(size: int, at: datetime | None, is_away: bool) -> None:
    found = list(judge_witness("customs", size, at, 9, NOW))
    assert [problem.danger for problem in found] == [Danger.RISK] * is_away
    assert list(judge_witness("customs", 0, None, 0, NOW)) == []
