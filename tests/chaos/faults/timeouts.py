"""RabbitMQ waits only so long for an acknowledgement: a worker that is blocked longer loses its channel."""

from __future__ import annotations

import signal

from tests.chaos.faults.database import locked
from tests.chaos.frame import Fault
from tests.chaos.scene import Scene

SECONDS = 6
USUAL, TICK = 1_800_000, 60_000  # milliseconds, RabbitMQ's own: the timeout, and how often a channel looks at it


def _impatient(scene: Scene) -> None:
    _wait(scene, SECONDS * 1000, 1000)
    scene.at_end(lambda: _wait(scene, USUAL, TICK))


def _wait(scene: Scene, timeout: int, tick: int) -> None:
    """Of channels that are opened from now on."""
    for name, milliseconds in (("consumer_timeout", timeout), ("channel_tick_interval", tick)):
        scene.lab.broker.ctl("eval", f"application:set_env(rabbit, {name}, {milliseconds}).")


def _blocked(scene: Scene) -> None:
    """First in the database, while the connection lives; then the whole process."""
    locked(scene, 3 * SECONDS)
    scene.pause(5)
    scene.note("SIGSTOP")
    scene.supervisor.signal(signal.SIGSTOP)
    scene.pause(2 * SECONDS)
    scene.supervisor.signal(signal.SIGCONT)


FAULTS = (
    Fault(
        "consumer timeout",
        "F32",
        f"RabbitMQ waits {SECONDS} s for an acknowledgement; the database is locked for {3 * SECONDS} s,"
        f" then the daemon is stopped for {2 * SECONDS} s",
        _blocked,
        _impatient,
        rate=20,
        felt="delivery acknowledgement on channel",
    ),
)
