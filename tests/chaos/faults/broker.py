"""RabbitMQ and the way to it: stopped, killed, full, changed, silent."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pika

from tests import rabbit
from tests.chaos import evidence
from tests.chaos.frame import Fault
from tests.chaos.scene import POSTGRESQL, SQLITE, Scene
from tests.process.house import CENTRE, CUSTOMS


def _ctl(scene: Scene, *arguments: str) -> None:
    scene.note("rabbitmqctl " + " ".join(arguments))
    scene.lab.broker.ctl(*arguments)


def _topology_again(scene: Scene) -> None:
    done = scene.house.cli("topology", "apply")
    if done.returncode:
        raise RuntimeError(done.stderr)


def _app_stopped(scene: Scene) -> None:
    _ctl(scene, "stop_app")
    scene.pause(4)
    _ctl(scene, "start_app")


def _killed(scene: Scene) -> None:
    scene.note("kill -9 of RabbitMQ")
    scene.lab.broker.kill()
    scene.pause(2)
    start_node(scene)


def start_node(scene: Scene) -> None:
    """Start the lane's node again, where it was."""
    port = scene.lab.broker.state()["port"]
    rabbit.start(scene.lab.broker.folder, "--plugins", "rabbitmq_management", "--port", str(port))


def _connections_closed(scene: Scene) -> None:
    for _ in range(10):
        _ctl(scene, "close_all_connections", "--vhost", scene.vhost, "chaos")
        scene.pause(scene.random.uniform(0.2, 1.5))


def _alarm(on: tuple[str, str], off: tuple[str, str]) -> Callable[[Scene], None]:
    def alarm(scene: Scene) -> None:
        """Raised while the daemon has messages to take: the sender is blocked as it is."""
        scene.supervisor.signal(signal.SIGSTOP)
        scene.pause(1)
        _ctl(scene, *on)
        scene.supervisor.signal(signal.SIGCONT)
        scene.pause(20)
        _ctl(scene, *off)

    return alarm


_memory_alarm = _alarm(("set_vm_memory_high_watermark", "0.0001"), ("set_vm_memory_high_watermark", "0.4"))
_disk_alarm = _alarm(("set_disk_free_limit", "999GB"), ("set_disk_free_limit", "50MB"))


def _intake_deleted(scene: Scene) -> None:
    """Deleted while it is empty: what a deletion takes with it, nobody can give back."""
    rate, scene.sender.rate = scene.sender.rate, 0
    scene.until(lambda: is_idle(scene), "an empty intake")
    _ctl(scene, "delete_queue", evidence.INTAKE, "--vhost", scene.vhost)
    scene.sender.rate = rate
    scene.pause(6)
    _topology_again(scene)


def is_idle(scene: Scene) -> bool:
    """Whether all that was acknowledged is recorded, and the intake empty."""
    recorded = scene.history.acknowledged.keys() <= scene.database.recorded()
    return recorded and evidence.depth(scene.url, evidence.INTAKE) == 0


def _without_second_receiver(scene: Scene) -> None:
    del scene.mix.shares["two_receivers"]
    with closing(pika.BlockingConnection(pika.URLParameters(scene.url))) as link:
        link.channel().queue_delete(f"swx.inbox.{CENTRE}")


def _inbox_missing(scene: Scene) -> None:
    scene.mix.shares["two_receivers"] = 30
    scene.pause(8)
    _topology_again(scene)


def _inbox_hangs(scene: Scene) -> None:
    with scene.lab.broker.hanging(scene.vhost, f"swx.inbox.{CUSTOMS}"):
        scene.note("an inbox hangs")
        scene.pause(20)


def _unbound(scene: Scene) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(scene.url))) as link:
        channel = link.channel()
        exchanges = [f"swx.outbox.{queue.rpartition('.')[2]}" for queue in scene.queues()]
        for exchange in exchanges:
            channel.queue_unbind(evidence.INTAKE, exchange)
        scene.pause(6)
        for exchange in exchanges:
            channel.queue_bind(evidence.INTAKE, exchange)


def _full(queue: str) -> Any:
    def full(scene: Scene) -> None:
        """The queue's policy refuses more than 20 messages."""
        scene.lab.broker.manage(
            "PUT",
            *("policies", scene.vhost, "small"),
            **{"pattern": f"^{queue}$", "definition": {"max-length": 20}, "apply-to": "queues", "priority": 1},
        )
        scene.pause(10)
        scene.lab.broker.manage("DELETE", "policies", scene.vhost, "small")

    return full


def _no_rights(scene: Scene) -> None:
    """The daemon's user loses its rights, its password and its connections; then gets them back."""
    permissions = ("permissions", scene.vhost, "swexchange")
    scene.lab.broker.manage("DELETE", *permissions)
    scene.to_broker.cut()
    scene.pause(6)
    scene.lab.broker.manage("PUT", *permissions, configure="^$", write=r"^amq\.default$", read=r"^swx\.intake$")
    scene.lab.broker.manage("PUT", "users", "swexchange", password="another", tags="")
    scene.to_broker.cut()
    scene.pause(6)
    scene.lab.broker.manage("PUT", "users", "swexchange", password="chaos", tags="")


def _own_user(scene: Scene) -> None:
    """The daemon as a user of its own, with the documented rights alone."""
    scene.lab.broker.manage("PUT", "users", "swexchange", password="chaos", tags="")
    permissions = {"configure": "^$", "write": r"^amq\.default$", "read": r"^swx\.intake$"}
    scene.lab.broker.manage("PUT", "permissions", scene.vhost, "swexchange", **permissions)
    url = f"amqp://swexchange:chaos@127.0.0.1:{scene.to_broker.port}/{scene.vhost}"
    scene.supervisor.plain.environment = {"SWX_AMQP_URL": url}


def _cut_often(scene: Scene) -> None:
    for _ in range(15):
        scene.pause(scene.random.uniform(0.1, 1.2))
        scene.note("RST")
        scene.to_broker.cut()


def _refused(scene: Scene) -> None:
    scene.to_broker.refusing = True
    scene.to_broker.cut()
    scene.pause(15)
    scene.to_broker.heal()


def _silent(scene: Scene) -> None:
    """All bytes vanish both ways, no FIN: only heartbeats can tell."""
    scene.to_broker.swallow_to_server = scene.to_broker.swallow_to_client = True
    scene.pause(45)
    scene.to_broker.heal()


def _slow(scene: Scene) -> None:
    """Pieces of 7 bytes, then late, then cut inside a frame."""
    scene.to_broker.piece = 7
    scene.pause(6)
    scene.to_broker.piece, scene.to_broker.delay = 65536, 0.2
    scene.pause(6)
    scene.to_broker.piece, scene.to_broker.delay = 7, 0.0
    scene.pause(1)
    scene.to_broker.cut()
    scene.to_broker.heal()


def _mute(scene: Scene) -> None:
    """The outlet's connection gets no answers: the copies are there, their confirms are not."""
    for _ in range(2):
        scene.to_broker.mute = b"swexchange outlet"
        scene.pause(7)
        scene.to_broker.heal()
        scene.pause(3)


def _impatient(scene: Scene) -> None:
    scene.supervisor.plain.environment = {"SWX_CONFIRM_SECONDS": "3"}


FAULTS = (
    Fault(
        "connections closed",
        "F14",
        "`rabbitmqctl close_all_connections`, 10 times",
        _connections_closed,
        felt='"event": "trouble"',
        databases=(SQLITE,),
    ),
    Fault(
        "broker stopped",
        "F14",
        "`rabbitmqctl stop_app`, 4 s, `start_app`",
        _app_stopped,
        felt='"event": "trouble"',
        databases=(SQLITE,),
    ),
    Fault(
        "broker killed",
        "F15",
        "kill -9 of the Erlang machine, and started again",
        _killed,
        short=(SQLITE,),
        felt='"event": "trouble"',
    ),
    Fault("connections cut", "F14 F30", "RST in the middle of frames, 15 times", _cut_often, felt='"event": "trouble"'),
    Fault(
        "broker refuses",
        "F14",
        "connections refused for 15 s",
        _refused,
        felt='"event": "trouble"',
        databases=(SQLITE,),
    ),
    Fault("memory alarm", "F19 F21", "20 s", _memory_alarm, databases=(SQLITE,), felt='"fate": "unknown"'),
    Fault("disk alarm", "F20 F21", "20 s", _disk_alarm, databases=(SQLITE,), felt='"fate": "unknown"'),
    Fault(
        "intake deleted",
        "F22",
        "the consumer's queue is deleted, and declared again after 6 s",
        _intake_deleted,
        felt='"event": "trouble"',
        databases=(SQLITE,),
    ),
    Fault(
        "inbox missing",
        "F23",
        "a receiver's queue does not exist for 8 s while messages go to it",
        _inbox_missing,
        _without_second_receiver,
        felt='"fate": "returned"',
    ),
    Fault(
        "inbox hangs",
        "F23 F31",
        "a receiver's queue confirms nothing for 20 s while messages go to it",
        _inbox_hangs,
        _impatient,
        felt=f"to swx.inbox.{CUSTOMS}",
    ),
    Fault("outboxes unbound", "F24", "6 s: senders' messages are returned to them", _unbound, databases=(SQLITE,)),
    Fault(
        "inbox full",
        "F25",
        "`max-length` of 20 with reject-publish for 10 s; then the limit is taken away, and nobody reads",
        _full(f"swx.inbox.{CUSTOMS}"),
        felt='"fate": "refused"',
        databases=(SQLITE,),
    ),
    Fault(
        "intake full",
        "F25",
        "the same at the intake: senders are refused",
        _full(evidence.INTAKE),
        rate=150,
        databases=(SQLITE,),
    ),
    Fault(
        "rights taken",
        "F27",
        "the daemon's user loses its rights, then its password",
        _no_rights,
        _own_user,
        felt='"event": "trouble"',
        databases=(SQLITE,),
    ),
    Fault("silent broker", "F29", "no bytes either way for 45 s, no FIN", _silent, rate=20, felt='"event": "trouble"'),
    Fault(
        "slow network",
        "F30",
        "pieces of 7 bytes, 0.2 s of delay, cut inside a frame",
        _slow,
        felt='"event": "trouble"',
        databases=(SQLITE,),
    ),
    Fault(
        "confirms lost",
        "F31",
        "the publishing connection gets no answers for 7 s, twice",
        _mute,
        _impatient,
        short=(POSTGRESQL,),
        felt="did not confirm within",
    ),
)
