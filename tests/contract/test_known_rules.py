"""Rules are noted with their keys before anything is decided by them: once, whoever else does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime

import pytest

from swexchange.core.log import key_history
from swexchange.core.model import Copy, Decision, Delivery, Fate
from swexchange.core.rulebook import Rulebook
from swexchange.core.rules_manifest import digest_of
from swexchange.decider import decide_each
from swexchange.errors import StoreDown
from swexchange.pipeline import process
from swexchange.store import FullLedger
from tests import world
from tests.contract.conftest import Database

RULES = world.rulebook()
NOTED = [(RULES.digest, key_history(RULES.keys.values()))]


class _Sink:
    def publish(self, copies: Sequence[Copy]) -> Sequence[Fate]:
        return [Fate.CONFIRMED for _ in copies]


def noted(database: Database) -> list[tuple[str, str]]:
    return database.rows("SELECT digest, known_keys FROM rules")


def test_their_manifest_is_noted_too(database: Database, ledger: FullLedger) -> None:
    """Whoever has it can compute the digest."""
    process([world.declared()], RULES, ledger, _Sink(), lambda: world.NOW)
    assert database.rows("SELECT digest, manifest FROM rules") == [(RULES.digest, RULES.manifest)]
    assert digest_of(RULES.manifest) == RULES.digest


def test_they_are_noted_before_the_first_message_is_decided(database: Database, ledger: FullLedger) -> None:
    seen = []

    def decide_all(deliveries: Sequence[Delivery], rules: Rulebook, now: datetime) -> list[Decision]:
        seen.append(noted(database))
        return decide_each(deliveries, rules, now)

    process([world.declared()], RULES, ledger, _Sink(), lambda: world.NOW, decide_all)
    assert seen == [NOTED]


def test_what_cannot_be_noted_is_not_decided(
    database: Database, ledger: FullLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step fails as with any fault of the database; the next one notes and decides."""

    def fails(*_: object) -> bool:
        raise StoreDown("the database fails")

    with monkeypatch.context() as patch:
        patch.setattr(FullLedger, "_is_known", fails)
        with pytest.raises(StoreDown):
            process([world.declared()], RULES, ledger, _Sink(), lambda: world.NOW)
    assert (noted(database), database.rows("SELECT seq FROM exchange")) == ([], [])
    assert len(process([world.declared()], RULES, ledger, _Sink(), lambda: world.NOW).decided) == 1
    assert noted(database) == NOTED


def test_several_processes_note_them_once(
    database: Database, ledger: FullLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes later finds them; whoever comes at the same moment is refused by the database, and goes on."""
    ledger.note_rules(RULES.digest, RULES.keys.values(), world.NOW)
    with closing(FullLedger(database.url)) as later, closing(FullLedger(database.url)) as together:
        later.note_rules(RULES.digest, (), world.NOW)
        monkeypatch.setattr(together, "_is_known", lambda _: False)
        together.note_rules(RULES.digest, (), world.NOW)
    assert noted(database) == NOTED


def test_what_was_noted_last_is_not_asked_for_again(ledger: FullLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one query a batch; other rules are asked for."""
    ledger.note_rules(RULES.digest, (), world.NOW)
    asked: list[str] = []

    def is_known(digest: str) -> bool:
        asked.append(digest)
        return True

    monkeypatch.setattr(ledger, "_is_known", is_known)
    for digest in (RULES.digest, "e" * 64, "e" * 64, RULES.digest):
        ledger.note_rules(digest, (), world.NOW)
    assert asked == ["e" * 64, RULES.digest]
