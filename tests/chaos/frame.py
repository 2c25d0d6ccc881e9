"""Runs one fault: load before, during and after; drain; collect; check. The fault itself is a small thing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pika.exceptions
import psycopg

from tests.chaos import evidence
from tests.chaos.checker import Verdict, check, lanes
from tests.chaos.evidence import Evidence
from tests.chaos.history import attempted
from tests.chaos.province import SENDS
from tests.chaos.scene import POSTGRESQL, SQLITE, Lab, Scene, opened
from tests.chaos.supervisor import Size

BEFORE, AFTER = 2.0, 2.0  # seconds of load around the fault
KILLED, STOPPED = -9, 0
IN_ORDER = 5  # messages that one lane at least must have, for its order to prove anything
GROWTH = 3  # sizes of the log that must have been seen, for its growth to prove anything
ROOM = Size(files=12, threads=6, resident_mb=250)  # how much more than before the fault a daemon may hold after it


def _nothing(_scene: Scene) -> None:
    """No preparation."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that can go wrong. `during` injects it and heals it while the load runs."""

    name: str
    catalogue: str  # numbers of the fault catalogue
    what: str
    during: Callable[[Scene], None]
    prepare: Callable[[Scene], None] = _nothing  # before the daemons start
    databases: tuple[str, ...] = (SQLITE, POSTGRESQL)
    short: tuple[str, ...] = ()  # with which databases it is part of the short form
    rate: float = 40.0  # messages a second
    daemons: int = 1
    deadline: float = 300.0  # seconds to drain
    exits: tuple[int, ...] = ()  # further exit codes that are in order
    felt: str = ""  # what the daemons' logs must say afterwards: else the fault did not reach them
    deaths: int = 0  # how many daemons must have been killed
    editions: int = 1  # of the rules, that may come into force
    clustered: bool = False  # three nodes
    needs_root: bool = False  # it mounts a disk, or makes networks
    upstream: bool = False  # the province has a broker of its own, and is behind an upstream


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a fault with a database."""

    fault: Fault
    database: str
    verdict: Verdict
    drained_in: float  # seconds from the end of the load
    seconds: float

    @property
    def name(self) -> str:
        """The fault and the database."""
        return name_of(self.fault, self.database)


def name_of(fault: Fault, database: str) -> str:
    """What a row is called."""
    return f"{fault.name} ({database})"


def run(fault: Fault, database: str, lab: Lab, seed: int) -> Row:
    """Run a fault to its verdict; what goes wrong with the run itself is a broken row, too."""
    began = time.monotonic()
    try:
        verdict, drained_in = _judged(fault, database, lab, seed)
    except Exception as error:  # noqa: BLE001 - the other rows go on
        verdict, drained_in = Verdict(broken=[f"not run to its end: {error!r}"]), 0.0
    return Row(fault, database, verdict, drained_in, time.monotonic() - began)


def _judged(fault: Fault, database: str, lab: Lab, seed: int) -> tuple[Verdict, float]:
    with opened(
        lab, database, f"{seed}/{fault.name}/{database}", fault.rate, fault.daemons, upstream=fault.upstream
    ) as scene:
        fault.prepare(scene)
        scene.supervisor.start()
        if not scene.supervisor.script:  # else it is meant to die early
            scene.await_daemons()
        scene.sender.rate = fault.rate
        if scene.there:
            scene.there.sender.rate = SENDS
        scene.pause(BEFORE)
        before = scene.supervisor.size() if scene.supervisor.ready() else None
        scene.note(fault.name)
        fault.during(scene)
        scene.note("healed")
        scene.pause(AFTER)
        _await_growth(scene)
        scene.sender.stop()
        if scene.there:
            scene.there.sender.stop()
        troubles: list[str] = []
        drained_in = _await_rest(scene, fault.deadline, troubles)
        troubles += _grown(before, scene.supervisor.size())
        troubles += _bad_ends(scene, fault)
        troubles += _not_felt(scene, fault)
        found = _collect(scene, troubles, fault.editions)
        if fault.upstream and max(map(len, lanes(found).values()), default=0) < IN_ORDER:
            troubles.append(f"the fault was not felt: no lane had {IN_ORDER} messages")
        return check(found), drained_in


def _await_growth(scene: Scene) -> None:
    """Let the load run until the log was seen to grow; `_collect` tells where it never does.

    On a busy machine a daemon that loses its database again and again may hardly seal before it is healed.
    """
    with suppress(RuntimeError):
        scene.until(lambda: len(scene.log.checkpoints) >= GROWTH, "the log to grow", 60)


def _await_rest(scene: Scene, deadline: float, troubles: list[str]) -> float:
    """Until all that was acknowledged is recorded and sealed, and nothing is open; I10 is broken where that is late."""
    began = time.monotonic()
    while not _at_rest(scene):
        if time.monotonic() > began + deadline:
            troubles.append(f"I10: not at rest after {deadline:g} s: {_what_is_open(scene)}")
            break
        time.sleep(0.3)
    return time.monotonic() - began


def _at_rest(scene: Scene) -> bool:
    try:
        return (
            not scene.supervisor.script
            and evidence.depth(scene.url, evidence.INTAKE) == 0
            and scene.history.acknowledged.keys() <= scene.database.recorded()
            and scene.database.open_ends() == 0
            and scene.database.unsealed() == 0
        )
    except (sqlite3.Error, psycopg.Error, pika.exceptions.AMQPError, OSError):
        return False


def _what_is_open(scene: Scene) -> str:
    try:
        missing = len(scene.history.acknowledged.keys() - scene.database.recorded())
        ready = evidence.depth(scene.url, evidence.INTAKE)
        left = f"{scene.database.open_ends()} open, {scene.database.unsealed()} not sealed"
        return f"{missing} not recorded, {left}, {ready} ready in the intake"
    except (sqlite3.Error, psycopg.Error, pika.exceptions.AMQPError, OSError) as error:
        return repr(error)


def _grown(before: Size | None, after: Size | None) -> list[str]:
    """I11: nothing leaked."""
    if before is None or after is None:
        return []
    return [
        f"I11: {name} {was} -> {now}"
        for name, was, now, room in (
            ("files", before.files, after.files, ROOM.files),
            ("threads", before.threads, after.threads, ROOM.threads),
            ("MB", before.resident_mb, after.resident_mb, ROOM.resident_mb),
        )
        if now > was + room
    ]


def _bad_ends(scene: Scene, fault: Fault) -> list[str]:
    """I10: no daemon ended by itself, and all stop when asked."""
    ends = [*scene.supervisor.exits, *scene.supervisor.stop()]
    bad = [code for code in scene.supervisor.exits if code not in (KILLED, STOPPED, *fault.exits)]
    bad += [code for code in ends[len(scene.supervisor.exits) :] if code != STOPPED]
    return [f"I10: daemons ended with {bad}"] if bad else []


def _not_felt(scene: Scene, fault: Fault) -> list[str]:
    """A fault that did not reach the daemon proves nothing."""
    killed = scene.supervisor.exits.count(KILLED)
    missing = [f"{killed} of {fault.deaths} daemons were killed"] if killed < fault.deaths else []
    if not any(fault.felt in log.read_text("utf-8", "replace") for log in scene.supervisor.logs):
        missing.append(f"no log says {fault.felt!r}")
    return [f"the fault was not felt: {what}" for what in missing]


def _collect(scene: Scene, troubles: list[str], editions: int) -> Evidence:
    left = [found.digest for found in evidence.drain(scene.url, [evidence.INTAKE])]
    came = scene.there.read() if scene.there else []
    left += scene.there.left() if scene.there else []
    exchanges, copies, events = scene.database.read()
    if len(scene.log.checkpoints) < GROWTH:
        troubles.append(f"the log was seen at {len(scene.log.checkpoints)} sizes only")
    return Evidence(
        inputs=attempted(scene.history.path),
        drained=[*scene.taken, *came, *evidence.drain(scene.url, scene.queues())],
        exchanges=exchanges,
        copies=copies,
        events=events,
        left_in_intake=left,
        platform_keys=scene.platform_keys(),
        log=scene.log.proved(scene.database.checkpoints()),
        logs=scene.supervisor.logs,
        secrets=scene.secrets(),
        troubles=troubles,
        editions=editions,
    )
