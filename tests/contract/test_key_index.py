"""The index by business key is no part of the log: an audit holds it against the exchanges, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from swexchange.cli.auditing import comparing
from swexchange.core.log import KeySum, Leaf, Span
from swexchange.core.model import BusinessKey
from swexchange.evidence import auditor
from swexchange.evidence.auditor import EVERYTHING, Compare, Findings, audit
from swexchange.evidence.sealer import Sealer
from swexchange.store import Evidence, FullLedger, key_index
from tests.contract.conftest import Database, change
from tests.contract.exchanges import accepted, deliver, record, rejected
from tests.contract.place import Place

SHARED = BusinessKey("ContractNo", "C-1")
AS_LONG_AS_A_PAGE = 7


def keyed(name: str) -> Any:
    """A message with a key of its own and one that all have."""
    return accepted(name, keys=[BusinessKey("EntryId", f"'{name}' 报关"), SHARED])


def told(log: Any, sealer: Sealer, compare: Compare | None = None) -> list[str]:
    return [f"{one.place} {one.what}" for one in audit(log, [sealer.verifier], {}, Findings(), compare=compare)]


@pytest.fixture
def messages(ledger: FullLedger, sealer: Sealer, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Some that are sealed, the last one is not; one without keys among them. All is well, and pages are small."""
    monkeypatch.setattr(key_index, "PAGE", AS_LONG_AS_A_PAGE)
    found = [keyed(f"M{n}") for n in range(20)]
    record(ledger, *found[:10], rejected())
    deliver(ledger, *found[10:19])
    sealer.seal()
    deliver(ledger, found[19])
    return found


def seq_of(one: Any) -> str:
    return f"(SELECT seq FROM exchange WHERE exchange_id = '{one.exchange_id}')"


def test_an_index_that_fits_is_no_problem(log: Evidence, sealer: Sealer, messages: list[Any]) -> None:
    assert told(log, sealer) == []
    assert log.key_sum_beside(log.spans(), 7) == log.key_sum(log.spans(), 7) != KeySum()
    assert log.key_sum_beside([], 7) == KeySum()
    assert list(log.badly_indexed()) == []


@pytest.mark.parametrize("which", [4, 19], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("name", ["EntryId", "ContractNo"])
def test_a_removed_row_is_named(
    database: Database, log: Evidence, sealer: Sealer, messages: list[Any], which: int, name: str
) -> None:
    """Also where many others have the same key."""
    one = messages[which]
    change(database, f"DELETE FROM business_key WHERE name = '{name}' AND seq = {seq_of(one)}")
    (found,) = told(log, sealer)
    assert found.startswith(f"exchange {one.exchange_id} (seq ")
    assert f" cannot be found by {name}=" in found


def test_all_rows_of_an_exchange_are_one_problem(
    database: Database, log: Evidence, sealer: Sealer, messages: list[Any]
) -> None:
    change(database, f"DELETE FROM business_key WHERE seq = {seq_of(messages[3])}")
    (found,) = told(log, sealer)
    assert " and 1 more: " in found


@pytest.mark.parametrize("which", [4, 19], ids=["sealed", "unsealed"])
@pytest.mark.parametrize("key", [("EntryId", "999"), ("BillNo", "C-1")], ids=["value", "name"])
def test_an_added_row_is_named(
    database: Database, log: Evidence, sealer: Sealer, messages: list[Any], which: int, key: tuple[str, str]
) -> None:
    """An answer to somebody else's declaration would go to whom this exchange is of."""
    name, value = key
    one = messages[which]
    change(database, f"INSERT INTO business_key SELECT '{value}', '{name}', {seq_of(one)}")
    (found,) = told(log, sealer)
    assert found.startswith(f"exchange {one.exchange_id} (seq ")
    assert found.endswith(f"{name}={value} was added to business_key: its details do not have it")


def test_a_row_of_no_exchange_is_named(database: Database, log: Evidence, sealer: Sealer, messages: list[Any]) -> None:
    change(database, "INSERT INTO business_key VALUES ('999', 'EntryId', 5)")
    assert told(log, sealer) == ["exchange - (seq 5) EntryId=999 was added to business_key: there is no such exchange"]


@pytest.mark.parametrize(
    "changed", ["value = '999'", "name = 'BillNo'", "seq = {other}"], ids=["value", "name", "exchange"]
)
def test_a_changed_row_is_one_removed_and_one_added(
    database: Database, log: Evidence, sealer: Sealer, messages: list[Any], changed: str
) -> None:
    """As many rows as before, and none of them unseen."""
    one, other = messages[4], messages[15]
    to = changed.format(other=seq_of(other))
    change(database, f"UPDATE business_key SET {to} WHERE name = 'EntryId' AND seq = {seq_of(one)}")
    removed, added = told(log, sealer)
    assert removed.startswith(f"exchange {one.exchange_id} ")
    assert " cannot be found by EntryId=" in removed
    assert added.startswith(f"exchange {(other if 'seq' in changed else one).exchange_id} ")
    assert " was added to business_key: " in added


@pytest.mark.parametrize(
    "detail", ["", "{", "[]", "null", '{"keys":5}', '{"keys":[[]]}', '{"keys":[["\\u0000","\\ud800"]]}']
)
def test_details_that_cannot_be_read_are_named_with_their_leaf_alone(
    database: Database, log: Evidence, sealer: Sealer, messages: list[Any], detail: str
) -> None:
    change(database, f"UPDATE exchange SET detail = '{detail}' WHERE exchange_id = '{messages[4].exchange_id}'")
    (found,) = told(log, sealer)
    assert "was changed after it became leaf" in found


def test_details_with_a_nul_are_not_read(
    database: Database, log: Evidence, sealer: Sealer, messages: list[Any]
) -> None:
    """JSON can have one, no text of a database can."""
    detail = '{"keys":[["EntryId","\\u0000"]]}'
    change(database, f"UPDATE exchange SET detail = '{detail}' WHERE exchange_id = '{messages[4].exchange_id}'")
    (found,) = told(log, sealer)
    assert "was changed after it became leaf" in found


# -- beside a daemon


class Beside:
    """A log beside which something else goes on: before the index is read, or before each span is."""

    def __init__(self, log: Evidence, before: str, happens: Callable[[], object]) -> None:
        self._log, self._before, self._happens = log, before, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def key_sum_beside(self, spans: Iterable[Span], seed: int) -> KeySum:
        if self._before == "index":
            self._happens()
        return self._log.key_sum_beside(spans, seed)

    def leaves(self, span: Span, *, bodies: bool = False) -> Iterator[Leaf]:
        if self._before == "leaves":
            self._happens()
        return self._log.leaves(span, bodies=bodies)


@pytest.mark.parametrize("before", ["index", "leaves"])
def test_messages_that_come_meanwhile_are_no_problem(
    log: Evidence, ledger: FullLedger, sealer: Sealer, messages: list[Any], before: str
) -> None:
    """Nor is a checkpoint; and the index need not be read from end to end for them."""
    names = iter(range(100))

    def traffic() -> None:
        deliver(ledger, keyed(f"N{next(names)}"))
        sealer.seal()
        deliver(ledger, keyed(f"N{next(names)}"))

    beside: Any = Beside(log, before, traffic)
    beside.badly_indexed = pytest.fail
    assert told(beside, sealer) == []
    assert next(names)


@pytest.mark.parametrize("before", ["index", "leaves"])
def test_exchanges_that_are_pruned_meanwhile_are_no_problem_and_hide_none(
    database: Database, place: Place, ledger: FullLedger, before: str
) -> None:
    for n in range(4):
        deliver(ledger, keyed(f"M{n}"))
        place.sealer.seal()
    place.archive()
    place.prune()
    spans = frozenset(span.first_leaf for span in place.log.spans())
    change(database, "INSERT INTO business_key VALUES ('999', 'EntryId', 5)")
    beside = Beside(place.log, before, place.prune_rows)
    found = Findings()
    problems = list(audit(beside, [place.sealer.verifier], {}, found, archived=EVERYTHING, gone=spans))
    assert found.gone >= 4
    assert [one.place for one in problems] == ["exchange - (seq 5)"]


def test_rows_of_pruned_exchanges_are_no_problem(place: Place, ledger: FullLedger) -> None:
    deliver(ledger, *(keyed(f"M{n}") for n in range(4)))
    place.archive()
    place.prune()
    assert place.prune_rows()
    assert place.verify().gone
    assert place.log.key_sum_beside(place.log.spans(), 7) == KeySum()


def test_both_sides_are_read_at_one_moment(
    log: Evidence, ledger: FullLedger, messages: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = key_index.sum_of

    def late(*arguments: Any) -> KeySum:
        deliver(ledger, keyed("LATE"))
        return read(*arguments)

    monkeypatch.setattr(key_index, "sum_of", late)
    assert log.key_sum_beside([], 7) == KeySum()


# -- how it is done


def test_many_processes_find_what_one_finds(
    database: Database, log: Evidence, ledger: FullLedger, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditor, "AT_ONCE", 3)
    for first in range(0, 30, 3):
        deliver(ledger, *(keyed(f"M{n}") for n in range(first, first + 3)))
        sealer.seal()
    one, other = (seq_of(keyed(name)) for name in ("M5", "M25"))
    change(database, f"UPDATE business_key SET seq = {other} WHERE name = 'EntryId' AND seq = {one}")
    alone = told(log, sealer)
    assert len(alone) == 2
    assert told(log, sealer, comparing(database.url)) == alone
