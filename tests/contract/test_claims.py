"""What archived exchanges took is compared with the archive files, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from swexchange.core.identity import identity
from swexchange.evidence.archive_file import ArchiveFile
from swexchange.evidence.claims import added, lost
from swexchange.store import FullLedger
from tests.contract.conftest import Database, change
from tests.contract.exchanges import accepted, deliver, rejected, waiting
from tests.contract.place import Place

PRUNED, KEPT = accepted("PRUNED"), accepted("KEPT")


@pytest.fixture
def kept(ledger: FullLedger, place: Place) -> Place:
    """A log in files, one per message and more; rows of what was accepted are pruned but for one that came later."""
    deliver(ledger, PRUNED, rejected(), waiting())
    place.archive()
    place.prune()
    assert place.prune_rows() == 2
    deliver(ledger, KEPT)
    place.archive()
    return place


def files(place: Place, stack: ExitStack) -> Iterator[ArchiveFile]:
    """All of them, open."""
    for one in place.log.archives():
        yield stack.enter_context(closing(ArchiveFile(place.folder / one.name)))


def problems(place: Place) -> list[str]:
    """What was lost, and what was added."""
    with ExitStack() as stack:
        found = [what for file in files(place, stack) for what in lost(place.log, file)]
        return found + list(added(place.log, files(place, stack)))


def test_what_is_there_and_what_was_pruned_is_taken(kept: Place) -> None:
    assert problems(kept) == []


@pytest.mark.parametrize(
    ("statement", "now"),
    [
        ("DELETE FROM taken", "nobody"),
        ("UPDATE taken SET exchange_id = 'other'", "exchange other"),
        ("UPDATE taken SET digest = (SELECT digest FROM exchange WHERE message_id = 'KEPT')", "other bytes of it"),
    ],
)
def test_what_a_pruned_exchange_took_and_lost_is_named(
    database: Database, kept: Place, statement: str, now: str
) -> None:
    change(database, statement)
    first = problems(kept)[0]
    assert f"exchange {PRUNED.exchange_id} took {identity(PRUNED).removeprefix('A:')}" in first
    assert now in first


def test_an_exchange_that_is_there_takes_as_it_did(database: Database, kept: Place) -> None:
    change(database, "UPDATE exchange SET identity = 'A:x/y' WHERE message_id = 'KEPT'")
    (found,) = problems(kept)
    assert f"{KEPT.exchange_id} took" in found
    assert "nobody" in found


def test_what_no_exchange_took_is_named(database: Database, kept: Place) -> None:
    """It would keep a message out that is still to come."""
    change(database, "INSERT INTO taken SELECT 'A:x/y', 'added', digest FROM taken")
    (found,) = problems(kept)
    assert "exchange added is in no file" in found


def test_more_than_fit_into_one_question(
    ledger: FullLedger, place: Place, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swexchange.evidence.claims.AT_ONCE", 3)
    monkeypatch.setattr("swexchange.store.archives.AT_ONCE", 3)
    deliver(ledger, *(accepted(f"M{n}") for n in range(10)))
    place.archive()
    place.prune()
    place.prune_rows()
    assert problems(place) == []
    change(database, "DELETE FROM taken WHERE identity LIKE '%/M5'")
    assert len(problems(place)) == 1
