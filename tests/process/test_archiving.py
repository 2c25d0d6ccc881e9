"""Archives with real processes: killed between any two steps, the next run goes on, and a stranger can check it all."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swexchange.broker.topology import receipts
from tests.process.house import INTEGRATOR, ROOT, House, until
from tests.process.test_sealing import ORIGIN, size, work

MESSAGES = 5


@pytest.fixture
def sealed(home: House) -> dict[str, str]:
    """The environment of a house whose log holds its rules and some messages; its daemon has ended."""
    assert home.cli("keys", "new", "audit").returncode == 0
    environment = {
        "SWX_AUDIT_KEY": "audit",
        "SWX_AUDIT_ORIGIN": ORIGIN,
        "SWX_AUDIT_HEAD": str(home.folder / "audit.head"),
        "SWX_SEAL_SECONDS": "0.2",
        "SWX_ARCHIVE": str(home.folder / "archive"),
    }
    daemon = work(home, environment, 0, MESSAGES)
    until(lambda: size(home, environment) == MESSAGES + 1, "everything to be sealed", daemon.log_file)
    assert daemon.stop() == 0
    return environment


def proved(home: House, sealed: dict[str, str], path: Path | str) -> str:
    """What bin/verify-evidence proves."""
    key = home.cli("audit", "key", environment=sealed).stdout.strip()
    command = [sys.executable, "-I", str(ROOT / "bin" / "verify-evidence"), "--log", key, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def checked(home: House, sealed: dict[str, str]) -> str:
    """What it proves of the archive files."""
    return proved(home, sealed, sealed["SWX_ARCHIVE"])


def listed(home: House, sealed: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(home.cli("archive", "list", "--json", environment=sealed).stdout)
    return found


def test_an_archive_is_proved_to_a_third_party(home: House, sealed: dict[str, str]) -> None:
    assert home.cli("archive", "list", environment=sealed).returncode == 1
    done = home.cli("archive", "write", environment=sealed)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"in none yet: {MESSAGES + 1} entries" in done.stderr
    done = home.cli("archive", "write", "--all", environment=sealed)
    assert done.stdout.split() == [f"{sealed['SWX_ARCHIVE']}/{name['name']}" for name in listed(home, sealed)]
    said = checked(home, sealed)
    assert f"{MESSAGES} exchange/v1, {MESSAGES} messages, {MESSAGES} receipts, 1 rules/v1" in said
    assert home.cli("archive", "verify", environment=sealed).stdout.startswith("all well: ")
    path = home.folder / "archive" / listed(home, sealed)[0]["name"]
    stranger = path.with_name("copy-of-it.zip")
    stranger.write_bytes(path.read_bytes())
    found = home.cli("archive", "verify", environment=sealed)
    assert (found.returncode, "copy-of-it.zip" in found.stdout, path.name in found.stdout) == (1, True, False)
    stranger.unlink()
    path.write_bytes(path.read_bytes()[:-100])
    found = home.cli("archive", "verify", environment=sealed)
    assert (found.returncode, path.name in found.stdout) == (1, True)
    path.unlink()
    assert home.cli("archive", "verify", environment=sealed).returncode == 1
    assert listed(home, sealed)[0]["there"] == "no"


@pytest.mark.parametrize("point", ["archive-written", "archive-named", "archive-noted"])
def test_killed_while_archiving_the_next_goes_on(home: House, sealed: dict[str, str], point: str) -> None:
    """Each leaf lies in one file, whichever step was the last."""
    arguments = ("archive", "write", "--all", "--entries", "1")
    died = home.cli(*arguments, environment=sealed | {"SWX_CRASH_AT": point})
    assert died.returncode == -signal.SIGKILL
    done = home.cli(*arguments, environment=sealed)
    assert done.returncode == 0, done.stderr
    assert f"leaves 0 to {MESSAGES} without a gap" in checked(home, sealed)
    assert sum(one["leaves"] for one in listed(home, sealed)) == MESSAGES + 1


def test_an_exchange_is_found_and_proved_from_archives_alone(home: House, sealed: dict[str, str]) -> None:
    assert home.cli("archive", "write", "--all", "--entries", "2", environment=sealed).returncode == 0
    found = json.loads(home.cli("archive", "search", "--sender", INTEGRATOR, "--json", environment=sealed).stdout)
    recorded = json.loads(home.cli("audit", "search", "--json", environment=sealed).stdout)
    assert [one["exchange"] for one in found] == [one["exchange"] for one in recorded]
    number = found[-1]["exchange"]
    for part in ("--body", "--receipt"):
        old, archived = (home.cli(noun, "show", number, part, environment=sealed) for noun in ("audit", "archive"))
        assert (archived.returncode, archived.stdout) == (0, old.stdout)
    assert number in home.cli("archive", "show", number, environment=sealed).stdout
    bundle = home.folder / "evidence.zip"
    done = home.cli("archive", "prove", number, "-o", str(bundle), environment=sealed)
    assert done.returncode == 0, done.stderr
    said = proved(home, sealed, bundle)
    assert "keys: as the log recorded them" in said
    assert f"signed by {INTEGRATOR}" in said
    assert home.cli("archive", "show", "0" * 32, environment=sealed).returncode == 1
    assert home.cli("archive", "search", "--message-id", "NOBODY", environment=sealed).returncode == 1


def test_how_far_archives_and_backups_are_is_told(home: House, sealed: dict[str, str]) -> None:
    """By status and by doctor: before there is any, with one, and when it is gone."""
    backups = home.folder / "backups"
    sealed = sealed | {"SWX_BACKUPS": str(backups)}

    def said(*arguments: str) -> str:
        return home.cli(*arguments, environment=sealed).stdout

    assert "no file yet" in said("status")
    assert f"there is none in {backups}" in said("doctor")
    assert home.cli("archive", "write", "--all", environment=sealed).returncode == 0
    assert home.cli("backup", str(backups / "one"), environment=sealed).returncode == 0
    told = json.loads(said("status", "--json"))["log"]
    (file,) = listed(home, sealed)
    assert (told["sealed"], told["archived"], told["archive"]) == (MESSAGES + 1, MESSAGES + 1, file["name"])
    assert f"{file['name']}, made " in said("status")
    found = said("doctor")
    assert f"{MESSAGES + 1} of {MESSAGES + 1} entries in 1 files" in found
    assert f"the newest in {backups} is of " in found
    (home.folder / "archive" / file["name"]).unlink()
    assert "1 of 1 archive files are not in SWX_ARCHIVE" in said("doctor")


@pytest.fixture
def aged(home: House) -> dict[str, str]:
    """A house whose messages came 500 days ago, and lie in archive files; they are kept for 400."""
    assert home.cli("keys", "new", "audit").returncode == 0
    environment = {
        "SWX_AUDIT_KEY": "audit",
        "SWX_AUDIT_ORIGIN": ORIGIN,
        "SWX_AUDIT_HEAD": str(home.folder / "audit.head"),
        "SWX_ARCHIVE": str(home.folder / "archive"),
    }
    assert work(home, {}, 0, MESSAGES).stop() == 0
    with closing(sqlite3.connect(home.folder / "exchange.db")) as link:
        link.execute("UPDATE exchange SET received_at = received_at - 500 * 86400000000")
        link.execute("UPDATE rules SET at = at - 500 * 86400000000")
        link.commit()
    for command in (("audit", "seal"), ("archive", "write", "--all")):
        done = home.cli(*command, environment=environment)
        assert done.returncode == 0, done.stderr
    assert home.cli("archive", "prune", environment=environment).returncode == 2  # nothing says how long to keep
    home.routes.write_text(home.routes.read_text("utf-8") + "\nretention: {body: 400 days}\n", "utf-8")
    return environment


def with_bytes(home: House) -> int:
    with closing(sqlite3.connect(home.folder / "exchange.db")) as link:
        found: int = link.execute("SELECT count(*) FROM exchange WHERE length(body) > 0").fetchone()[0]
        return found


@pytest.mark.parametrize("point", ["prune-proved", "prune-noted", "pruned"])
def test_killed_while_pruning_the_next_goes_on(home: House, aged: dict[str, str], point: str) -> None:
    """And whatever was pruned stays known: a repeat gets its receipt, the log fits together."""
    asked = home.cli("archive", "prune", "--json", environment=aged)
    assert (json.loads(asked.stdout)["messages"], with_bytes(home)) == (MESSAGES, MESSAGES)
    died = home.cli("archive", "prune", "--yes", environment=aged | {"SWX_CRASH_AT": point})
    assert died.returncode == -signal.SIGKILL
    done = home.cli("archive", "prune", "--yes", environment=aged)
    assert done.returncode == 0, done.stderr
    assert with_bytes(home) == 0

    told = json.loads(home.cli("audit", "verify", "--json", environment=aged).stdout)
    assert (told["problems"], told["bodies_archived"]) == ([], MESSAGES)
    number = json.loads(home.cli("audit", "search", "--json").stdout)[0]["exchange"]
    shown = home.cli("audit", "show", number, "--body")
    assert (shown.returncode, shown.stdout, "its bytes lie in the archive 0000" in shown.stderr) == (1, "", True)
    planned = home.cli("replay", "plan", "--json")
    assert "left out: 5 exchanges; their bytes were pruned" in planned.stderr
    bundle = home.folder / "evidence.zip"
    made = home.cli("audit", "prove", number, "-o", str(bundle), environment=aged)
    assert (made.returncode, "`swexchange archive prove" in made.stderr) == (0, True)

    daemon = work(home, {}, 0, MESSAGES)  # the same messages again: the stored receipts, and nothing else
    assert daemon.stop() == 0
    assert len(json.loads(home.cli("audit", "search", "--json").stdout)) == MESSAGES


def test_what_is_under_a_hold_is_not_pruned(home: House, aged: dict[str, str]) -> None:
    placed = home.cli("hold", "add", "--sender", INTEGRATOR, "--reason", "case 117")
    assert (placed.returncode, placed.stdout.strip()) == (0, "1")
    assert f"under it now: {MESSAGES} exchanges" in placed.stderr
    assert "case 117" in home.cli("hold", "list").stdout
    told = json.loads(home.cli("archive", "prune", "--yes", "--json", environment=aged).stdout)
    assert (told["held"], told["pruned"], with_bytes(home)) == (MESSAGES, 0, MESSAGES)
    assert home.cli("hold", "lift", "1", "--reason", "closed").returncode == 0
    assert home.cli("hold", "lift", "1", "--reason", "closed").returncode == 2
    assert home.cli("hold", "list").returncode == 1
    told = json.loads(home.cli("archive", "prune", "--yes", "--json", environment=aged).stdout)
    assert (told["held"], told["pruned"], with_bytes(home)) == (0, MESSAGES, 0)


def test_whole_exchanges_are_pruned_later_and_their_messages_never_take_effect_again(
    home: House, aged: dict[str, str]
) -> None:
    home.edit("{body: 400 days}", "{body: 400 days, metadata: 450 days}")
    number = json.loads(home.cli("audit", "search", "--json").stdout)[0]["exchange"]
    told = json.loads(home.cli("archive", "prune", "--yes", "--json", environment=aged).stdout)
    assert (told["pruned"], told["rows_pruned"]) == (MESSAGES, MESSAGES)
    shown = home.cli("audit", "show", number)
    assert (shown.returncode, "older ones may lie in archives" in shown.stderr) == (1, True)
    checked_again = json.loads(home.cli("audit", "verify", "--json", environment=aged).stdout)
    assert (checked_again["problems"], checked_again["rows_archived"]) == ([], MESSAGES)
    folder = home.folder / "log"
    assert home.cli("audit", "export", str(folder), environment=aged).returncode == 0
    assert f"log: {MESSAGES + 1} entries" in proved(home, aged, folder)

    home.send([home.declaration(f"NHW-{i:04d}") for i in range(MESSAGES)])  # the same bytes: nobody gets anything
    home.send([home.declaration("NHW-0099")])
    daemon = home.daemon()
    home.collect(receipts(INTEGRATOR), 1)
    assert daemon.stop() == 0
    (found,) = json.loads(home.cli("audit", "search", "--json").stdout)
    assert found["outcome"] == "accepted"

    assert home.cli("archive", "verify", environment=aged).stdout.startswith("all well: ")
    with closing(sqlite3.connect(home.folder / "exchange.db")) as link:  # what somebody with the database's rights does
        link.execute("DELETE FROM taken WHERE exchange_id = ?", (number,))
        link.commit()
    asked = home.cli("archive", "verify", environment=aged)
    assert (asked.returncode, f"exchange {number} took" in asked.stdout) == (1, True), asked.stdout


def test_archive_files_are_removed_last_and_everybody_is_told(home: House, aged: dict[str, str]) -> None:
    """Killed between record and removal, too: the next run deletes the file, and the record is there once."""
    home.edit("{body: 400 days}", "{body: 400 days, metadata: 450 days, evidence: 460 days}")
    (only,) = listed(home, aged)
    asked = json.loads(home.cli("archive", "prune", "--json", environment=aged).stdout)
    assert (asked["messages"], asked["exchanges"], asked["files"]) == (MESSAGES, MESSAGES, [])
    assert home.cli("archive", "log", environment=aged).returncode == 1
    died = home.cli("archive", "prune", "--yes", environment=aged | {"SWX_CRASH_AT": "removal-noted"})
    assert died.returncode == -signal.SIGKILL
    assert listed(home, aged)[0]["there"] == "yes"
    done = home.cli("archive", "prune", "--yes", environment=aged)
    assert done.returncode == 0, done.stderr
    assert (listed(home, aged)[0]["there"], "evidence 460 days" in listed(home, aged)[0]["removed"]) == ("no", True)
    kept = json.loads(home.cli("archive", "log", "--json", environment=aged).stdout)
    told = [(one["event"], one["retention"], one["count"]) for one in kept]
    assert told == [
        ("pruning", "body 400 days", MESSAGES),
        ("pruned", "body 400 days", MESSAGES),
        ("pruning", "metadata 450 days", MESSAGES),
        ("pruned", "metadata 450 days", MESSAGES),
        ("removed", "evidence 460 days", only["leaves"]),
    ]
    assert all("@" in one["by"] and one["file"] == only["name"] for one in kept)
    said = home.cli("archive", "log", environment=aged).stdout
    assert (only["name"] in said, "evidence 460 days" in said) == (True, True)

    for command in (("audit", "seal"), ("archive", "write", "--all")):
        assert home.cli(*command, environment=aged).returncode == 0
    last = only["leaves"] - 1
    gone = f"archive files of leaves 0 to {last} were removed by retention"
    for command in (("archive", "verify"), ("audit", "verify")):
        checked_again = home.cli(*command, environment=aged)
        assert (checked_again.returncode, gone in checked_again.stdout) == (0, True), checked_again.stdout
    assert f"removed: leaves 0 to {last} are in no archive here: retention (evidence" in checked(home, aged)
    judged = home.cli("doctor", environment=aged).stdout
    assert ("entries in 1 files" in judged, "are not in SWX_ARCHIVE" in judged) == (True, False), judged
    folder = home.folder / "log"
    assert home.cli("audit", "export", str(folder), environment=aged).returncode == 0
    with closing(sqlite3.connect(home.folder / "exchange.db")) as link:
        link.execute("UPDATE archive SET digest = x'00'")
        link.commit()
    lost = home.cli("archive", "verify", environment=aged)
    assert (lost.returncode, "the database knows no such file, or another" in lost.stdout) == (1, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{metadata: 400 days}", "retention.metadata is younger than retention.body"),
        ("{body: 1 days, evidence: 400 days}", "retention.evidence is not older than retention.metadata"),
        ("{body: 1 days, metadata: 400 days, evidence: 400 days}", "retention.evidence is not older"),
        ("{body: 1 days, metadata: 2 days, evidence: 1 year}", "The age at which archive files may be removed"),
    ],
)
def test_a_retention_that_cannot_be_is_refused(home: House, given: str, said: str) -> None:
    """By whoever checks the file, not only when somebody prunes."""
    home.routes.write_text(home.routes.read_text("utf-8") + f"\nretention: {given}\n", "utf-8")
    for command in (("routes", "check"), ("archive", "prune")):
        done = home.cli(*command)
        assert done.returncode != 0
        assert said in done.stdout + done.stderr
