"""An older state comes back: of the database, of the broker."""

from __future__ import annotations

import json
import shutil
import signal

from tests.chaos import evidence
from tests.chaos.faults.broker import is_idle, start_node
from tests.chaos.frame import Fault
from tests.chaos.receipts import prove
from tests.chaos.scene import SQLITE, Scene

REFUSED = "an older database was restored"
USAGE = 2  # the exit code of a daemon that no waiting can help


def _good_ones_alone(scene: Scene) -> None:
    """What the sender can send again as it was."""
    scene.mix.shares = {"declaration": 80, "two_receivers": 20}


def _database_restored(scene: Scene) -> None:
    """From a backup of 6 s ago; the daemon refuses; then the way out of docs/how-to/prove-an-exchange.md."""
    backup = str(scene.folder / "backup")
    _said(scene, "backup", backup)
    seen = len(scene.log.checkpoints)
    scene.pause(6)
    scene.until(lambda: len(scene.log.checkpoints) > seen + 1, "the log to grow")
    _kill_all(scene)
    scene.note("the database is lost")
    _empty_database(scene)
    lost = json.loads(_said(scene, "restore", backup, "--database-only", "--json"))["log_entries_lost"]
    if not lost:
        raise RuntimeError("nothing was lost")
    restored = scene.database.recorded()
    scene.supervisor.start()
    scene.until(lambda: any(REFUSED.encode() in log.read_bytes() for log in scene.supervisor.logs), REFUSED)
    scene.supervisor.hold()
    scene.until(lambda: not scene.supervisor.processes, "the daemon to end")
    if scene.database.recorded() != restored:
        raise RuntimeError("a daemon that refuses the database has written to it")
    _go_on(scene)


def _go_on(scene: Scene) -> None:
    """Under another name of the log; all that was sent since is sent again, its receipts of that time are void."""
    ids = {exchange.exchange_id for exchange in scene.database.read()[0]}
    receipts = evidence.drain(scene.url, [queue for queue in scene.queues() if "receipts" in queue])
    keys = scene.platform_keys()
    scene.taken += [found for found in receipts if prove(found.body, keys).exchange_id in ids]
    scene.log.rename()
    scene.supervisor.plain.environment = scene.log.environment
    recorded = scene.database.recorded()
    again = [message for message in scene.mix.known if message.input.key not in recorded]
    scene.note(f"{len(again)} messages are sent again")
    scene.sender.post(again)
    scene.supervisor.start()
    scene.await_daemons()
    scene.sender.flush()


def _said(scene: Scene, *arguments: str) -> str:
    done = scene.house.cli(*arguments, environment=scene.log.environment)
    if done.returncode:
        raise RuntimeError(f"swexchange {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def _kill_all(scene: Scene) -> None:
    """Every process of every daemon, and no new one."""
    scene.supervisor.hold()
    daemons = scene.supervisor.processes
    scene.supervisor.signal(signal.SIGKILL)
    for daemon in daemons:
        daemon.wait()


def _empty_database(scene: Scene) -> None:
    """A new one in the place of the old, which nobody looks at any more."""
    if scene.kind == SQLITE:
        place = scene.folder / "db"
        place.rename(scene.folder / "db.lost")
        place.mkdir()
    else:
        scene.lab.cluster.create(scene.house.database_url.rpartition("/")[2])


def _broker_restored(scene: Scene) -> None:
    """Its data as they were with a full intake; all of that was taken since, and comes again."""
    node, rate = scene.lab.broker, scene.sender.rate
    scene.supervisor.stop()
    scene.pause(4)
    _rest(scene)
    waiting = evidence.depth(scene.url, evidence.INTAKE)
    node.stop()
    shutil.copytree(node.folder / "data", scene.folder / "data.old")
    start_node(scene)
    scene.supervisor.start()
    scene.await_daemons()
    scene.sender.rate = rate
    scene.pause(5)
    _rest(scene)
    scene.until(lambda: is_idle(scene) and not scene.database.open_ends(), "everything to be sent")
    scene.taken += evidence.drain(scene.url, scene.queues())
    repeats = _repeats(scene)
    scene.note(f"the broker is as it was with {waiting} messages in its intake")
    node.kill()
    shutil.rmtree(node.folder / "data")
    shutil.move(scene.folder / "data.old", node.folder / "data")
    start_node(scene)
    scene.until(lambda: _repeats(scene) - repeats >= waiting > 0, f"{waiting} messages to come again")
    scene.sender.rate = rate


def _rest(scene: Scene) -> None:
    """The sender sends nothing more, and what it had in hand has arrived."""
    scene.sender.rate = 0
    scene.pause(1)


def _repeats(scene: Scene) -> int:
    return sum(event == "repeated" for _, event, _ in scene.database.read()[2])


FAULTS = (
    Fault(
        "database restored",
        "F42",
        "the database is one of 6 s ago; the daemon refuses it, and goes on under another name of the log",
        _database_restored,
        _good_ones_alone,
        rate=20,
        exits=(USAGE,),
        felt=REFUSED,
    ),
    Fault(
        "broker restored",
        "F34",
        "RabbitMQ's data are those of 20 s ago, with a full intake that was taken since",
        _broker_restored,
        databases=(SQLITE,),
        felt='"event": "trouble"',
    ),
)
