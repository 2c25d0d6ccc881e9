"""`swexchange replay` as an operator uses it: real commands, broker and database."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import update

from swexchange.broker.client import Received
from swexchange.broker.topology import inbox, receipts
from swexchange.store import open_replays, tables
from tests import postgres, world
from tests.process.house import CENTRE, CUSTOMS, INTEGRATOR, SECONDS, House, house, until

MESSAGES = 12
NUMBERS = [f"RP-{n:03d}" for n in range(MESSAGES)]
WHY = ("--reason", "customs lost its queue, ticket 4711")


def declaration(home: House, number: str) -> bytes:
    """A good signed declaration that shares no business key with any other."""
    document = world.declaration(number, bill=f"BILL-{number}")
    return home.signed(world.dxp_msg(document, number, sender=INTEGRATOR))


def lived(home: House, count: int = MESSAGES) -> None:
    """Declarations, delivered by a daemon that is stopped again; the queues are empty."""
    daemon = home.daemon()
    home.send([declaration(home, number) for number in NUMBERS[:count]])
    home.collect(receipts(INTEGRATOR), count)
    assert {copy.replay for copy in home.collect(inbox(CUSTOMS), count)} == {""}
    assert daemon.stop() == 0


def made(folder: Path, database: str) -> Iterator[House]:
    """A house on either database."""
    url = postgres.shared().create("replay") if database == "postgresql" else ""
    home = house(folder, url)
    yield home
    home.close()
    if url:
        postgres.shared().drop("replay")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house on each database whose past is the same; tests leave no replay open and no queue full."""
    for home in made(Path(tmp_path_factory.mktemp("replay")), request.param):
        lived(home)
        yield home


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A house of its own, on each database."""
    yield from made(tmp_path, request.param)


def replay(home: House, *arguments: str, code: int = 0) -> dict[str, Any]:
    """What a replay command says as JSON, having ended with this code."""
    done = home.cli("replay", *arguments, "--json")
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    return dict(json.loads(done.stdout)) if done.stdout else {"said": done.stderr}


def planned(home: House, *arguments: str) -> str:
    return str(replay(home, "plan", *arguments)["id"])


def replay_ids(home: House) -> list[str]:
    return [one["id"] for one in json.loads(home.cli("replay", "list", "--json").stdout)]


def numbers(received: list[Received]) -> list[str]:
    return [copy.correlation_id for copy in received]


def test_a_lost_queue_is_filled_again(store: House) -> None:
    """Plan, look, run: the stored bytes under their old ids, in order; nothing before the run, nothing twice."""
    shown = replay(store, "plan", "--receiver", CUSTOMS, "--to", CUSTOMS, "--since", "1d")
    assert (shown["state"], shown["items"]) == ("planned", MESSAGES)
    assert shown["effect"]["sends"] == [{"kind": "message", "to": CUSTOMS, "repeats": True, "copies": MESSAGES}]
    assert store.inbox(CUSTOMS) == []

    done = replay(store, "run", shown["id"], *WHY, "--canary", "2")
    assert (done["state"], done["counts"]) == ("done", {"sent": MESSAGES})
    assert [event for _, event, *_ in done["log"]] == ["planned", "started", "done"]
    assert done["log"][1][3] == WHY[1]
    again = store.inbox(CUSTOMS)
    assert [(copy.correlation_id, copy.body) for copy in again] == [(n, declaration(store, n)) for n in NUMBERS]
    assert store.receipts() == []
    trail = json.loads(store.cli("audit", "show", again[0].exchange_id, "--json").stdout)
    assert trail["copies"][0]["id"] == again[0].message_id
    assert ["replayed", f"{shown['id']} message {CUSTOMS}"] in [entry[1:3] for entry in trail["timeline"]]

    assert "is done" in replay(store, "run", shown["id"], *WHY, code=2)["said"]
    assert store.inbox(CUSTOMS) == []


# What differs between databases is tested on both in tests/contract/test_store_replays.py.
ON_SQLITE = pytest.mark.parametrize("store", ["sqlite"], indirect=True)
POINTS = ("replay-claimed", "replay-published", "replay-marked")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_step_the_next_run_finishes(store: House, point: str) -> None:
    """Every message arrives, at most those in hand twice, with equal ids; meanwhile nobody else can run it."""
    number = planned(store, "--sender", INTEGRATOR)
    dead = store.cli(
        "replay", "run", number, *WHY, "--canary", "4", environment={"SWX_CRASH_AT": f"{point}:2", "SWX_BATCH": "4"}
    )
    assert dead.returncode == -signal.SIGKILL
    assert "being run by" in replay(store, "run", number, *WHY, code=3)["said"]
    _forget_lease(store)
    assert replay(store, "run", number, *WHY)["counts"] == {"sent": MESSAGES}

    received = store.inbox(CUSTOMS)
    assert list(dict.fromkeys(numbers(received))) == NUMBERS
    assert {copy.body for copy in received} == {declaration(store, n) for n in NUMBERS}
    assert len({copy.message_id for copy in received}) == MESSAGES
    assert len(received) - MESSAGES == (4 if point == "replay-published" else 0)
    assert len(replay(store, "status", number)["log"]) == 4


def _forget_lease(home: House) -> None:
    """As if the lease's time had passed."""
    with open_replays(home.database_url) as replays, replays._writing() as connection:
        connection.execute(update(tables.replay).values(lease_until=1))


def frozen_run(home: House, number: str) -> subprocess.Popen[str]:
    """A run that has sent something and has more to send, held still."""
    command = [sys.executable, "-m", "swexchange", "replay", "run", number, *WHY, "--json", "--canary", "0"]
    process = subprocess.Popen(
        [*command, "--rate", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=home.environment
    )
    with open_replays(home.database_url) as replays:
        until(lambda: replays.get(number).counts.get("sent", 0) > 0, "the run has begun")
    process.send_signal(signal.SIGSTOP)
    return process


@ON_SQLITE
def test_a_second_run_and_a_second_plan_are_refused(store: House) -> None:
    """While one run is at work: the same plan cannot be run, nor another that shares an exchange."""
    number, other = planned(store), planned(store, "--message-id", NUMBERS[-1])
    first = frozen_run(store, number)
    assert "being run by" in replay(store, "run", number, *WHY, code=3)["said"]
    assert f"outstanding in replay {number}" in replay(store, "run", other, *WHY, code=3)["said"]
    first.send_signal(signal.SIGINT)
    first.send_signal(signal.SIGCONT)
    out, said = first.communicate(timeout=SECONDS)
    assert first.returncode == 4, said
    assert f"`swexchange replay run {number} --reason ...` goes on" in said
    assert json.loads(out)["state"] == "stopped"
    assert replay(store, "run", number, *WHY)["state"] == "done"
    assert "has sent since it was planned" in replay(store, "run", other, *WHY, code=2)["said"]
    assert numbers(store.inbox(CUSTOMS)) == NUMBERS


@ON_SQLITE
def test_an_abort_ends_a_run_at_work(store: House) -> None:
    """From another terminal; what was not sent never is."""
    number = planned(store)
    first = frozen_run(store, number)
    replay(store, "abort", number, "--reason", "wrong agency")
    first.send_signal(signal.SIGCONT)
    assert first.wait(SECONDS) == 3
    first.communicate()
    found = replay(store, "status", number)
    assert found["state"] == "aborted"
    assert set(found["counts"]) == {"sent", "left"}
    assert len(store.inbox(CUSTOMS)) == found["counts"]["sent"] < MESSAGES
    assert "is aborted" in replay(store, "run", number, *WHY, code=2)["said"]
    assert number in [r["id"] for r in json.loads(store.cli("replay", "list", "--json").stdout)]


@ON_SQLITE
def test_every_copy_says_which_replay_sent_it(store: House) -> None:
    """The header swx-replay."""
    number = planned(store, "--limit", "2", "--receipts")
    replay(store, "run", number, *WHY)
    assert [copy.replay for copy in (*store.inbox(CUSTOMS), *store.receipts())] == [number] * 4


@ON_SQLITE
def test_what_has_no_queue_stops_at_the_canary(store: House) -> None:
    """Exit code 4, the failures by fate; once the queue is there, the next run sends them."""
    number = planned(store)
    store.broker("delete_queue", inbox(CUSTOMS))
    stopped = replay(store, "run", number, *WHY, "--canary", "3", code=4)
    assert (stopped["state"], stopped["counts"], stopped["fates"]) == (
        "stopped",
        {"failed": 3, "open": MESSAGES - 3},
        {"returned": 3},
    )
    failed = replay(store, "status", number, "--list", "--only", "failed")["exchanges"]
    assert [(one["message_id"], one["fate"]) for one in failed] == [(n, "returned") for n in NUMBERS[:3]]
    assert store.cli("topology", "apply").returncode == 0
    assert replay(store, "run", number, *WHY)["counts"] == {"sent": MESSAGES}
    assert len(store.inbox(CUSTOMS)) == MESSAGES


@ON_SQLITE
def test_wrong_use_is_told(store: House) -> None:
    """No reason, no such plan, options that contradict: exit code 2; nothing found: 1; and nothing is sent."""
    number = planned(store, "--limit", "1")
    for arguments in (("run", number), ("run", number, "--reason", " "), ("run", "none", *WHY), ("status", "none")):
        replay(store, *arguments, code=2)
    replay(store, "plan", "--decide", "--receipts", code=2)
    assert store.inbox(CUSTOMS) == []
    plans = replay_ids(store)
    assert "nothing is planned" in replay(store, "plan", "--message-id", "NONE", code=1)["said"]
    assert replay_ids(store) == plans


def _edit(home: House, sends: list[str], to: list[str]) -> None:
    """What the integrator may send, and where declarations go."""
    rules = yaml.safe_load(home.routes.read_text("utf-8"))
    (sender,) = [entry for entry in rules["participants"] if entry["id"] == INTEGRATOR]
    sender["sends"] = sends
    (route,) = [route for route in rules["routes"] if route["name"] == "cargo-declarations"]
    route["to"] = to
    rules.pop("tests", None)
    home.routes.write_text(yaml.safe_dump(rules, allow_unicode=True, sort_keys=False), "utf-8")


def test_deciding_again_reroutes_and_accepts_after_all(fresh: House) -> None:
    """Accepted ones go to their new destination; what a mistake in the rules refused is accepted as a new exchange."""
    lived(fresh, 3)
    _edit(fresh, ["DEC_RESULT"], [CUSTOMS])
    daemon = fresh.daemon()
    fresh.send([declaration(fresh, "LATE-1")])
    (refusal,) = fresh.collect(receipts(INTEGRATOR), 1)
    assert world.receipt_code(refusal.body) == "4106"
    daemon.stop()
    _edit(fresh, ["DecMessage"], [CUSTOMS, CENTRE])

    shown = replay(fresh, "plan", "--decide", "--only-new")
    assert (shown["items"], shown["effect"]["accepted_anew"]) == (4, 1)
    done = replay(fresh, "run", shown["id"], *WHY)
    assert done["counts"] == {"sent": 4}
    assert sorted(numbers(fresh.inbox(CENTRE))) == ["LATE-1", "RP-000", "RP-001", "RP-002"]
    assert numbers(fresh.inbox(CUSTOMS)) == ["LATE-1"]
    (receipt,) = fresh.receipts()
    assert (world.receipt_code(receipt.body), receipt.correlation_id) == ("0000", "LATE-1")
    found = json.loads(fresh.cli("audit", "search", "--message-id", "LATE-1", "--json").stdout)
    assert [row["outcome"] for row in found] == ["accepted", "rejected"]
    copies = json.loads(fresh.cli("audit", "show", found[0]["exchange"], "--json").stdout)["copies"]
    assert {copy["to"]: copy["state"] for copy in copies} == {CUSTOMS: "sent", CENTRE: "sent", INTEGRATOR: "sent"}

    after = replay(fresh, "plan", "--decide", "--only-new")
    assert (after["items"], {left["why"]: left["exchanges"] for left in after["effect"]["left_out"]}) == (
        0,
        {"none of its copies is chosen": 4, "a message that was accepted holds its id": 1},
    )
    assert replay(fresh, "run", after["id"], *WHY)["counts"] == {}
    assert fresh.inbox(CUSTOMS) == fresh.inbox(CENTRE) == []
