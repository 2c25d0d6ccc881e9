"""The province's broker and the way to it: stopped, killed, cut, slow, refusing, full; and who forwards to it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests import rabbit
from tests.chaos.frame import Fault
from tests.chaos.province import CAME
from tests.chaos.scene import SQLITE, Scene

AWAY = "upstream is away, nothing more is tried"
BACK = "upstream is back"
FORWARDS = b"--upstream"  # on the command line of who forwards


def _stopped(scene: Scene) -> None:
    """Long, while everything goes on; then what waited and what comes share the way."""
    node = scene.upstream.node
    scene.note("the province: stop_app")
    node.ctl("stop_app")
    scene.pause(40)
    scene.note("the province: start_app")
    node.ctl("start_app")
    _await_return(scene)
    scene.pause(10)


def _await_return(scene: Scene) -> None:
    scene.until(lambda: any(BACK.encode() in log.read_bytes() for log in scene.supervisor.logs), BACK)


def _killed(scene: Scene) -> None:
    for _ in range(3):
        node = scene.upstream.node
        port = node.state()["port"]
        scene.note("kill -9 of the province's RabbitMQ")
        node.kill()
        scene.pause(scene.random.uniform(1, 8))
        rabbit.start(node.folder, "--plugins", "rabbitmq_management", "--port", str(port))
        scene.pause(6)


def _cut(scene: Scene) -> None:
    for _ in range(25):
        scene.pause(scene.random.uniform(0.1, 1.2))
        scene.note("RST on the way to the province")
        scene.upstream.line.cut()


def _refused(scene: Scene) -> None:
    scene.upstream.line.refusing = True
    scene.upstream.line.cut()
    scene.pause(25)
    scene.upstream.line.heal()
    _await_return(scene)


def _silent(scene: Scene) -> None:
    """All bytes vanish both ways, no FIN; what is on its way gets no confirm."""
    line = scene.upstream.line
    line.swallow_to_server = line.swallow_to_client = True
    _await_breaker(scene)
    line.heal()


def _slow(scene: Scene) -> None:
    """First slower than the load and in time, then slower than confirms are waited for."""
    line = scene.upstream.line
    line.piece, line.delay = 2000, 0.15
    scene.pause(25)
    line.piece, line.delay = 65536, 4.0
    _await_breaker(scene)
    line.heal()


def _await_breaker(scene: Scene) -> None:
    scene.until(lambda: any(AWAY.encode() in log.read_bytes() for log in scene.supervisor.logs), AWAY)


def _impatient(scene: Scene) -> None:
    scene.supervisor.plain.environment = {"SWX_CONFIRM_SECONDS": "3"}


def _mute(scene: Scene) -> None:
    """Copies arrive, their confirms do not: 7 s, and then until nothing more is tried."""
    line = scene.upstream.line
    line.mute = b"swexchange outlet"
    scene.pause(7)
    line.heal()
    scene.pause(5)
    line.mute = b"swexchange outlet"
    _await_breaker(scene)
    line.heal()


def _no_queue(scene: Scene) -> None:
    """Copies are returned; the queue is bound after 20 s."""
    scene.pause(20)
    scene.upstream.bind()


def _unbound(scene: Scene) -> None:
    scene.upstream.unbind()


def _full(scene: Scene) -> None:
    """The province's queue refuses more than 20 messages for 20 s; then its limit is taken away, and nobody reads."""
    there = scene.upstream
    policy = ("policies", there.vhost, "small")
    small = {"pattern": f"^{CAME}$", "definition": {"max-length": 20}, "apply-to": "queues"}
    there.node.manage("PUT", *policy, **small)
    scene.pause(20)
    there.node.manage("DELETE", *policy)


def _alarm(scene: Scene) -> None:
    node = scene.upstream.node
    node.ctl("set_vm_memory_high_watermark", "0.0001")
    _await_breaker(scene)
    scene.pause(10)
    node.ctl("set_vm_memory_high_watermark", "0.4")


def _no_rights(scene: Scene) -> None:
    """The city may not publish there for 20 s."""
    there = scene.upstream
    there.allow(write="^$")
    there.line.cut()
    scene.pause(20)
    there.allow()


def _forwarder_killed(scene: Scene) -> None:
    """Only who forwards, at any moment: between a send and its note too."""
    for _ in range(10):
        scene.pause(scene.random.uniform(1.0, 3.0))
        for pid in _forwarders(scene):
            scene.note(f"kill -9 of the forwarder {pid}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _forwarders(scene: Scene) -> list[int]:
    return [pid for pid in scene.supervisor.workers if FORWARDS in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _all_killed(scene: Scene) -> None:
    """While the province is away: what waits is in the database, and nowhere else."""
    scene.upstream.line.refusing = True
    scene.upstream.line.cut()
    for _ in range(3):
        scene.pause(6)
        scene.note("kill -9")
        scene.supervisor.signal(signal.SIGKILL)
    scene.await_daemons()
    scene.upstream.line.heal()


FAULTS = tuple(
    replace(fault, upstream=True)
    for fault in (
        Fault(
            "upstream stopped",
            "F28",
            "the province's RabbitMQ is away for 40 s, and back in full traffic",
            _stopped,
            felt=AWAY,
        ),
        Fault("upstream killed", "F28", "kill -9 of the province's RabbitMQ, 3 times", _killed, felt=AWAY),
        Fault("upstream cut", "F28 F30", "RST on the way to the province, 25 times", _cut, felt='"event": "trouble"'),
        Fault(
            "upstream refuses",
            "F28",
            "connections to the province are refused for 25 s",
            _refused,
            short=(SQLITE,),
            felt=AWAY,
        ),
        Fault("upstream silent", "F28 F29", "no bytes either way, no FIN, until the breaker opens", _silent, felt=AWAY),
        Fault(
            "upstream slow",
            "F28",
            "slower than the load for 25 s, then no confirm in time until the breaker opens",
            _slow,
            _impatient,
            felt=AWAY,
        ),
        Fault(
            "upstream confirms lost",
            "F28 F31",
            "copies arrive, their confirms do not: for 7 s, then until the breaker opens",
            _mute,
            _impatient,
            felt=AWAY,
        ),
        Fault(
            "upstream without queue",
            "F23 F28",
            "the province's exchange leads to no queue for 20 s",
            _no_queue,
            _unbound,
            felt='"fate": "returned"',
        ),
        Fault(
            "upstream full",
            "F25 F28",
            "the province's queue refuses more than 20 messages for 20 s; then its limit is taken away",
            _full,
            felt='"fate": "refused"',
        ),
        Fault(
            "upstream alarm",
            "F19 F28",
            "the province's memory alarm, until the breaker opens and 10 s more",
            _alarm,
            _impatient,
            felt="an alarm of its RabbitMQ",
        ),
        Fault(
            "upstream rights taken",
            "F27 F28",
            "nothing may be published at the province for 20 s",
            _no_rights,
            felt=AWAY,
        ),
        Fault(
            "forwarder killed",
            "F1 F28",
            "kill -9 of the process that forwards, 10 times",
            _forwarder_killed,
            felt='"event": "process died',
        ),
        Fault(
            "killed with a backlog",
            "F1 F28",
            "kill -9 of all processes, 3 times, while the province is away",
            _all_killed,
            felt=AWAY,
            deaths=3,
        ),
    )
)
