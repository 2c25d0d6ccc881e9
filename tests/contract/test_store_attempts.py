"""What the store promises of the notes that workers leave: they outlive the worker, the next replaces the last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta

import pytest

from swexchange.errors import StoreDown
from swexchange.store import Attempts, open_audit_log, open_ledger
from tests.contract.conftest import Database
from tests.contract.exchanges import ALICE, NOW, accepted, deliver, rejected

FIRST, SECOND, THIRD = b"\x01" * 32, b"\xff" * 32, b"\x02" * 32
DYING = """
import os, signal, sys
from swexchange.store import Attempts
Attempts(sys.argv[1], "doomed").begin_alone(bytes.fromhex(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def worker(database: Database) -> Iterator[Callable[[str], Attempts]]:
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(closing(Attempts(database.url, name)))


def test_a_note_is_seen_by_others_and_not_by_its_own_worker(worker: Callable[[str], Attempts]) -> None:
    """Only what another worker noted is counted, and only on the same bytes."""
    one, other = worker("one"), worker("other")
    assert [one.begin_alone(FIRST), one.begin_alone(FIRST)] == [set(), set()]
    assert other.begin_alone(SECOND) == set()
    assert other.begin_alone(FIRST) == {("one", 2)}
    assert one.begin_alone(FIRST) == {("other", 2)}


def test_what_is_decided_in_company_makes_suspects_and_no_death(worker: Callable[[str], Attempts]) -> None:
    """Among many it tells which of them another has noted; who looks at one alone does not count it."""
    one, other = worker("one"), worker("other")
    many = [n.to_bytes(32) for n in range(1000)]
    assert one.begin_together(many) == set()
    assert other.begin_together([FIRST, *many[:3]]) == set(many[:3])
    assert other.begin_alone(many[0]) == set()
    assert one.begin_together(many) == {many[0]}


def test_the_next_note_replaces_the_last(worker: Callable[[str], Attempts]) -> None:
    """To begin with something is to be done with what was before, be it one or many; the end leaves nothing."""
    one, other = worker("one"), worker("other")
    one.begin_alone(FIRST)
    one.begin_together([SECOND, THIRD])
    assert other.begin_together([FIRST, SECOND, THIRD]) == {SECOND, THIRD}
    one.begin_alone(SECOND)
    assert other.begin_together([FIRST, SECOND, THIRD]) == {SECOND}
    one.begin_together([FIRST, THIRD])
    one.end()
    assert other.begin_together([FIRST, SECOND, THIRD]) == set()


def test_forgetting_removes_everybodys_notes_on_these_bytes_alone(worker: Callable[[str], Attempts]) -> None:
    """What was decided in the end is charged with nothing any more."""
    one, two, other = worker("one"), worker("two"), worker("other")
    one.begin_together([FIRST, THIRD])
    two.begin_alone(SECOND)
    other.begin_alone(FIRST)
    other.forget(FIRST)
    assert not one.begin_together([FIRST])
    assert other.begin_together([FIRST, SECOND]) == {FIRST, SECOND}
    assert other.begin_alone(SECOND) == {("two", 1)}


def test_a_note_outlives_a_killed_process(worker: Callable[[str], Attempts], database: Database) -> None:
    """A process that is killed right after it noted something has noted it."""
    done = subprocess.run([sys.executable, "-c", DYING, database.url, FIRST.hex()], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    assert worker("next").begin_alone(FIRST) == {("doomed", 1)}


def test_a_database_without_the_table_is_storedown(worker: Callable[[str], Attempts], database: Database) -> None:
    """Trouble of the database is never the message's."""
    with closing(database.connect()) as link:
        link.execute("DROP TABLE attempt")
        link.commit()
    one = worker("one")
    for call in (
        lambda: one.begin_alone(FIRST),
        lambda: one.begin_together([FIRST]),
        one.end,
        lambda: one.forget(FIRST),
    ):
        with pytest.raises(StoreDown):
            call()


def test_a_held_message_is_listed_until_its_bytes_are_decided(database: Database) -> None:
    """Oldest first, with its cause; a decision on the same bytes of the same submitter ends it."""
    held = [rejected(body, code="4301", at=NOW + timedelta(seconds=n)) for n, body in enumerate((b"<b/>", b"<a/>"))]
    with open_ledger(database.url) as ledger, open_audit_log(database.url) as audit_log:
        deliver(ledger, *held, accepted(), rejected(b"<c/>"))
        found = audit_log.held()
        assert [h.exchange_id for h in found] == [d.exchange_id for d in held]
        assert (found[0].submitter, found[0].bytes, found[0].cause) == (ALICE, 4, "'2' is not allowed here")
        assert audit_log.open(NOW).held == 2
        deliver(ledger, rejected(b"<b/>", at=NOW + timedelta(minutes=1)))
        assert [h.exchange_id for h in audit_log.held()] == [held[1].exchange_id]
        assert audit_log.open(NOW).held == 1
