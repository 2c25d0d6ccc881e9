"""Backup, restore and drill with real processes: beside the traffic, through crashes, from damage, after a disaster."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swexchange.broker.topology import inbox, receipts
from swexchange.cli import exits
from tests import postgres
from tests.process.house import CUSTOMS, INTEGRATOR, SECONDS, House, house, until

ORIGIN = "sw.example/audit"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with 6 sealed exchanges and a backup of it, then 3 more that customs has yet to take. No daemon runs."""
    made = house(Path(tmp_path_factory.mktemp("kept")))
    _work(made)
    yield made
    made.close()


def _work(made: House) -> None:
    assert made.cli("keys", "new", "audit").returncode == 0
    daemon = made.daemon(environment=sealing(made))
    exchange(made, 0, 6)
    until(lambda: log_size(made) == 7, "the rules and 6 exchanges", daemon.log_file)
    said(made, "backup", str(made.folder / "backup"))
    made.inbox(CUSTOMS)
    exchange(made, 6, 9)
    until(lambda: log_size(made) == 10, "3 more", daemon.log_file)
    assert daemon.stop() == 0


@pytest.fixture
def elsewhere(kept: House, tmp_path: Path) -> House:
    """Another machine at the same broker, with the same keys: empty but for these."""
    shutil.copytree(kept.folder / "keys", tmp_path / "keys")
    return House(tmp_path, kept.url, f"sqlite:///{tmp_path}/exchange.db")


def sealing(home: House) -> dict[str, str]:
    return {
        "SWX_AUDIT_KEY": "audit",
        "SWX_AUDIT_ORIGIN": ORIGIN,
        "SWX_AUDIT_HEAD": str(home.folder / "audit.head"),
        "SWX_SEAL_SECONDS": "0.2",
        "SWX_SCHEMAS": str(home.folder / "schemas"),
        "SWX_FILTERS": str(home.folder / "filters.yaml"),
    }


def exchange(home: House, first: int, end: int) -> None:
    """Messages, and their receipts."""
    home.send([home.declaration(f"NHW-{i:04d}") for i in range(first, end)])
    home.collect(receipts(INTEGRATOR), end - first)


def log_size(home: House) -> int:
    found = home.cli("audit", "checkpoint", environment=sealing(home))
    return int(found.stdout.split("\n")[1]) if found.returncode == 0 else 0


def said(home: House, *arguments: str, code: int = 0, environment: dict[str, str] | None = None) -> str:
    """What a command prints, having ended with this code and without a traceback."""
    done = home.cli(*arguments, environment={**sealing(home), **(environment or {})})
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def told(home: House, *arguments: str, code: int = 0, environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = home.cli(*arguments, "--json", environment={**sealing(home), **(environment or {})})
    assert done.returncode == code, done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ids(home: House) -> set[str]:
    """Of all exchanges."""
    return {row["exchange"] for row in json.loads(said(home, "audit", "search", "--json"))}


# -- the ways of a backup


def test_a_backup_restores_elsewhere(kept: House, elsewhere: House) -> None:
    """Database, rules, schemas and the remembered checkpoint are in their places; the daemon goes on from there."""
    found = told(elsewhere, "restore", str(kept.folder / "backup"))
    assert (found["exchanges"], found["log_entries"], found["problems"]) == (6, 7, [])
    assert found["log_entries_lost"] is None, "nothing here remembers how far the log went"
    assert elsewhere.routes.read_bytes() == kept.routes.read_bytes()
    assert elsewhere.routes.stat().st_mode & 0o777 == 0o644
    assert (elsewhere.folder / "audit.head").read_text().split("\n")[1] == "7"
    assert "0 failed" in said(elsewhere, "routes", "test")
    daemon = elsewhere.daemon(environment=sealing(elsewhere))
    exchange(elsewhere, 100, 101)
    until(lambda: log_size(elsewhere) == 8, "the next entry", daemon.log_file)
    assert daemon.stop() == 0
    assert "all well" in said(elsewhere, "audit", "verify")


def test_from_sqlite_to_postgresql_and_back(kept: House, elsewhere: House) -> None:
    """A restore is the way to the other database; killed before it is whole it leaves nothing there."""
    backup, again = str(kept.folder / "backup"), str(elsewhere.folder / "again")
    url = {"SWX_DATABASE_URL": postgres.shared().create("test_elsewhere")}
    killed = elsewhere.cli("restore", backup, environment={**sealing(elsewhere), **url, "SWX_CRASH_AT": "restored"})
    assert killed.returncode == -signal.SIGKILL
    found = told(elsewhere, "restore", backup, environment=url)
    assert (found["exchanges"], found["log_entries"], found["problems"]) == (6, 7, [])
    assert "all well" in said(elsewhere, "db", "check", environment=url)
    assert "is not empty" in said(elsewhere, "restore", backup, code=2, environment=url)
    assert told(elsewhere, "backup", again, "--fast", environment=url)["rows"]["exchange"] == 6
    back = told(elsewhere, "restore", again)
    assert (back["exchanges"], back["log_entries"], back["problems"]) == (6, 7, [])
    postgres.shared().drop("test_elsewhere")


def test_a_killed_restore_leaves_the_place_empty(kept: House, elsewhere: House) -> None:
    """What it left is no obstacle to the next one; without the log's key the one in the backup serves."""
    shutil.rmtree(elsewhere.folder / "keys")
    killed = elsewhere.cli(
        "restore", str(kept.folder / "backup"), environment={**sealing(elsewhere), "SWX_CRASH_AT": "restored"}
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (elsewhere.folder / "exchange.db").exists()
    shown = said(elsewhere, "restore", str(kept.folder / "backup"))
    assert "all well: 7 entries" in shown
    assert "UNKNOWN" in shown
    assert [path.name for path in elsewhere.folder.glob("exchange.db*")] == ["exchange.db"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_backup_that_is_stopped_leaves_nothing(kept: House, elsewhere: House, number: signal.Signals) -> None:
    """By systemd, by an operator: no folder that somebody has to remove before the next one, and a code of its own."""
    os.mkfifo(elsewhere.routes)  # nobody writes: it waits for its rules when all rows are there
    backup = elsewhere.folder / "backup"
    environment = {**kept.environment, **sealing(kept), "SWX_ROUTES": str(elsewhere.routes)}
    command = [sys.executable, "-m", "swexchange", "backup", str(backup)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    database = elsewhere.folder / "backup.partial" / "database.db"
    until(lambda: database.exists() and database.stat().st_size > 0, "rows")
    process.send_signal(number)
    process.send_signal(signal.SIGINT)  # an impatient operator, or a shell that tells the whole group
    assert process.communicate(timeout=SECONDS)[1] == b"stopped\n"
    assert process.returncode == exits.STOPPED
    assert not list(elsewhere.folder.glob("backup*"))


def test_the_disaster(kept: House, elsewhere: House) -> None:
    """The database is gone, the memory of the log is not: what is lost is told, refused at start, and sent again."""
    shutil.copy(kept.folder / "audit.head", elsewhere.folder / "audit.head")
    found = told(elsewhere, "restore", str(kept.folder / "backup"))
    assert (found["log_entries"], found["log_entries_lost"], found["problems"]) == (7, 3, [])
    assert (elsewhere.folder / "audit.head").read_text().split("\n")[1] == "10", "it stays as it was"
    refused = elsewhere.daemon(ready=False, environment=sealing(elsewhere))
    assert refused.process.wait(SECONDS) == 2

    before = {copy.body: copy.message_id for copy in elsewhere.inbox(CUSTOMS)}
    (elsewhere.folder / "audit.head").rename(elsewhere.folder / "audit.head.old")
    anew = {**sealing(elsewhere), "SWX_AUDIT_ORIGIN": f"{ORIGIN}-2"}
    daemon = elsewhere.daemon(environment=anew)
    elsewhere.send(list(before))
    again = elsewhere.collect(inbox(CUSTOMS), 3)
    assert daemon.stop() == 0
    assert {copy.body: copy.message_id for copy in again} == before


def test_a_drill_says_how_long_and_what_would_be_lost(kept: House, tmp_path: Path) -> None:
    """Verified, timed, compared with the live database; nothing is left behind and nothing touched."""
    before = said(kept, "audit", "checkpoint")
    temporary = {"TMPDIR": str(tmp_path)}
    found = told(kept, "drill", str(kept.folder / "backup"), environment=temporary)
    assert (found["exchanges"], found["log_entries"], found["not_sealed"], found["problems"]) == (6, 7, 0, [])
    assert found["seconds"].keys() == {"check files", "restore", "verify", "all"}
    assert (found["lost"]["exchanges"], found["lost"]["receipts"], found["lost"]["senders"]) == (3, 3, {INTEGRATOR: 3})
    assert set(found["lost"]["first"]) < ids(kept)
    assert 0 <= found["age_seconds"] < 600
    assert list(tmp_path.iterdir()) == []
    assert said(kept, "audit", "checkpoint") == before


def test_a_drill_into_postgresql_without_a_live_database(kept: House, tmp_path: Path) -> None:
    """The other database is empty again; what cannot be compared is verified all the same."""
    url = postgres.shared().create("test_drill")
    away = {"SWX_DATABASE_URL": f"sqlite:///{tmp_path}/none.db"}
    found = told(kept, "drill", str(kept.folder / "backup"), "--into", url, code=3, environment=away)
    assert (found["lost"], found["problems"]) == (None, [])
    assert "none.db" in found["not_compared"]
    said(kept, "db", "upgrade", environment=away)
    (problem,) = told(kept, "drill", str(kept.folder / "backup"), code=1, environment=away)["problems"]
    assert problem["what"].startswith("6 exchanges and events"), "this is no later state of what was backed up"
    shown = said(kept, "drill", str(kept.folder / "backup"), "--into", url)
    assert f"3 of {INTEGRATOR}" in shown
    postgres.shared().drop("test_drill")


# -- making one


@pytest.mark.parametrize("point", ["backup-rows", "backup-written"])
def test_a_killed_backup_has_no_name(kept: House, tmp_path: Path, point: str) -> None:
    """It lies there as what it is; the next one says so, and works under another name or once it is removed."""
    folder = tmp_path / "new"
    killed = kept.cli("backup", str(folder), environment={**sealing(kept), "SWX_CRASH_AT": point})
    assert killed.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert "new.partial: this folder exists already" in said(kept, "backup", str(folder), code=2)


def test_a_backup_beside_a_daemon_is_a_moment(home: House) -> None:
    """While messages are decided: it verifies, and its drill misses only what came later."""
    home.cli("keys", "new", "audit")
    daemon = home.daemon(environment=sealing(home))
    home.send([home.declaration(f"NHW-{i:04d}") for i in range(300)])
    daemon.wait_for("accepted")
    taken = told(home, "backup", str(home.folder / "backup"))
    home.collect(receipts(INTEGRATOR), 300)
    found = told(home, "drill", str(home.folder / "backup"))
    assert daemon.stop() == 0
    assert found["problems"] == []
    assert found["exchanges"] == taken["rows"]["exchange"]
    assert found["exchanges"] + found["lost"]["exchanges"] == 300


def test_an_existing_folder_is_left_alone(kept: House) -> None:
    said(kept, "backup", str(kept.folder / "keys"), code=2)
    assert "exists already" in said(kept, "backup", str(kept.folder / "backup"), code=2)


def test_a_full_disk_leaves_nothing(kept: House, tmp_path: Path) -> None:
    """No file may grow over 100 KB: the database does not fit."""
    done = subprocess.run(
        ["prlimit", "--fsize=100000", sys.executable, "-m", "swexchange", "backup", str(tmp_path / "new")],
        env={**kept.environment, **sealing(kept)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (2, 3), done
    assert "database.db" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_private_keys_are_in_it_only_when_asked_for(kept: House, elsewhere: House, tmp_path: Path) -> None:
    """And then for their owner alone, there and where they are restored."""
    folder = tmp_path / "with-keys"
    assert not list((kept.folder / "backup").rglob("*.key"))
    assert "not in it" in said(kept, "backup", str(tmp_path / "without"))
    assert "keep it as you keep the keys" in said(kept, "backup", str(folder), "--with-private-keys")
    shutil.rmtree(elsewhere.folder / "keys")
    said(elsewhere, "restore", str(folder))
    for path in (kept.folder / "keys").glob("*.key"):
        for copied in (folder / "keys" / path.name, elsewhere.folder / "keys" / path.name):
            assert copied.read_bytes() == path.read_bytes()
            assert copied.stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*") if path.is_file())


# -- what is wrong with one


def test_damage_is_found_before_anything_is_done(kept: House, elsewhere: House) -> None:
    """The file is named; the place stays empty; a drill calls it a problem of the backup."""
    folder = elsewhere.folder / "damaged"
    shutil.copytree(kept.folder / "backup", folder)
    with (folder / "database.db").open("r+b") as file:
        file.seek(-100, 2)
        file.write(b"!")
    assert "database.db: the file is damaged" in said(elsewhere, "restore", str(folder), code=2)
    assert not elsewhere.routes.exists()
    assert not (elsewhere.folder / "exchange.db").exists()
    assert "database.db: the file is damaged" in said(kept, "drill", str(folder), code=1)


def test_only_an_empty_place_is_restored_into(kept: House, elsewhere: House) -> None:
    """A database that is there, a file that differs: named, and nothing is done. --database-only leaves files alone."""
    assert "is there already" in said(kept, "restore", str(kept.folder / "backup"), code=2)
    elsewhere.routes.write_text("mine")
    assert "routes.yaml: it is not the" in said(elsewhere, "restore", str(kept.folder / "backup"), code=2)
    assert not (elsewhere.folder / "exchange.db").exists()
    assert told(elsewhere, "restore", str(kept.folder / "backup"), "--database-only")["files"] == []
    assert elsewhere.routes.read_text() == "mine"


def test_a_rewritten_backup_is_no_backup(kept: House, elsewhere: House) -> None:
    """Its list of contents was made to fit, the log's key was not to be had: the row is named."""
    folder = elsewhere.folder / "backup"
    shutil.copytree(kept.folder / "backup", folder)
    with closing(sqlite3.connect(folder / "database.db")) as link:
        link.execute("UPDATE exchange SET sender = 'nobody' WHERE seq = (SELECT min(seq) FROM exchange)")
        link.commit()
    rules = folder / "routes.yaml"
    rules.write_text(rules.read_text().replace(CUSTOMS, "DXPEDCDEC9999999", 1))
    _list_anew(folder, "database.db", "routes.yaml")
    row, *others = told(kept, "drill", str(folder), code=1)["problems"]
    assert "was changed after it became leaf" in row["what"]
    assert {problem["place"] for problem in others} == {"rules"}, "a daemon would not take them"
    assert told(elsewhere, "restore", str(folder), code=1)["problems"] == [row]


def _list_anew(folder: Path, *names: str) -> None:
    listed = json.loads((folder / "manifest.json").read_text())
    for name in names:
        content = (folder / name).read_bytes()
        listed["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(listed))
