"""The daemon dies, stops, hangs, or comes twice."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.chaos.frame import Fault
from tests.chaos.scene import POSTGRESQL, SQLITE, Scene
from tests.chaos.supervisor import ALONE, Start
from tests.chaos.traffic import message
from tests.process.house import INTEGRATOR

BEFORE_COMMIT = ("taken", "decided", "reconciled", "recorded")
GROUPS = Path("/sys/fs/cgroup/memory")  # of cgroup v1
OUT_OF_MEMORY, LARGE, BYTES = 4, 10, 2_000_000  # times; messages that fill the memory each time, and the size of each
SPARE = 4 << 20  # bytes that are left before
# A batch of 5 has ten copies, messages and receipts: its first, its middle, its last.
WITHIN_A_BATCH = ("table-recorded", "copy-handed-over", "copy-confirmed")
OF_A_BATCH = (1, 5, 10)
AFTER_COMMIT = ("committed", "published", "settled", "acknowledged")


def _doomed(scene: Scene, points: tuple[str, ...], passes: tuple[int, ...] = (1, 2, 3)) -> None:
    """One start for each point and each of its passes, in batches of 5; then an ordinary one."""
    scene.supervisor.script = [
        Start(arguments=ALONE, environment={"SWX_CRASH_AT": f"{point}:{number}", "SWX_BATCH": "5"})
        for number in passes
        for point in points
    ]


def _until_script_is_done(scene: Scene, seconds: float = 900) -> None:
    scene.until(lambda: not scene.supervisor.script, "all doomed daemons to die", seconds)


def _kill_at_random(scene: Scene) -> None:
    for _ in range(12):
        scene.pause(scene.random.uniform(0.8, 3.0))
        scene.note("kill -9")
        scene.supervisor.signal(signal.SIGKILL)


def _terminate(scene: Scene) -> None:
    """SIGTERM twice, again and again, each in the middle of the load."""
    for _ in range(6):
        scene.await_daemons()
        scene.pause(scene.random.uniform(0.2, 2.0))
        scene.note("SIGTERM twice")
        asked = scene.supervisor.processes
        scene.supervisor.signal(signal.SIGTERM)
        scene.supervisor.signal(signal.SIGTERM)
        _await_end(scene, asked)


def _await_end(scene: Scene, processes: list[subprocess.Popen[bytes]]) -> None:
    scene.until(lambda: all(process.poll() is not None for process in processes), "the daemons to end", 60)


def _hang_up(scene: Scene) -> None:
    """1,000 times SIGHUP in 5 s."""
    for _ in range(1000):
        scene.supervisor.signal(signal.SIGHUP)
        scene.pause(0.005)


def _freeze(scene: Scene) -> None:
    """Longer than the broker waits for a heartbeat."""
    scene.supervisor.signal(signal.SIGSTOP)
    scene.pause(50)
    scene.supervisor.signal(signal.SIGCONT)


def _restart_loop(scene: Scene) -> None:
    for _ in range(20):
        scene.pause(2)
        scene.supervisor.signal(signal.SIGKILL)


def _few_files(scene: Scene) -> None:
    """No descriptor is left: the connections are cut, and new ones cannot be opened."""
    pids = scene.supervisor.workers
    for pid in pids:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{pid}/fd").iterdir())) - 2, 4096))
    scene.to_broker.cut()
    scene.pause(8)
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended, which its row will say
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, 4096))


def _in_a_group(scene: Scene) -> None:
    """Daemons start in a control group, whose memory can be limited."""
    group = _group(scene)
    group.mkdir()

    def away() -> None:
        scene.supervisor.stop()
        group.rmdir()

    scene.at_end(away)
    join = ("sh", "-c", f'echo $$ > "{group}/cgroup.procs" && exec "$@"', "sh")
    scene.supervisor.plain = Start(prefix=join)


def _group(scene: Scene) -> Path:
    return GROUPS / f"swx-chaos-{os.getpid()}-{scene.vhost}"


def _out_of_memory(scene: Scene) -> None:
    """What is left is little, and large messages come; the kernel kills what needs most. Then there is enough again."""
    usual, limit = _unreclaimable(scene), _group(scene) / "memory.limit_in_bytes"
    for number in range(OUT_OF_MEMORY):
        # A daemon that was killed, or the one of its processes that was, is there again.
        scene.until(lambda: _unreclaimable(scene) > 0.8 * usual, "the daemon to need its memory")
        scene.await_daemons()
        scene.pause(scene.random.uniform(0.5, 2.0))
        kills = _kills(scene)
        limit.write_text(str(_unreclaimable(scene) + SPARE))
        scene.note(f"memory limited to {limit.read_text().strip()} bytes")
        bodies = [f"{number} {n} ".encode() + b"x" * BYTES for n in range(LARGE)]
        scene.sender.post([message(INTEGRATOR, body, "rejected") for body in bodies])
        scene.until(lambda k=kills: _kills(scene) > k, "the kernel to kill")  # type: ignore[misc]
        limit.write_text("-1")


def _unreclaimable(scene: Scene) -> int:
    stat = dict(line.split() for line in (_group(scene) / "memory.stat").read_text().splitlines())
    return int((_group(scene) / "memory.usage_in_bytes").read_text()) - int(stat["cache"])


def _kills(scene: Scene) -> int:
    told = dict(line.split() for line in (_group(scene) / "memory.oom_control").read_text().splitlines())
    return int(told["oom_kill"])


FAULTS = (
    Fault(
        "crash before the commit",
        "F1",
        "the process dies at each of 4 points before the commit, in the 1st, 2nd and 3rd batch",
        _until_script_is_done,
        lambda scene: _doomed(scene, BEFORE_COMMIT),
        deaths=12,
        rate=10,
    ),
    Fault(
        "crash after the commit",
        "F2 F3",
        "the process dies at each of 4 points after the commit, in the 1st, 2nd and 3rd batch",
        _until_script_is_done,
        lambda scene: _doomed(scene, AFTER_COMMIT),
        short=(SQLITE,),
        deaths=12,
        rate=10,
    ),
    Fault(
        "crash within a batch",
        "F1 F2 F3",
        "the process dies at the 1st, 5th and 10th table, copy handed over and confirm",
        _until_script_is_done,
        lambda scene: _doomed(scene, WITHIN_A_BATCH, OF_A_BATCH),
        deaths=9,
        rate=10,
    ),
    Fault(
        "kill -9 at random",
        "F1 F2 F3 F11",
        "two daemons, all killed together 12 times at moments that the seed chooses",
        _kill_at_random,
        daemons=2,
        short=(POSTGRESQL,),
        deaths=20,
    ),
    Fault("SIGTERM twice", "F5", "6 times, in the middle of the load", _terminate, felt='"event": "stopping"'),
    Fault("SIGHUP storm", "F6", "1,000 in 5 s", _hang_up, databases=(SQLITE,)),
    Fault(
        "SIGSTOP",
        "F7",
        "50 s, longer than the broker waits for heartbeats; then SIGCONT",
        _freeze,
        rate=20,
        felt='"event": "trouble"',
    ),
    Fault(
        "no descriptors",
        "F9",
        "connections cut, and no file descriptor is left for 8 s",
        _few_files,
        felt='"event": "trouble"',
        databases=(SQLITE,),
    ),
    Fault(
        "out of memory",
        "F8",
        f"the kernel kills the daemon at its control group's limit, {OUT_OF_MEMORY} times, while large messages come",
        _out_of_memory,
        _in_a_group,
        databases=(SQLITE,),
        needs_root=True,
    ),
    Fault("restart loop", "F12", "kill -9 every 2 s, 20 times", _restart_loop, rate=20, deaths=15, databases=(SQLITE,)),
)
