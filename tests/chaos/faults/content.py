"""What senders send: hostile, huge, lying, again and again."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace

from tests import hostile
from tests.chaos.frame import Fault
from tests.chaos.scene import SQLITE, Scene
from tests.chaos.supervisor import children
from tests.chaos.traffic import message
from tests.process.house import INTEGRATOR
from tests.world import LIMIT

LIES: tuple[dict[str, object], ...] = (
    {"content_type": "application/json", "content_encoding": "gzip"},
    {"reply_to": "swx.intake", "correlation_id": "x" * 255},
    {"type": "DxpRep", "app_id": "swexchange", "message_id": "0" * 40},
    {"headers": {"CC": ["swx.intake"], "BCC": ["swx.intake"], "x-death": [{"count": 9}], "swx-exchange": "0" * 32}},
    {"headers": {f"h{n}": "x" * 100 for n in range(500)}},
    {"priority": 255, "delivery_mode": 1, "expiration": "3600000"},
    {"timestamp": 2**62, "cluster_id": "x"},
    {"message_id": '\u202e\x1b[31m\r\n{"event": "forged"}', "type": "\x00"},
)


def _hostile(scene: Scene) -> None:
    """Every body of the collection through an integrator's outbox."""
    bodies = [one.build() for one in (*hostile.SMALL, *hostile.LARGE)]
    scene.sender.post([message(INTEGRATOR, body, "rejected") for body in bodies])
    scene.sender.flush()


def _sizes(scene: Scene) -> None:
    """Nothing, one byte, just at, just over and far over the limit."""
    sizes = (0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT, 5 * LIMIT)
    scene.sender.post([message(INTEGRATOR, b"x" * size, "rejected") for size in sizes])
    scene.sender.flush()


def _again(scene: Scene) -> None:
    """One message 1,000 times; then 50 other contents under its id."""
    first = scene.mix.declaration()
    scene.sender.post([first] * 1000)
    number = first.input.message_id
    for n in range(50):
        body = scene.house.declaration(number, keys={"Other": str(n)})
        scene.sender.post([message(INTEGRATOR, body, "claims", scene.mix.to_customs, number, INTEGRATOR)])
    scene.sender.flush()


def _lies(scene: Scene) -> None:
    """Good messages whose AMQP properties say something else."""
    for properties in LIES * 10:
        scene.sender.post([replace(scene.mix.declaration(), properties=properties)])
    scene.sender.flush()


def _invalid_mostly(scene: Scene) -> None:
    scene.mix.shares["invalid"] = 60


def _explainer_dies(scene: Scene) -> None:
    """The child that explains what is invalid is killed, then hangs, in the middle of its work."""
    for number in [signal.SIGKILL] * 6 + [signal.SIGSTOP] * 2:
        scene.pause(1)
        for worker in scene.supervisor.workers:
            for child in children(worker):
                with suppress(ProcessLookupError):
                    os.kill(child, number)


FAULTS = (
    Fault(
        "hostile bodies",
        "F50 F54 F55 F56",
        f"{len(hostile.SMALL) + len(hostile.LARGE)} bodies: bombs, depth, encodings, entities, 1,000,000 elements",
        _hostile,
        rate=20,
        databases=(SQLITE,),
    ),
    Fault("sizes", "F54", "from 0 bytes to five times the limit of 8 MiB", _sizes, rate=20, databases=(SQLITE,)),
    Fault("again and again", "F51", "the same bytes 1,000 times, 50 other contents under its id", _again, rate=20),
    Fault("lying properties", "F57", "good messages with AMQP properties that lie, 80", _lies, databases=(SQLITE,)),
    Fault(
        "explainer dies",
        "F10",
        "the child that explains invalid documents is killed 6 times, then hangs twice",
        _explainer_dies,
        _invalid_mostly,
        rate=20,
        databases=(SQLITE,),
    ),
)
