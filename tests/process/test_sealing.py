"""The Merkle log with real processes: sealed beside the traffic, through crashes, refused after a rollback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from typing import Any

import pytest

from swexchange.broker.topology import INTAKE, receipts
from tests.bench import processes
from tests.process.house import INTEGRATOR, ROOT, SECONDS, Daemon, House, until

ORIGIN = "sw.example/audit"


@pytest.fixture
def sealed(home: House) -> dict[str, str]:
    """The environment of a house whose audit log has a key."""
    assert home.cli("keys", "new", "audit").returncode == 0
    return {
        "SWX_AUDIT_KEY": "audit",
        "SWX_AUDIT_ORIGIN": ORIGIN,
        "SWX_AUDIT_HEAD": str(home.folder / "audit.head"),
        "SWX_SEAL_SECONDS": "0.2",
    }


def work(home: House, sealed: dict[str, str], first: int, count: int) -> Daemon:
    """A daemon that has answered so many messages; still running."""
    home.send([home.declaration(f"NHW-{i:04d}") for i in range(first, first + count)])
    daemon = home.daemon(environment=sealed)
    home.collect(receipts(INTEGRATOR), count)
    return daemon


def size(home: House, sealed: dict[str, str]) -> int:
    found = home.cli("audit", "checkpoint", environment=sealed)
    return int(found.stdout.split("\n")[1]) if found.returncode == 0 else 0


def verified(home: House, sealed: dict[str, str]) -> dict[str, Any]:
    done = home.cli("audit", "verify", "--json", environment=sealed)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_daemon_seals_beside_its_work(home: House, sealed: dict[str, str]) -> None:
    """What was answered is soon in the log; a second worker does not disturb; everything fits together."""
    daemon = work(home, sealed, 0, 5)
    home.daemon("--number", "1", environment=sealed)
    (sealer,) = sealers(daemon)
    own, its = (os.getpriority(os.PRIO_PROCESS, process) for process in (daemon.process.pid, sealer))
    assert its == min(own + 10, 19), "it gives way to messages"
    until(lambda: size(home, sealed) == 6, "the log to have its rules and 5 exchanges", daemon.log_file)
    assert daemon.stop() == 0
    told = verified(home, sealed)
    assert (told["entries"], told["problems"]) == (6, [])
    assert (home.folder / "audit.head").read_text() == home.cli("audit", "checkpoint", environment=sealed).stdout
    assert home.cli("audit", "key", environment=sealed).stdout.startswith(f"{ORIGIN}+")


def sealers(daemon: Daemon) -> list[int]:
    """The processes of a daemon that seal."""
    return [child for child in processes.children(daemon.process.pid) if "--sealer" in processes.command(child)]


def test_a_sealer_that_is_killed_is_replaced_and_the_log_goes_on(home: House, sealed: dict[str, str]) -> None:
    """Nobody else ends for it; a SIGHUP is nothing to it; with its supervisor it ends."""
    daemon = work(home, sealed, 0, 2)
    until(lambda: size(home, sealed) == 3, "the rules and 2 exchanges", daemon.log_file)
    (killed,) = sealers(daemon)
    os.kill(killed, signal.SIGKILL)
    home.send([home.declaration("NHW-0002")])
    home.collect(receipts(INTEGRATOR), 1)
    until(lambda: size(home, sealed) == 4, "what came while nobody sealed", daemon.log_file)
    assert [event["role"] for event in daemon.log() if event["event"] == "process died, starting another"] == ["sealer"]
    (sealer,) = sealers(daemon)
    os.kill(sealer, signal.SIGHUP)
    home.send([home.declaration("NHW-0003")])
    until(lambda: size(home, sealed) == 5, "the same process to seal on", daemon.log_file)
    assert sealers(daemon) == [sealer]
    daemon.kill()
    until(lambda: not processes.command(sealer), "the sealer to end with its supervisor", daemon.log_file)
    assert verified(home, sealed)["problems"] == []


def test_a_sealer_that_dies_after_every_step_seals_all_the_same(home: House, sealed: dict[str, str]) -> None:
    """Stored and not remembered: the next one finds its place in the database."""
    daemon = work(home, sealed | {"SWX_CRASH_AT": "sealed"}, 0, 3)
    until(lambda: size(home, sealed) == 4, "the rules and 3 exchanges", daemon.log_file)
    home.send([home.declaration("NHW-0003")])
    until(lambda: size(home, sealed) == 5, "one more", daemon.log_file)
    daemon.stop()
    assert verified(home, sealed)["problems"] == []


@pytest.mark.parametrize("point", ["signed", "sealed"])
def test_killed_while_sealing_the_next_goes_on(home: House, sealed: dict[str, str], point: str) -> None:
    """Never two roots for one size: what was signed and not stored is made anew, and is the same."""
    assert work(home, sealed | {"SWX_AUDIT_KEY": ""}, 0, 5).stop() == 0
    assert home.cli("audit", "seal", environment=sealed | {"SWX_CRASH_AT": point}).returncode == -signal.SIGKILL
    done = home.cli("audit", "seal", environment=sealed)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "6 entries sealed, the log has 6\n" if point == "signed" else "0 entries sealed, the log has 6\n"
    )
    assert verified(home, sealed)["checkpoints"] == 1


def test_a_restored_older_database_is_refused_at_start(home: House, sealed: dict[str, str]) -> None:
    """The remembered checkpoint says more than the database has; nothing is taken from the queue, by no process."""
    daemon = work(home, sealed, 0, 3)
    until(lambda: size(home, sealed) == 4, "4 entries")
    assert daemon.stop() == 0
    shutil.copy(home.folder / "exchange.db", home.folder / "backup.db")
    daemon = work(home, sealed, 3, 4)
    until(lambda: size(home, sealed) == 8, "8 entries")
    assert daemon.stop() == 0
    (home.folder / "exchange.db-wal").unlink(missing_ok=True)
    shutil.copy(home.folder / "backup.db", home.folder / "exchange.db")

    home.send([home.declaration("NHW-0009")])
    for alone in ((), ("--number", "1"), ("--sealer",)):
        refused = home.daemon(*alone, ready=False, environment=sealed)
        assert refused.process.wait(SECONDS) == 2
        assert "an older database was restored" in refused.log_file.read_text()
    assert len(home.drain(INTAKE)) == 1
    kept = home.cli("audit", "verify", "--checkpoint", str(home.folder / "audit.head"), environment=sealed)
    assert kept.returncode == 1
    assert "it was cut, or an older one was restored" in kept.stdout
    ill = home.cli("doctor", environment=sealed)
    assert (ill.returncode, "an older database was restored" in ill.stdout) == (1, True)


def test_a_log_that_is_rolled_back_beneath_the_daemon_is_told(home: House, sealed: dict[str, str]) -> None:
    """It goes on and says so, as with any fault; the next start refuses."""
    daemon = work(home, sealed, 0, 2)
    until(lambda: size(home, sealed) == 3, "the rules and 2 exchanges", daemon.log_file)
    with closing(sqlite3.connect(home.folder / "exchange.db")) as link:
        for table in ("checkpoint", "sealed", "tile"):
            link.execute(f"DELETE FROM {table}")
        link.commit()
    daemon.wait_for("not sealed")
    home.send([home.declaration("NHW-0002")])
    home.collect(receipts(INTEGRATOR), 1)
    assert size(home, sealed) == 0
    assert daemon.stop() == 0
    assert home.cli("run", environment=sealed).returncode == 2


def test_the_sealer_runs_alone_without_what_decides(home: House, sealed: dict[str, str]) -> None:
    """As a service of its own: no rules, no broker, no receipts' key; a worker of its own needs not the log's."""
    assert work(home, sealed | {"SWX_AUDIT_KEY": ""}, 0, 2).stop() == 0
    keys = home.folder / "audit-keys"
    keys.mkdir()
    (home.folder / "keys" / "audit.key").rename(keys / "audit.key")
    bare = {"SWX_ROUTES": "none.yaml", "SWX_AMQP_URL": "amqp://127.0.0.1:1/none", "SWX_KEYS": str(keys)}
    sealer = home.daemon("--sealer", ready=False, environment=sealed | bare)
    sealer.wait_for("sealer started")
    home.send([home.declaration("NHW-0002")])
    worker = home.daemon("--number", "0", environment=sealed)
    until(lambda: size(home, sealed) == 4, "the rules and 3 exchanges", sealer.log_file)
    assert (worker.stop(), sealer.stop()) == (0, 0)
    without = home.daemon("--sealer", ready=False, environment=sealed | {"SWX_AUDIT_KEY": ""})
    assert (without.process.wait(SECONDS), "SWX_AUDIT_KEY" in without.log_file.read_text()) == (2, True)


def test_an_exchange_is_proved_to_a_third_party(home: House, sealed: dict[str, str]) -> None:
    """From the queue to a file that another program believes: with the rules' keys, which the daemon logged too."""
    daemon = work(home, sealed, 0, 2)
    until(lambda: size(home, sealed) == 3, "the rules and 2 exchanges", daemon.log_file)
    assert daemon.stop() == 0
    (number, *_) = (row["exchange"] for row in json.loads(home.cli("audit", "search", "--json").stdout))
    bundle, folder = home.folder / "evidence.zip", home.folder / "log"
    done = home.cli("audit", "prove", number, "-o", str(bundle), environment=sealed)
    assert done.returncode == 0, done.stderr
    assert home.cli("audit", "export", str(folder), environment=sealed).returncode == 0
    key = home.cli("audit", "key", environment=sealed).stdout.strip()
    verifier = [sys.executable, "-I", str(ROOT / "bin" / "verify-evidence"), "--log", key]
    shown = subprocess.run([*verifier, bundle, folder], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "keys: as the log recorded them" in shown.stdout
    assert f"signed by {INTEGRATOR}" in shown.stdout
    with zipfile.ZipFile(bundle) as packed:
        assert any(name.startswith("schemas/dec/4.9.7/") for name in packed.namelist())
    assert "that the rules of this decision named" in shown.stdout
    assert "not in the bundle" not in shown.stdout
    changed = home.folder / "changed-schemas"
    shutil.copytree(ROOT / "schemas", changed)
    (changed / "dec/4.9.7/dec-types.xsd").write_text("<changed/>")
    later = sealed | {"SWX_SCHEMAS": str(changed)}
    done = home.cli("audit", "prove", number, "-o", str(bundle), environment=later)
    assert (done.returncode, "left out: schema dec/4.9.7/dec-types.xsd is not" in done.stderr) == (0, True), done.stderr
    shown = subprocess.run([*verifier, bundle], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "1 that they named are not in the bundle: schemas/dec/4.9.7/dec-types.xsd" in shown.stdout
    assert home.cli("audit", "prove", "0" * 32, environment=sealed).returncode == 1


def test_a_day_is_accounted_for_by_a_document(home: House, sealed: dict[str, str]) -> None:
    """What came in is counted, signed, compared with the sender's own list, and counted again by another program."""
    daemon = work(home, sealed, 0, 3)
    until(lambda: size(home, sealed) == 4, "the rules and 3 exchanges", daemon.log_file)
    assert daemon.stop() == 0
    found = json.loads(home.cli("audit", "search", "--json").stdout)
    day = found[0]["received_at"][:10]
    asked = "audit", "reconcile", "--day", day, "--participant", INTEGRATOR
    done = home.cli(*asked, "--list", environment=sealed)
    assert done.returncode == 0, done.stderr
    assert "received 3 = accepted 3 + rejected 0 + waiting 0 + held 0" in done.stdout
    document, folder = home.folder / "day.txt", home.folder / "log"
    document.write_text(done.stdout, "utf-8")
    assert home.cli("audit", "export", str(folder), environment=sealed).returncode == 0
    key = home.cli("audit", "key", environment=sealed).stdout.strip()
    verifier = [sys.executable, "-I", str(ROOT / "bin" / "verify-evidence"), "--log", key]
    shown = subprocess.run([*verifier, document, folder], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"counted again: 3 messages of {INTEGRATOR}" in shown.stdout

    theirs = home.folder / "theirs.csv"
    theirs.write_text("message_id\n" + "".join(f"{row['message_id']}\n" for row in found))
    agreed = home.cli(*asked, "--against", str(theirs))
    assert (agreed.returncode, agreed.stdout) == (0, "both lists agree\n"), agreed.stderr
    theirs.write_text(f"{found[0]['message_id']}\n{found[1]['message_id']}\nNEVER-SENT\n")
    differs = home.cli(*asked, "--against", str(theirs))
    assert differs.returncode == 1
    assert "theirs only  NEVER-SENT  never came here" in differs.stdout
    assert f"ours only  {found[2]['message_id']}" in differs.stdout

    everybody = home.cli("audit", "reconcile", "--day", day, "--output", str(home.folder / "days"), environment=sealed)
    assert everybody.returncode == 0, everybody.stderr
    assert (home.folder / "days" / f"{day}-{INTEGRATOR}.txt").is_file()
    plain = home.cli(*asked, environment={"SWX_AUDIT_KEY": ""})
    assert (plain.returncode, "not signed" in plain.stderr) == (0, True)
    with closing(sqlite3.connect(home.folder / "exchange.db")) as link:
        link.execute("DELETE FROM copy WHERE kind = 'message' AND seq = (SELECT max(seq) FROM exchange)")
        link.commit()
    wrong = home.cli("audit", "reconcile", "--day", day)
    assert (wrong.returncode, "accepted 3 = delivered 2 + owed 0 + dropped 0  DOES NOT HOLD" in wrong.stdout) == (
        1,
        True,
    )


def test_what_is_not_sealed_or_was_changed_cannot_be_proved(home: House, sealed: dict[str, str]) -> None:
    assert work(home, sealed | {"SWX_AUDIT_KEY": ""}, 0, 1).stop() == 0
    (number,) = (row["exchange"] for row in json.loads(home.cli("audit", "search", "--json").stdout))
    early = home.cli("audit", "prove", number, environment=sealed)
    assert (early.returncode, "not sealed yet" in early.stderr) == (2, True)
    assert home.cli("audit", "seal", environment=sealed).returncode == 0
    with closing(sqlite3.connect(home.folder / "exchange.db")) as link:
        link.execute("UPDATE exchange SET route = 'elsewhere'")
        link.commit()
    changed = home.cli("audit", "prove", number, environment=sealed)
    assert (changed.returncode, "changed after it was sealed" in changed.stderr) == (2, True)
    found = home.cli("audit", "verify", environment=sealed)
    assert (found.returncode, number in found.stdout) == (1, True)


def test_a_witness_signs_growth_and_stops_a_rollback(home: House, sealed: dict[str, str]) -> None:
    """Over the broker: its cosignature is in what is handed out; an older database is refused."""
    name = "customs.example/witness"
    assert home.cli("keys", "new", "eye").returncode == 0
    vkey = home.cli("witness", "key", "--name", name, "--key", "eye").stdout.strip()
    sealed |= {"SWX_WITNESSES": vkey}
    assert home.cli("topology", "apply", environment=sealed).returncode == 0
    assert work(home, sealed | {"SWX_AUDIT_KEY": ""}, 0, 2).stop() == 0
    assert home.cli("audit", "seal", environment=sealed).returncode == 0
    shutil.copy(home.folder / "exchange.db", home.folder / "backup.db")
    log_key = home.cli("audit", "key", environment=sealed).stdout.strip()
    command = [sys.executable, "-m", "swexchange", "witness", "run", "--name", name, "--key", "eye", "--log", log_key]
    command += ["--memory", str(home.folder / "seen.json")]
    with subprocess.Popen(command, env=home.environment) as eye:
        try:
            done = home.cli("audit", "witness", environment=sealed)
            assert (done.returncode, done.stdout) == (0, f"{name} has signed 3 entries\n"), done.stderr
            assert work(home, sealed | {"SWX_AUDIT_KEY": ""}, 2, 1).stop() == 0
            assert home.cli("audit", "seal", environment=sealed).returncode == 0
            done = home.cli("audit", "witness", environment=sealed)
            assert (done.returncode, done.stdout) == (0, f"{name} has signed 4 entries\n"), done.stderr
            (number, *_) = (row["exchange"] for row in json.loads(home.cli("audit", "search", "--json").stdout))
            bundle = home.folder / "evidence.zip"
            assert home.cli("audit", "prove", number, "-o", str(bundle), environment=sealed).returncode == 0
            verifier = [
                sys.executable,
                "-I",
                str(ROOT / "bin" / "verify-evidence"),
                "--log",
                log_key,
                "--witness",
                vkey,
            ]
            shown = subprocess.run([*verifier, bundle], capture_output=True, text=True, check=False)
            assert shown.returncode == 0, shown.stdout + shown.stderr
            assert f"seen by {name}" in shown.stdout

            for rest in ("-wal", "-shm"):
                (home.folder / f"exchange.db{rest}").unlink(missing_ok=True)
            shutil.copy(home.folder / "backup.db", home.folder / "exchange.db")
            (home.folder / "audit.head").unlink()
            done = home.cli("audit", "witness", environment=sealed)
            assert done.returncode == 2
            assert "it has seen 4 entries, the log has 3: an older database was restored" in done.stderr
            for workers in ((), ("--workers", "2")):
                done = home.cli("run", *workers, environment=sealed)
                assert done.returncode == 2, "nothing was taken under a history that the witness knows longer"
                assert "it has seen 4 entries, the log has 3" in done.stderr
                assert "docs/how-to/prove-an-exchange.md#after-a-restore" in done.stderr
                assert '"started"' not in done.stderr
            assert home.daemon("--no-check", environment=sealed).stop() == 0
        finally:
            eye.terminate()
        assert eye.wait(SECONDS) == 0


def test_the_daemon_asks_its_witnesses_and_waits_for_none(home: House, sealed: dict[str, str]) -> None:
    """One that is away costs nothing and is told once; when it is there, it signs without anybody's doing."""
    name = "customs.example/witness"
    assert home.cli("keys", "new", "eye").returncode == 0
    vkey = home.cli("witness", "key", "--name", name, "--key", "eye").stdout.strip()
    sealed |= {"SWX_WITNESSES": vkey}
    assert home.cli("topology", "apply", environment=sealed).returncode == 0
    log_key = home.cli("audit", "key", environment=sealed).stdout.strip()
    daemon = work(home, sealed, 0, 2)
    until(lambda: size(home, sealed) == 3, "the rules and 2 exchanges", daemon.log_file)
    assert witnessed(home, sealed) == {name: None}
    assert daemon.stop() == 0
    daemon = home.daemon(environment=sealed)
    (away,) = (event for event in daemon.log() if event["event"] == "witness not asked")
    assert away["where"] == name, "and it starts all the same"
    shown = home.cli("doctor", environment=sealed).stdout
    assert f"{name}: it has not signed at all" in shown
    command = [sys.executable, "-m", "swexchange", "witness", "run", "--name", name, "--key", "eye", "--log", log_key]
    command += ["--memory", str(home.folder / "seen.json")]
    with subprocess.Popen(command, env=home.environment) as eye:
        try:
            until(lambda: (witnessed(home, sealed)[name] or {}).get("size") == 3, "the witness", daemon.log_file)
        finally:
            eye.terminate()
        assert eye.wait(SECONDS) == 0
    home.send([home.declaration("NHW-0009")])
    home.collect(receipts(INTEGRATOR), 1)
    until(lambda: size(home, sealed) == 4, "an entry that no witness has signed", daemon.log_file)
    assert daemon.stop() == 0, "it does not wait for the witness"
    assert (witnessed(home, sealed)[name] or {})["size"] == 3


def witnessed(home: House, sealed: dict[str, str]) -> dict[str, dict[str, Any] | None]:
    told: dict[str, dict[str, Any] | None] = json.loads(home.cli("status", "--json", environment=sealed).stdout)[
        "witnesses"
    ]
    return told


def test_without_a_key_nothing_is_sealed_and_the_commands_say_what_to_do(home: House) -> None:
    done = home.cli("audit", "seal")
    assert done.returncode == 2
    assert "SWX_AUDIT_KEY" in done.stderr
    done = home.cli("audit", "seal", environment={"SWX_AUDIT_KEY": "audit", "SWX_AUDIT_ORIGIN": "two words"})
    assert done.returncode == 2
    assert "SWX_AUDIT_ORIGIN" in done.stderr
    assert home.cli("audit", "checkpoint").returncode == 1
