"""A private PostgreSQL for the tests of this process: started on first use, ended and removed at the end.

It has its own folder, port and password, and touches no other cluster. PostgreSQL refuses to
run as root: then Debian's `postgres` user runs it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg

from tests.ending import at_end

USER = "swx"
_STARTS = 3  # another program may take the port between finding it free and using it


@dataclass(frozen=True)
class Cluster:
    """A cluster of databases in a folder; `url` is that of its maintenance database."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """The maintenance database, for the administrator."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database anew, from another one; its URL."""
        self.drop(database)
        self._execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url_of(database)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected; none is no error."""
        self._execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as link:
            link.execute(statement)

    @property
    def process(self) -> int:
        """Process id of the running server; its children serve the connections."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        """Start the server; returns when it answers, fails loudly when it does not."""
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        _run("pg_ctl", "start", "-w", *self._where(), "-l", str(self.folder / "log"), "-o", settings)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: fast, or immediate as a crash would."""
        _run("pg_ctl", "stop", "-w", *self._where(), "-m", mode)

    def _where(self) -> tuple[str, str]:
        return "-D", str(self.folder / "data")


def new(folder: Path) -> Cluster:
    """Make and start a cluster in an empty folder; whoever makes it stops it."""
    password = secrets.token_hex(16)
    secret = folder / "password"
    secret.write_text(password)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        shutil.chown(secret, "postgres")
    options = ["--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256"]
    _run("initdb", "-D", str(folder / "data"), *options, "--encoding", "UTF8", "--locale", "C.UTF-8")
    return _started(folder, password)


def _started(folder: Path, password: str) -> Cluster:
    for attempt in range(_STARTS):
        cluster = Cluster(folder, _free_port(), password)
        try:
            cluster.start()
        except RuntimeError:
            if attempt == _STARTS - 1:
                raise
        else:
            return cluster
    raise AssertionError("unreachable")


@cache
def shared() -> Cluster:
    """The one cluster that the tests of this process share."""
    folder = Path(tempfile.mkdtemp(prefix="swx-postgresql-"))
    cluster = new(folder)
    at_end(_remove, cluster)
    return cluster


def _remove(cluster: Cluster) -> None:
    cluster.stop("immediate")
    shutil.rmtree(cluster.folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(program: str, *arguments: str) -> None:
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_user, str(_binaries() / program), *arguments],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr or done.stdout}")


@cache
def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise RuntimeError("no PostgreSQL in /usr/lib/postgresql: run `bin/setup postgresql`")
    return found[-1]
