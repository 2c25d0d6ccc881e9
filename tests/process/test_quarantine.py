"""A message that kills the process which decides it: held after some workers, told, listed, released."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from swexchange.broker.topology import inbox, receipts
from tests.process.house import CUSTOMS, INTEGRATOR, SECONDS, Daemon, House, until
from tests.world import receipt_code

# Python runs a module of this name at its start: every process of the house gets a decision that kills it.
DEADLY = """
import os
import signal
from swexchange import decider

in_stages = decider.in_stages

def deadly(delivery, rules, now):
    if b"<CopMsgId>KILLER-" in delivery.body:
        os.kill(os.getpid(), signal.SIGSEGV)
    return in_stages(delivery, rules, now)

decider.in_stages = deadly
"""
DEATHS = 3  # of a message by itself; the first is nobody's: its message came for the first time


@pytest.fixture
def deadly(tmp_path: Path) -> dict[str, str]:
    """The environment in which certain messages kill the process that decides them."""
    folder = tmp_path / "deadly"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(DEADLY)
    return {"PYTHONPATH": str(folder), "SWX_BATCH": "50"}


def _held(home: House) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(home.cli("held", "list", "--json").stdout)
    return found


def _holds(daemon: Daemon) -> bool:
    """Whether it holds a message before it dies."""

    def is_held() -> bool:
        return any(event["event"] == "held" for event in daemon.log())

    until(lambda: is_held() or daemon.process.poll() is not None, "the message to be held", daemon.log_file)
    return is_held()


def test_a_killer_is_held_and_its_neighbours_go_on(home: House, deadly: dict[str, str]) -> None:
    """Some workers die; the next delivers every innocent message, once, and tells the sender of the killer."""
    innocent = {f"GOOD-{n:02d}": home.declaration(f"GOOD-{n:02d}") for n in range(40)}
    killer = home.declaration("KILLER-1")
    bodies = list(innocent.values())
    home.send([*bodies[:20], killer, *bodies[20:]])
    deaths = 0
    while not _holds(survivor := home.daemon(ready=False, environment=deadly)):
        assert survivor.process.returncode == -signal.SIGSEGV
        deaths += 1
    assert deaths in (DEATHS, DEATHS + 1)  # one more if others came again with it

    delivered = home.collect(inbox(CUSTOMS), len(innocent))
    assert sorted(copy.body for copy in delivered) == sorted(bodies)
    answers = home.collect(receipts(INTEGRATOR), len(innocent) + 1)
    assert sorted(receipt_code(r.body) for r in answers) == ["0000"] * 40 + ["4301"]
    (told,) = [event for event in survivor.log() if event["event"] == "held"]
    assert (told["level"], told["cause"]) == ("error", "2 workers died while deciding it")
    assert [h["cause"] for h in _held(home)] == ["2 workers died while deciding it"]
    assert json.loads(home.cli("status", "--json").stdout)["held"] == 1
    assert home.cli("audit", "show", str(told["exchange"]), "--body").stdout.encode() == killer
    assert survivor.stop() == 0


def test_a_killer_again_kills_one_worker_at_most_and_is_answered_from_the_record(
    home: House, deadly: dict[str, str]
) -> None:
    """The same bytes a second time: the stored receipt again. Two workers of one daemon restart by themselves."""
    killer = home.declaration("KILLER-2")
    daemon = home.daemon("--workers", "2", ready=False, environment=deadly)
    home.send([killer])
    daemon.wait_for("held")
    first = home.collect(receipts(INTEGRATOR), 1)
    died = sum(event["event"] == "process died, starting another" for event in daemon.log())
    assert died == DEATHS
    home.send([killer])
    daemon.wait_for("repeated")
    again = home.collect(receipts(INTEGRATOR), 1)
    assert {r.body for r in again} == {r.body for r in first}
    assert sum(event["event"] == "process died, starting another" for event in daemon.log()) == died + 1
    home.send([home.declaration("GOOD-AFTER")])
    assert len(home.collect(inbox(CUSTOMS), 1)) == 1
    assert daemon.stop() == 0


def test_a_held_message_is_released_by_todays_rules(home: House, deadly: dict[str, str]) -> None:
    """Refused as long as it kills; previewed; then decided, delivered, receipted, and written down with its reason."""
    killer = home.declaration("KILLER-3")
    home.send([killer])
    for _ in range(DEATHS):
        assert home.daemon(ready=False, environment=deadly).process.wait(SECONDS) == -signal.SIGSEGV
    home.daemon(environment=deadly).wait_for("held")
    (held,) = _held(home)
    release = ("held", "release", held["exchange"], "--reason", "mended")

    still = home.cli(*release, "--yes", environment=deadly)
    assert (still.returncode, still.stderr.strip()) == (1, "it still cannot be decided: nothing was done")
    preview = home.cli(*release)
    assert preview.returncode == 0, preview.stderr
    assert "--yes does it" in preview.stderr
    assert CUSTOMS in preview.stdout
    assert home.inbox(CUSTOMS) == []
    assert len(_held(home)) == 1

    done = home.cli(*release, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["released"], told["outcome"], told["to"]) == (True, "accepted", [CUSTOMS, INTEGRATOR])
    assert [copy.body for copy in home.inbox(CUSTOMS)] == [killer]
    answers = home.receipts()
    assert [receipt_code(r.body) for r in answers] == ["4301", "0000"]
    assert len({r.message_id for r in answers}) == 2
    assert _held(home) == []
    shown = home.cli("audit", "show", held["exchange"]).stdout
    assert "released" in shown
    assert "mended" in shown
    assert home.cli(*release, "--yes").returncode == 2  # nothing is held under this id any more
    assert home.inbox(CUSTOMS) == []


def test_a_crash_loop_holds_no_innocent_message(home: House) -> None:
    """Workers killed over and over at moments that are nobody's fault: every message is accepted in the end."""
    bodies = {f"LOOP-{n:03d}": home.declaration(f"LOOP-{n:03d}") for n in range(120)}
    home.send(list(bodies.values()))
    for death in range(4):
        doomed = home.daemon(
            ready=False, environment={"SWX_BATCH": "20", "SWX_CRASH_AT": ("decided", "recorded")[death % 2]}
        )
        assert doomed.process.wait(SECONDS) == -signal.SIGKILL
    home.daemon(environment={"SWX_BATCH": "20"})
    answers = home.collect(receipts(INTEGRATOR), len(bodies))
    assert {receipt_code(r.body) for r in answers} == {"0000"}
    assert {copy.body for copy in home.collect(inbox(CUSTOMS), len(bodies))} == set(bodies.values())
    until(lambda: json.loads(home.cli("status", "--json").stdout)["unsettled"] == 0, "all to be settled")
    assert _held(home) == []
