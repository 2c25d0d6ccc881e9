"""Archives with real processes: killed between any two steps, the next run goes on, and a stranger can check it all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.process.house import ROOT, House, until
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


def checked(home: House, sealed: dict[str, str]) -> str:
    """What bin/verify-evidence proves of the folder."""
    key = home.cli("audit", "key", environment=sealed).stdout.strip()
    command = [sys.executable, "-I", ROOT / "bin" / "verify-evidence", "--log", key, sealed["SWX_ARCHIVE"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def listed(home: House, sealed: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(home.cli("archive", "list", "--json", environment=sealed).stdout)
    return found


def test_an_archive_is_proved_to_a_third_party(home: House, sealed: dict[str, str]) -> None:
    assert home.cli("archive", "list", environment=sealed).returncode == 1
    done = home.cli("archive", "write", environment=sealed)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{MESSAGES + 1} entries are in none yet" in done.stderr
    done = home.cli("archive", "write", "--all", environment=sealed)
    assert done.stdout.split() == [f"{sealed['SWX_ARCHIVE']}/{name['name']}" for name in listed(home, sealed)]
    said = checked(home, sealed)
    assert f"{MESSAGES} exchange/v1, {MESSAGES} messages, {MESSAGES} receipts, 1 rules/v1" in said
    assert home.cli("archive", "verify", environment=sealed).stdout.startswith("all well: ")
    path = home.folder / "archive" / listed(home, sealed)[0]["name"]
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
