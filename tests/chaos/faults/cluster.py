"""Three nodes: one dies, one is cut off, the network flaps, the majority is gone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.chaos.cluster import Cluster, Node
from tests.chaos.evidence import INTAKE
from tests.chaos.frame import Fault
from tests.chaos.scene import POSTGRESQL, SQLITE, Scene


def _cluster(scene: Scene) -> Cluster:
    assert isinstance(scene.lab.broker, Cluster)
    return scene.lab.broker


def _leader(scene: Scene) -> Node:
    return _cluster(scene).leader(scene.vhost, INTAKE)


def _follower(scene: Scene) -> Node:
    leader = _leader(scene)
    return next(node for node in _cluster(scene).nodes if node is not leader)


def _connected_to_leader(scene: Scene) -> None:
    """Everybody's connections go to the node that leads the intake, the one that the fault takes."""
    _cluster(scene).prefer(_leader(scene))


def _killed(victim: Callable[[Scene], Node], scene: Scene) -> None:
    node = victim(scene)
    scene.note(f"kill -9 of {node.name}")
    node.kill()
    scene.pause(20)
    node.start()
    node.await_up()


def _unplugged(seconds: float, scene: Scene) -> None:
    """The node with the intake's leader and all connections: no FIN, no RST, nothing."""
    node = _leader(scene)
    scene.note(f"{node.name} is unplugged")
    node.connect(False)
    scene.pause(seconds)
    node.connect(True)
    _await_whole(scene)


def _flapping(scene: Scene) -> None:
    node = _leader(scene)
    for _ in range(6):
        node.connect(False)
        scene.pause(3)
        node.connect(True)
        scene.pause(3)
    _await_whole(scene)


def _all_apart(scene: Scene) -> None:
    """No two nodes see each other: there is no majority anywhere."""
    nodes = _cluster(scene).nodes
    for node in nodes:
        node.connect(False)
    scene.pause(25)
    for node in nodes:
        node.connect(True)
    _await_whole(scene)


def _two_killed(scene: Scene) -> None:
    dead = [_leader(scene), _follower(scene)]
    for node in dead:
        node.kill()
    scene.pause(15)
    for node in dead:
        node.start()
    for node in dead:
        node.await_up()


def _await_whole(scene: Scene) -> None:
    """pause_minority starts nodes again by itself once they see each other."""
    for node in _cluster(scene).nodes:
        node.await_up()


FAULTS = tuple(
    Fault(
        name,
        catalogue,
        what,
        during,
        _connected_to_leader,
        clustered=True,
        needs_root=True,
        databases=databases,
        rate=30,
        deadline=240,
    )
    for name, catalogue, what, during, databases in (
        ("leader killed", "F16", "kill -9, back after 20 s", partial(_killed, _leader), (SQLITE, POSTGRESQL)),
        ("follower killed", "F16", "kill -9, back after 20 s", partial(_killed, _follower), (SQLITE,)),
        ("two nodes killed", "F16", "kill -9 of the majority, back after 15 s", _two_killed, (SQLITE,)),
        ("partition", "F17", "leader unplugged for 35 s", partial(_unplugged, 35), (SQLITE, POSTGRESQL)),
        ("all apart", "F17", "no two nodes see each other for 25 s", _all_apart, (SQLITE,)),
        ("flapping", "F18", "the leader 3 s off, 3 s on, 6 times", _flapping, (SQLITE,)),
    )
)
