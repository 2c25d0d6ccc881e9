"""`swexchange db upgrade` is killed inside, again and again, with real rows in the database and load at the broker."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg

from tests.chaos.faults.database import STRACE, file_of
from tests.chaos.frame import Fault
from tests.chaos.scene import POSTGRESQL, SQLITE, Scene
from tests.process.house import ROOT

SECOND = "archive", "gone", "taken", "hold"  # tables of the second version; beside them rules.manifest
VERSION = "SELECT version_num FROM alembic_version"
HAS_MANIFEST = {
    SQLITE: "SELECT count(*) FROM pragma_table_info('rules') WHERE name = 'manifest'",
    POSTGRESQL: "SELECT count(*) FROM pg_attribute WHERE attrelid = 'rules'::regclass AND attname = 'manifest'",
}
CALLS = {SQLITE: {"pwrite64": 47, "fdatasync": 5}, POSTGRESQL: {"sendto": 45}}  # that an upgrade makes, about
KILLS = 8


def _killed(scene: Scene) -> None:
    """At the entry of the n-th system call that reaches the database; the seed chooses n."""
    scene.supervisor.stop()
    deaths = 0
    while deaths < KILLS:
        for call, most in CALLS[scene.kind].items():
            _first_version(scene)
            number = scene.random.randint(1, most)
            code = _upgrade(scene, call, number)
            scene.note(f"db upgrade, killed in {call} {number}: exit code {code}")
            deaths += code == -signal.SIGKILL
            _require_whole(scene)
    _first_version(scene)
    done = scene.house.cli("db", "upgrade")
    if done.returncode:
        raise RuntimeError(done.stderr)
    scene.supervisor.start()
    scene.await_daemons()


def _upgrade(scene: Scene, call: str, number: int) -> int:
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
    command = [*STRACE, *inject, sys.executable, "-m", "swexchange", "db", "upgrade"]
    return subprocess.run(
        command, cwd=ROOT, env=scene.house.environment, capture_output=True, timeout=60, check=False
    ).returncode


def _first_version(scene: Scene) -> None:
    """The database as a program of the first version left it: the same rows, without what came later."""
    if _run(scene, [VERSION]) == ("0001",):
        return
    drops = [*(f"DROP TABLE {table}" for table in SECOND), "ALTER TABLE rules DROP COLUMN manifest"]
    _run(scene, [*drops, "UPDATE alembic_version SET version_num = '0001'"])


def _require_whole(scene: Scene) -> None:
    """Either version, with all that it has: nothing between."""
    tables = "sqlite_master WHERE name" if scene.kind == SQLITE else "pg_tables WHERE tablename"
    (version,) = _run(scene, [VERSION])
    (count,) = _run(scene, [f"SELECT count(*) FROM {tables} IN {SECOND}"])
    (column,) = _run(scene, [HAS_MANIFEST[scene.kind]])
    if (version, count, column) not in (("0001", 0, 0), ("0002", len(SECOND), 1)):
        raise RuntimeError(
            f"half a schema: version {version} with {count} of {len(SECOND)} tables, {column} of 1 column"
        )


def _run(scene: Scene, statements: Sequence[str]) -> tuple[object, ...]:
    """One transaction; the first row of the last statement."""
    sqlite = scene.kind == SQLITE
    link: Any = sqlite3.connect(file_of(scene), timeout=30) if sqlite else psycopg.connect(scene.house.database_url)
    with closing(link) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else ()
        connection.commit()
    return tuple(row)


FAULTS = (
    Fault(
        "killed in an upgrade",
        "F13",
        f"`swexchange db upgrade` dies at the entry of the n-th write, sync or send, {KILLS} times and more",
        _killed,
        rate=20,
    ),
)
