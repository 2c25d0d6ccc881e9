"""Rows that were changed by hand: each command says which, none gives a traceback, on both databases."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from swexchange.cli import cli
from swexchange.core.breaker import Standing
from swexchange.core.codes import HELD
from swexchange.core.forecast import Sample
from swexchange.core.model import Finding, Kind
from swexchange.core.replay import Does, Item, Target
from swexchange.core.search import Filter
from swexchange.errors import DamagedRow
from swexchange.store import (
    FullLedger,
    Runner,
    open_archives,
    open_audit_log,
    open_backlog,
    open_holds,
    open_replays,
    open_running,
)
from swexchange.store.file_pruning import FilePruning
from swexchange.store.replays import Plan
from tests.contract.conftest import Database, change
from tests.contract.exchanges import ALICE, CUSTOMS, NOW, RULES, accepted, deliver, rejected

ROUTES = Path(__file__).parent.parent.parent / "routes.yaml"
BAD = (
    "",
    "{",
    "[]",
    "null",
    "5",
    '{"keys":5,"key":5,"found":"x"}',
    '{"findings":[[]],"sends":[{}],"key":{}}',
    '{"findings":[[1,"x","",0]],"sender":4,"found":true}',
    '{"lane":"\\ud800","sender":"\\ud800","key":{"name":"\\ud800"},"sends":[5]}',
    "[" * 100_000,
)


def said(database: Database, *arguments: str) -> Result:
    environment = {"SWX_DATABASE_URL": database.url, "SWX_ROUTES": str(ROUTES)}
    return CliRunner().invoke(cli, arguments, env=environment)


def spoil(database: Database, table: str, column: str, text: str) -> None:
    change(database, f"UPDATE {table} SET {column} = '{text}'")


def require_named(result: Result, table: str, row: str, column: str) -> None:
    """One line that says where, and what to do; exit code 3."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 3
    assert f"table {table}: column {column} of {table} {row} cannot be read" in result.stderr
    assert "swexchange audit verify" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def exchange(ledger: FullLedger) -> str:
    """A message that was delivered."""
    fresh = accepted()
    deliver(ledger, fresh)
    return fresh.exchange_id


@pytest.fixture
def number(database: Database, exchange: str) -> str:
    """A plan to send it again."""
    with open_replays(database.url) as replays:
        made = replays.begin(Plan("resend", {"limit": 3}, RULES, "ann@host"), NOW)
        replays.freeze(made, [Item(65536, Does.SEND, (Target(Kind.MESSAGE, CUSTOMS, True),))])
        replays.seal(made, {"found": 1}, "ann@host", NOW)
    return made


def test_an_exchange_whose_detail_was_changed_is_named(database: Database, exchange: str) -> None:
    """Its row in a search needs no detail, and is still there."""
    for text in BAD:
        spoil(database, "exchange", "detail", text)
        require_named(said(database, "audit", "show", exchange), "exchange", exchange, "detail")
        assert exchange in said(database, "audit", "search").stdout


def test_a_held_message_whose_detail_was_changed_hides_no_other(database: Database, ledger: FullLedger) -> None:
    """Both are listed; the cause of that one says what is wrong."""
    first, second = (replace(rejected(body), findings=(Finding(HELD, "why"),)) for body in (b"<a/>", b"<b/>"))
    deliver(ledger, first, second)
    for text in BAD:
        change(database, f"UPDATE exchange SET detail = '{text}' WHERE exchange_id = '{first.exchange_id}'")
        with open_audit_log(database.url) as log:
            causes = {one.exchange_id: one.cause for one in log.held()}
        assert causes[second.exchange_id] == "why"
        assert f"column detail of exchange {first.exchange_id} cannot be read" in causes[first.exchange_id]
        assert said(database, "held", "list").exit_code == 0


@pytest.mark.parametrize("column", ["wanted", "effect"])
def test_a_replay_whose_plan_was_changed_is_named(database: Database, number: str, column: str) -> None:
    """By every command that reads it; an object in `wanted`, whatever it says, is shown as it is."""
    for text in BAD:
        spoil(database, "replay", column, text)
        is_named = column == "effect" or not text.startswith('{"') or "ud800" in text
        for arguments in (["status", number], ["list"]):
            result = said(database, "replay", *arguments)
            if is_named:
                require_named(result, "replay", number, column)
            assert (result.exit_code == 0) is not is_named, result.exception
    require_named(said(database, "replay", "run", number, "--reason", "why"), "replay", number, column)
    change(database, "UPDATE replay SET wanted = '{}', effect = '{}', planned_at = 9000000000000000000")
    assert f"replay {number} cannot be read" in said(database, "replay", "list").stderr


def test_an_item_whose_targets_were_changed_is_named(database: Database, number: str) -> None:
    """Where items are listed: the plan without them can be read."""
    spoil(database, "replay_item", "targets", "{")
    assert said(database, "replay", "status", number).exit_code == 0
    for text in (*BAD, '[["message"]]', '[["message",5,true]]', '{"a":1}'):
        if text != "[]":
            spoil(database, "replay_item", "targets", text)
            result = said(database, "replay", "status", number, "--list")
            assert result.exit_code == 3, result.exception
            assert f"column targets of replay_item {number} 65536 cannot be read" in result.stderr


def test_an_item_that_was_changed_while_its_replay_runs_is_named(database: Database, number: str) -> None:
    """Nothing of it is sent."""
    with open_running(database.url, number, Runner("one", "ann@host", "why"), 10**6) as running:
        running.take("", NOW)
        spoil(database, "replay_item", "targets", "{")
        with pytest.raises(DamagedRow, match=f"replay_item {number} 65536"):
            running.claim(-1, 1, NOW)


def test_a_hold_that_was_changed_is_named_and_nothing_is_pruned(database: Database) -> None:
    """What it holds is unknown, so everything is kept."""
    with open_holds(database.url) as holds:
        placed = holds.add(Filter(sender=ALICE), "ann@host", "case 1", NOW)
    with closing(FilePruning(database.url)) as pruning:
        for text in (*BAD, '{"since":9999999999999999999}', '{"colour":"red"}'):
            spoil(database, "hold", "wanted", text)
            require_named(said(database, "hold", "list"), "hold", str(placed), "wanted")
            with pytest.raises(DamagedRow, match=f"hold {placed}"):
                pruning.holds()


def test_other_columns_that_were_changed_are_named(database: Database, exchange: str) -> None:
    """A word that is none, a time after all times."""
    change(database, "UPDATE exchange SET outcome = 'perhaps'")
    assert f"exchange {exchange} cannot be read" in said(database, "audit", "show", exchange).stderr
    change(database, "UPDATE exchange SET received_at = 9000000000000000000")
    for arguments in (["show", exchange], ["search"]):
        result = said(database, "audit", *arguments)
        assert result.exit_code == 3, result.exception
        assert f"exchange {exchange} cannot be read" in result.stderr


def test_bytes_in_place_of_a_text_are_named(database: Database, exchange: str) -> None:
    """SQLite keeps them as bytes; PostgreSQL makes a text of them, which is shown."""
    change(database, "UPDATE exchange SET route = x'00ff'")
    for arguments in (["show", exchange], ["search"]):
        result = said(database, "audit", *arguments)
        assert result.exit_code == {"sqlite": 3, "postgresql": 0}[database.kind], result.exception
        assert exchange in result.output
        assert ("route is no text" in result.stderr) is (database.kind == "sqlite")


def test_a_copy_of_no_kind_is_named(database: Database, exchange: str) -> None:
    """By its exchange and its recipient."""
    change(database, "UPDATE copy SET kind = 'letter' WHERE kind = 'message'")
    result = said(database, "audit", "show", exchange)
    assert result.exit_code == 3
    assert f"copy of exchange {exchange} to {CUSTOMS} cannot be read" in result.stderr


@pytest.mark.parametrize("column", ["sampled_at", "sampled_backlog", "held_until", "sent", "pace"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_upstream_whose_numbers_are_none_is_named(database: Database, column: str) -> None:
    with open_backlog(database.url) as backlog:
        backlog.hold("province", "one", NOW, 10)
        backlog.tell("province", Standing(), Sample(NOW, 0, 0, 0))
    change(database, f"UPDATE upstream SET {column} = 'many'")
    with open_audit_log(database.url) as log, pytest.raises(DamagedRow, match="upstream province cannot be read"):
        log.upstreams()


def test_a_span_of_no_kind_is_named(database: Database) -> None:
    change(database, "INSERT INTO sealed VALUES ('letter', 1, 1, 0, 1)")
    with open_archives(database.url) as log:
        for read in (log.spans, lambda: log.spans_from(0)):
            with pytest.raises(DamagedRow, match="sealed letter 1 cannot be read"):
                read()
