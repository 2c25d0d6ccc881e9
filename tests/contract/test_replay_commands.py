"""What `swexchange replay` says of plans that need no broker, on both databases."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from swexchange.cli import cli, replay_run
from swexchange.core.model import Kind
from swexchange.core.replay import Does, Done, Item, Target
from swexchange.store import FullLedger, Runner, open_replays, open_running
from swexchange.store.replays import Plan
from tests.contract.conftest import Database
from tests.contract.exchanges import CUSTOMS, NOW, RULES, accepted, after, record

ROUTES = Path(__file__).parent.parent.parent / "routes.yaml"


def said(database: Database, *arguments: str) -> Result:
    environment = {"SWX_DATABASE_URL": database.url, "SWX_ROUTES": str(ROUTES)}
    return CliRunner().invoke(cli, ["replay", *arguments], env=environment)


@pytest.fixture
def number(database: Database, ledger: FullLedger) -> str:
    """A plan of three exchanges of 204, the first of which failed when it was run."""
    record(ledger, *(accepted(f"M{n}", at=after(seconds=n)) for n in range(3)))
    target = Target(Kind.MESSAGE, CUSTOMS, True)
    with open_replays(database.url) as replays:
        made = replays.begin(Plan("resend", {"limit": 3}, RULES, "ann@host"), NOW)
        replays.freeze(made, [Item(65536 + n, Does.SEND, (target,)) for n in range(3)])
        replays.seal(made, {"found": 3, "matching": 204}, "ann@host", NOW)
    with open_running(database.url, made, Runner("one", "ann@host", "why"), 10**6) as running:
        running.take("", NOW)
        running.mark([Done(parcel, "returned") for parcel in running.claim(-1, 1, NOW)], NOW)
        running.end("the canary failed", NOW, complete=False)
    return made


def test_each_exchange_is_listed_with_what_became_of_it(database: Database, number: str) -> None:
    """In order, by id; the failed ones alone if asked; the hint says how."""
    shown = said(database, "status", number, "--list")
    ids = [accepted(f"M{n}", at=after(seconds=n)).exchange_id for n in range(3)]
    lines = [line for line in shown.stdout.splitlines() if CUSTOMS in line]
    assert [line.split()[:2] for line in lines] == [[one, f"M{n}"] for n, one in enumerate(ids)]
    assert f"message {CUSTOMS}: failed returned 2026-03-02T09:30:00" in lines[0]
    assert lines[1].endswith(f"message {CUSTOMS}: open")
    assert f"replay status {number} --list --only failed" in shown.stderr
    told = json.loads(said(database, "status", number, "--list", "--only", "failed", "--json").stdout)
    (failed,) = told["exchanges"]
    assert (failed["exchange"], failed["state"], failed["fate"]) == (ids[0], "failed", "returned")
    assert "exchanges" not in json.loads(said(database, "status", number, "--json").stdout)
    assert said(database, "status", number, "--only", "failed").exit_code == 2


def test_a_limit_does_not_hide_how_many_match(database: Database, number: str) -> None:
    """3 were chosen, and 204 fit."""
    assert "3 of 204 exchanges" in said(database, "status", number).stdout


def test_what_finds_nothing_is_no_plan(database: Database) -> None:
    """Exit code 1, nothing stored, and no rules are loaded for it."""
    done = said(database, "plan", "--exchange", "nonsense")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "nothing found: nothing is planned\n"
    with open_replays(database.url) as replays:
        assert replays.list(10) == []


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signal handlers that a run sets are taken back."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_before_it_begins_says_how_to_go_on(
    database: Database, number: str, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    """While it still reads rules: exit code 4, and the plan is as it was."""
    signal.signal(sent, signal.default_int_handler)  # as the command's own process has it
    monkeypatch.setattr(replay_run, "load_remote", lambda _: signal.raise_signal(sent))
    done = said(database, "run", number, "--reason", "why")
    assert done.exit_code == 4
    assert "Aborted" not in done.stderr
    assert "stopped by its operator: nothing was sent" in done.stderr
    assert f"swexchange replay run {number} --reason '...' sends it" in done.stderr
    with open_replays(database.url) as replays:
        assert replays.get(number).state == "stopped"
