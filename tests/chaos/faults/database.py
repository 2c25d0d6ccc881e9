"""The database: stopped, cut off at the wrong moment, locked, full, and killed inside its writes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress

import psycopg

from tests.chaos.frame import Fault
from tests.chaos.scene import POSTGRESQL, SQLITE, Scene
from tests.chaos.supervisor import ALONE, ANY_DISK, Start

COMMIT = b"COMMIT"
LONGER = 40.0  # seconds: than the daemon waits for a lock
# -D: the daemon is our child, not strace's. No --seccomp-bpf: where it does not work, nothing is injected, silently.
DEATHS = 8  # of a daemon that dies inside its system calls
STRACE = ("strace", "-D", "-f", "-qq", "-o", "/dev/null")


def _restarted(mode: str) -> Callable[[Scene], None]:
    def restarted(scene: Scene) -> None:
        for _ in range(2):
            scene.note(f"PostgreSQL stopped: {mode}")
            scene.lab.cluster.stop(mode)
            scene.pause(4)
            scene.lab.cluster.start()
            scene.pause(6)

    return restarted


def _commits(scene: Scene, share: float) -> Callable[[bytes], bool]:
    return lambda data: COMMIT in data and scene.random.random() < share


def _answers_lost(scene: Scene) -> None:
    """The server commits, the daemon never hears of it: one commit in ten, for 12 s."""
    assert scene.to_database
    scene.to_database.on_client_bytes = _commits(scene, 0.1)
    scene.to_database.on_lost_answer = lambda: scene.note("commit sent, answer lost")
    scene.pause(12)
    scene.to_database.heal()


def _stopped_in_commit(scene: Scene) -> None:
    """The server is stopped as by a crash when it has got a COMMIT and the daemon has no answer."""
    assert scene.to_database
    for _ in range(3):
        stopped: list[bool] = []

        def stop(done: list[bool] = stopped) -> None:
            scene.to_database.on_client_bytes = None  # type: ignore[union-attr]
            scene.lab.cluster.stop("immediate")
            done.append(True)

        scene.to_database.on_lost_answer = stop
        scene.to_database.on_client_bytes = _commits(scene, 1.0)
        scene.until(lambda done=stopped: bool(done), "a commit to interrupt")  # type: ignore[misc]
        scene.pause(2)
        scene.lab.cluster.start()
        scene.pause(3)
    scene.to_database.heal()


def _cut_off(scene: Scene) -> None:
    assert scene.to_database
    for _ in range(10):
        scene.pause(scene.random.uniform(0.1, 1.0))
        scene.note("RST to the database")
        scene.to_database.cut()
    scene.to_database.refusing = True
    scene.to_database.cut()
    scene.pause(8)
    scene.to_database.heal()


def locked(scene: Scene, seconds: float = LONGER) -> None:
    """Nobody else can write for so long."""
    if scene.kind == SQLITE:
        with closing(sqlite3.connect(file_of(scene), isolation_level=None, timeout=30)) as blocker:
            blocker.execute("BEGIN EXCLUSIVE")
            scene.pause(seconds)
            blocker.execute("ROLLBACK")
        return
    with psycopg.connect(scene.house.database_url) as blocker:
        blocker.execute("LOCK TABLE exchange, batch, copy")
        scene.pause(seconds)
        blocker.rollback()


def file_of(scene: Scene) -> str:
    """The path of an SQLite database."""
    return scene.house.database_url.removeprefix("sqlite:///")


def _small_disk(scene: Scene) -> None:
    """The SQLite database moves to a disk of 160 MB, and the intake does not stop before it is full."""
    scene.supervisor.plain.environment = ANY_DISK
    scene.supervisor.plain.arguments = (*scene.supervisor.plain.arguments, "--no-check")  # that disk is in memory
    place, old = scene.folder / "db", scene.folder / "db.old"
    place.rename(old)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(place)], check=True)
    for file in old.iterdir():
        (place / file.name).write_bytes(file.read_bytes())


def _disk_full(scene: Scene) -> None:
    """Filled to the last byte for 12 s, twice."""
    filler = scene.folder / "db" / "filler"
    for _ in range(2):
        with filler.open("wb", buffering=0) as out, suppress(OSError):
            while True:
                out.write(b"\0" * 65536)
        scene.note("disk full")
        scene.pause(12)
        filler.unlink()
        scene.pause(4)


def _unmounted(scene: Scene) -> None:
    _disk_full(scene)
    scene.at_end(lambda: subprocess.run(["umount", "--lazy", str(scene.folder / "db")], check=False))


def _long_reader(scene: Scene) -> None:
    """A read transaction stays open: the write-ahead log cannot be shortened."""
    with closing(sqlite3.connect(file_of(scene), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM exchange").fetchone()
        scene.pause(20)
        reader.execute("ROLLBACK")


def _inject(call: str, what: str, number: int) -> Start:
    inject = f"inject={call}:{what}:when={number}"
    return Start(prefix=(*STRACE, "-e", f"trace={call}", "-e", inject), arguments=ALONE)


def _killed_in(*calls: str) -> Callable[[Scene], None]:
    def prepare(scene: Scene) -> None:
        """Die at the entry of the n-th such system call, n chosen by the seed."""
        numbers = (scene.random.randrange(2, 25) for _ in iter(int, 1))
        doomed = calls * (DEATHS // len(calls))
        scene.supervisor.script = [_inject(call, "signal=SIGKILL", next(numbers)) for call in doomed]

    return prepare


def _until_dead(scene: Scene) -> None:
    scene.until(lambda: not scene.supervisor.script, "all doomed daemons to die", 900)


def _failing(scene: Scene) -> None:
    """Every 5th sync of the first daemon answers EIO, now and then a write ENOSPC.

    So seldom that a batch of whatever size, tried again, gets through: disks that never do are another fault.
    """
    scene.supervisor.script = []
    eio = ("-e", "trace=fdatasync,pwrite64", "-e", "inject=fdatasync:error=EIO:when=9+5")
    scene.supervisor.plain = Start(prefix=(*STRACE, *eio, "-e", "inject=pwrite64:error=ENOSPC:when=80+1499"))


def _then_well(scene: Scene) -> None:
    """Until it was felt, and 10 s more."""
    scene.until(lambda: any(b"disk I/O error" in log.read_bytes() for log in scene.supervisor.logs), "a failed sync")
    scene.pause(10)
    scene.supervisor.plain = Start()
    scene.supervisor.signal(signal.SIGKILL)
    scene.await_daemons()


FAULTS = (
    Fault(
        "commit unknown",
        "F36",
        "1 in 10 commits is done and its answer lost, for 12 s",
        _answers_lost,
        databases=(POSTGRESQL,),
        short=(POSTGRESQL,),
        felt='"event": "trouble"',
    ),
    Fault(
        "stopped in a commit",
        "F35 F36",
        "PostgreSQL crashes between COMMIT and its answer, 3 times",
        _stopped_in_commit,
        databases=(POSTGRESQL,),
        felt='"event": "trouble"',
    ),
    Fault(
        "database restarted",
        "F35",
        "fast, twice",
        _restarted("fast"),
        databases=(POSTGRESQL,),
        felt='"event": "trouble"',
    ),
    Fault(
        "database crashed",
        "F35",
        "immediate, twice",
        _restarted("immediate"),
        databases=(POSTGRESQL,),
        felt='"event": "trouble"',
    ),
    Fault(
        "database cut off",
        "F35",
        "RST 10 times, then refused for 8 s",
        _cut_off,
        databases=(POSTGRESQL,),
        felt='"event": "trouble"',
    ),
    Fault("database locked", "F37", f"{LONGER:g} s by another process", locked, rate=20, felt='"event": "trouble"'),
    Fault(
        "disk full",
        "F38",
        "twice for 12 s",
        _unmounted,
        _small_disk,
        databases=(SQLITE,),
        rate=40,
        needs_root=True,
        felt="disk is full",
    ),
    Fault("long reader", "F41", "a read transaction open for 20 s", _long_reader, databases=(SQLITE,)),
    Fault(
        "killed in a write",
        "F1 F39",
        f"kill -9 at the entry of the n-th write or sync of the database file, {DEATHS} times",
        _until_dead,
        _killed_in("pwrite64", "fdatasync"),
        databases=(SQLITE,),
        deaths=DEATHS,
        rate=20,
    ),
    Fault(
        "killed in a send",
        "F3",
        f"kill -9 at the entry of the n-th send to RabbitMQ or PostgreSQL, {DEATHS} times",
        _until_dead,
        _killed_in("sendto"),
        databases=(POSTGRESQL,),
        deaths=DEATHS,
        rate=20,
    ),
    Fault(
        "disk fails",
        "F39",
        "every 5th sync answers EIO, now and then a write ENOSPC, for 10 s and more",
        _then_well,
        _failing,
        databases=(SQLITE,),
        felt="disk I/O error",
    ),
)
