"""Watches the audit log while the daemon seals it, and has it proved at the end, each by a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.chaos.merkle import Log, read_entries, sealed
from tests.process.house import ROOT, House

EVERY = 0.5  # seconds between two looks at the last checkpoint
KEY, ORIGIN = "audit-chaos", "chaos.example/audit"


class Watch:
    """Keeps every checkpoint that it sees in the file that remembers the last one; the log's key is made here."""

    def __init__(self, house: House) -> None:
        self._house, self._origin = house, ORIGIN
        self._file = house.folder / "audit.head"  # never on the disk of the database
        self.checkpoints: list[str] = []
        self._said("keys", "new", KEY)
        self._key = self._said("audit", "key").strip()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a daemon seal."""
        return {
            "SWX_AUDIT_KEY": KEY,
            "SWX_AUDIT_ORIGIN": self._origin,
            "SWX_AUDIT_HEAD": str(self._file),
            "SWX_SEAL_SECONDS": "1",
        }

    @property
    def secret(self) -> str:
        """The private half of the log's key, as its file has it."""
        return (self._house.folder / "keys" / f"{KEY}.key").read_text("ascii").strip()

    def rename(self) -> None:
        """Begin a log of another name, as after a restore; what was seen of the old one goes further than this one."""
        self._origin += "-2"
        self._file.rename(self._file.with_suffix(".old"))
        self._key = self._said("audit", "key").strip()
        self.checkpoints.clear()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()

    def proved(self, stored: Iterable[str]) -> Log:
        """The log as it is exported now, with the checkpoints that were seen and those `stored` in the database."""
        self.stop()
        folder = self._house.folder / "log"
        self._said("audit", "export", str(folder))
        size, _ = sealed((folder / "checkpoint").read_text("utf-8"))
        seen = list(dict.fromkeys([*self.checkpoints, *stored]))
        return Log(read_entries(folder, size), seen, refused(folder, self._key, self.checkpoints))

    def _said(self, *arguments: str) -> str:
        done = self._house.cli(*arguments, environment=self.environment)
        if done.returncode:
            raise RuntimeError(f"swexchange {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def _run(self) -> None:
        while not self._stopping.wait(EVERY):
            with suppress(FileNotFoundError):  # before the first
                checkpoint = self._file.read_text("utf-8")
                if checkpoint not in self.checkpoints[-1:]:
                    self.checkpoints.append(checkpoint)


def refused(folder: Path, key: str, kept: Iterable[str]) -> str:
    """Why bin/verify-evidence does not prove an export, which must begin with each kept checkpoint; '' = it does."""
    command = [sys.executable, "-I", str(ROOT / "bin" / "verify-evidence"), "--log", key]
    for number, checkpoint in enumerate(kept):
        path = folder.with_name(f"{folder.name}.{number}.checkpoint")
        path.write_text(checkpoint, "utf-8")
        command += ["--checkpoint", str(path)]
    done = subprocess.run(
        [*command, str(folder)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False
    )
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-500:] or f"exit code {done.returncode}"
