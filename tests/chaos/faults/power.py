"""The machine of daemon and database loses its power: what was not synced is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path

from tests.chaos.disk import Disk
from tests.chaos.frame import Fault
from tests.chaos.scene import SQLITE, Scene
from tests.chaos.supervisor import ANY_DISK, children

CUTS = 6
GONE, STOPPED = {"Z", "X"}, {"T", "Z", "X"}


def _on_a_disk(scene: Scene) -> None:
    """The database moves to a disk of its own, so small that the intake must not mind."""
    scene.supervisor.plain.environment = ANY_DISK
    if scene.kind == SQLITE:
        disk, place, old = Disk(scene.folder), scene.folder / "db", scene.folder / "db.old"
        place.rename(old)
        place.mkdir()
        disk.mount(place)
        scene.at_end(disk.unmount)
        scene.at_end(scene.supervisor.stop)  # before: where the fault could not be injected, daemons still run
        disk.fill(old)
    else:
        disk = _cluster_on_a_disk(scene)
    scene.disk = disk


def _cluster_on_a_disk(scene: Scene) -> Disk:
    """PostgreSQL's data, until the scene ends; what it had before stays under it."""
    cluster, new = scene.lab.cluster, scene.folder / "data"
    disk = Disk(scene.folder)
    new.mkdir()
    cluster.stop()
    disk.mount(new)
    disk.fill(cluster.folder / "data")
    disk.unmount()
    disk.mount(cluster.folder / "data")
    cluster.start()

    def back() -> None:
        cluster.stop("immediate")
        disk.unmount()
        cluster.start()

    scene.at_end(back)
    return disk


def _power_lost(scene: Scene) -> None:
    """All stand still, the disk is copied, all die; what starts again finds the copy."""
    assert scene.disk
    lost = 0
    for _ in range(CUTS):
        scene.await_daemons()
        scene.pause(scene.random.uniform(0.5, 4.0))
        scene.supervisor.hold()
        pids = _stand_still(scene)
        image = scene.disk.image()
        _signal(pids, signal.SIGKILL)
        _until(scene, pids, GONE)
        ahead = scene.disk.become(image)
        scene.note(f"power lost: {', '.join(ahead) or 'nothing'} had not reached the disk")
        lost += bool(ahead)
        if scene.kind != SQLITE:
            scene.lab.cluster.start()
        scene.supervisor.start()
    if not lost:
        raise RuntimeError("at no moment was anything on its way to the disk")
    scene.await_daemons()


def _stand_still(scene: Scene) -> list[int]:
    """Every process that writes to the disk, stopped; one that was in a sync has ended it."""
    pids = [process.pid for process in scene.supervisor.processes]
    if scene.kind != SQLITE:
        pids.append(scene.lab.cluster.process)
    _signal(pids, signal.SIGSTOP)
    _until(scene, pids, STOPPED)
    servers = [pid for parent in pids for pid in children(parent)]  # now none is started any more
    _signal(servers, signal.SIGSTOP)
    _until(scene, servers, STOPPED)
    return [*pids, *servers]


def _until(scene: Scene, pids: Sequence[int], states: Set[str]) -> None:
    scene.until(lambda: all(_states(pid) <= states for pid in pids), f"{pids} to be in one of the states {states}")


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _states(pid: int) -> set[str]:
    """Of all its threads, as ps has them: T stopped, Z dead and not waited for; none: there is no such process.

    A process writes, and keeps its files open, until its last thread has stopped or ended.
    """
    found = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # ended meanwhile
            found.add(thread.read_text().rpartition(")")[2].split()[0])
    return found


FAULTS = (
    Fault(
        "power loss",
        "F40",
        f"{CUTS} times: daemon and database die, and what was not synced to their disk is gone",
        _power_lost,
        _on_a_disk,
        deaths=CUTS,
        needs_root=True,
    ),
)
