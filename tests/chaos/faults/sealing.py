"""The audit log is sealed while whoever seals it dies at the wrong moment."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from tests.chaos.frame import Fault
from tests.chaos.scene import Scene

POINTS = "signed", "sealed"  # a checkpoint is signed and not stored; it is stored and not remembered in its file


def _dies(scene: Scene) -> None:
    """At both points, in the 1st, 2nd and 3rd step after a start: with the whole daemon, or as a process of its own."""
    for number in (1, 2, 3):
        for point in POINTS:
            scene.note(f"kill -9 of who seals, at {point}, pass {number}")
            doomed = _start(scene, {"SWX_CRASH_AT": f"{point}:{number}"})
            scene.until(lambda n=doomed: _died(scene, n), f"a death at {point}")  # type: ignore[misc]
    _start(scene, {})
    scene.await_daemons()


def _start(scene: Scene, environment: Mapping[str, str]) -> int:
    """Start the daemon anew; the number of its log."""
    scene.supervisor.stop()
    started = len(scene.supervisor.logs)
    scene.supervisor.plain.environment = environment
    scene.supervisor.start()
    return started


def _died(scene: Scene, number: int) -> bool:
    """Whether the daemon of this log was replaced, or has said that a process of its own had to be."""
    logs = scene.supervisor.logs[number:]
    return len(logs) > 1 or any(b" died" in log.read_bytes() for log in logs)


FAULTS = (
    Fault(
        "killed while sealing",
        "F4",
        "who seals dies with a checkpoint signed and not stored, or stored and not remembered, 6 times",
        _dies,
        rate=20,
        exits=(-signal.SIGTERM,),  # asked to end while it starts
    ),
)
