"""What the pages on evidence and archives tell people to run, on a house with a sealed log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.process.house import ROOT, House
from tests.process.test_archiving import MESSAGES, sealed
from tests.test_docs import BLOCK, page

__all__ = ["sealed"]  # the fixture


def test_the_pages_of_evidence_and_archives_work_as_printed(home: House, sealed: dict[str, str]) -> None:
    """Each shell block from "Prove" on to witnesses, then those of archives up to pruning, in order, by a shell.

    Nothing is put in place of what is printed but what every house has of its own: key, ids, day, folder.
    """
    evidence, archives = page("how-to/prove-an-exchange.md"), page("how-to/archive.md")
    blocks = BLOCK.findall(evidence.partition("## Prove\n")[2].partition("## Have it witnessed")[0])
    blocks += BLOCK.findall(archives.partition("## Prune\n")[0])
    script = "".join(block for _, block in blocks if "systemctl" not in block)
    assert script.count("swexchange ") + script.count("bin/verify-evidence") > 20
    for printed, own in _own(home, sealed).items():
        assert printed in script, printed
        script = script.replace(printed, own)
    (home.folder / "bin").symlink_to(ROOT / "bin")
    environment = home.environment | sealed
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-ex"], input=script, cwd=home.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("PROVED") == script.count("bin/verify-evidence") + script.count("day.txt log-")


def _own(home: House, sealed: dict[str, str]) -> dict[str, str]:
    """What the pages call by an example, as it is called here; the files that somebody else would bring are made."""
    found = json.loads(home.cli("audit", "search", "--json", environment=sealed).stdout)
    shown = json.loads(home.cli("audit", "show", found[0]["exchange"], "--json", environment=sealed).stdout)
    key = home.cli("audit", "key", environment=sealed).stdout.strip()
    checkpoint = home.cli("audit", "checkpoint", environment=sealed).stdout
    (home.folder / "audit.vkey").write_text(key)
    (home.folder / "last-month.checkpoint").write_text(checkpoint)
    (home.folder / "theirs.csv").write_text("message_id\n" + "".join(f"{one['message_id']}\n" for one in found))
    day = found[0]["received_at"][:10]
    return {
        "019cac2a9dc017bb841883fa7d7020a8": shown["exchange"],
        "sw.example.gov.cn/audit+51176bae+Abx1aVEOCwSQD+ACT2Y5qbKldWy0zEqXzSCkEV6+rsEj": key,
        "EntryId=530420261000000017": next(f"{name}={value}" for name, value in shown["keys"].items()),
        "2026-11-24": day,
        "--since 2026-11-01": f"--since {day}",
        "/srv/archive": sealed["SWX_ARCHIVE"],
        "000000000000-000000009999.zip": f"000000000000-{MESSAGES:012}.zip",
    }
