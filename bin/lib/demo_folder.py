"""The run folder, `.run/demo`: fresh for each demo, one demo at a time, and what is still running from the last one.

Holds routes.yaml with this run's public keys, the private keys, the database, the log of the
daemon and `state.json`, from which a later call can end what this one left running.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from demo_trouble import Trouble

from swexchange import yamlfile
from swexchange.errors import ConfigFault

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".run" / "demo"
ROUTES, KEYS, LOG, ENV = FOLDER / "routes.yaml", FOLDER / "keys", FOLDER / "swexchange.log", FOLDER / "env.sh"
_LOCK, _STATE = FOLDER.with_suffix(".lock"), FOLDER / "state.json"


@dataclass(slots=True)
class State:
    """What is running, as far as a later call must know it."""

    kept: bool = False
    session: int = 0  # of the daemon and its workers; 0 = not started
    given_url: str = ""  # a broker that is not ours; '' = the private node in this folder
    exchanges: list[str] = field(default_factory=list)  # that this demo made on a given broker
    queues: list[str] = field(default_factory=list)

    def save(self) -> None:
        """Write it, readable by the owner alone: the URL holds a password."""
        new = _STATE.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(asdict(self), indent=2))
        new.replace(_STATE)


def load_state() -> State:
    """The state that the last demo left; an empty one where there is none."""
    with writable(), suppress(FileNotFoundError, ValueError, TypeError):
        return State(**json.loads(_STATE.read_text()))
    return State()


@contextmanager
def alone() -> Iterator[None]:
    """Hold the folder for this process alone. Raises Trouble when another demo holds it."""
    with writable():
        _LOCK.parent.mkdir(exist_ok=True)
        lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(lock)
        yield
    finally:
        os.close(lock)


def _take(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Trouble(f"another demo is running in {FOLDER}; wait for it, or end it with Ctrl-C there") from None


@contextmanager
def writable() -> Iterator[None]:
    """Turn errors of the folder's files into one line."""
    try:
        yield
    except OSError as error:
        place = error.filename or FOLDER
        raise Trouble(f"cannot use {place}: {error.strerror}; the demo needs {FOLDER} to itself") from None


def make_fresh() -> None:
    """An empty folder in place of the last demo's."""
    with writable():
        if FOLDER.exists():
            shutil.rmtree(FOLDER)
        FOLDER.mkdir(mode=0o700)
        # The tests in routes.yaml name their samples from its own folder.
        (FOLDER / "schemas").symlink_to(ROOT / "schemas")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the demo reads of the shipped routes.yaml."""

    text: str
    platform: str
    participants: tuple[str, ...]
    key_of: Mapping[str, str]  # participant or platform: its first key's id
    public: Mapping[str, str]  # key id: the sample public key, base64

    @classmethod
    def read(cls) -> Rules:
        """The project's routes.yaml; whether it is right is `swexchange routes check`'s question. Raises Trouble."""
        path = ROOT / "routes.yaml"
        try:
            return cls._of(path.read_text("utf-8"), yamlfile.read(path).data)
        except (ConfigFault, OSError, ValueError, LookupError, TypeError) as error:
            raise Trouble(f"routes.yaml cannot be read: {error}; `swexchange routes check` says more") from None

    @classmethod
    def _of(cls, text: str, data: dict[str, Any]) -> Rules:
        owners = [data["platform"], *data["participants"]]
        return cls(
            text,
            data["platform"]["id"],
            tuple(participant["id"] for participant in data["participants"]),
            {owner["id"]: owner["keys"][0]["id"] for owner in owners},
            {key["id"]: key["public"] for owner in owners for key in owner["keys"]},
        )

    def write(self, public: Mapping[str, str]) -> None:
        """Write the run's routes.yaml: these public keys in place of the samples, nothing else changed."""
        text = self.text
        for key_id, new in public.items():
            text = text.replace(self.public[key_id], new)
        with writable():
            ROUTES.write_text(text, "utf-8")
