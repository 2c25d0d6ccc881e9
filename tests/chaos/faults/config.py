"""Time, rules, schemas, keys and logs: what admins and machines do wrong."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pika

from tests.chaos.frame import Fault
from tests.chaos.scene import SQLITE, Scene
from tests.chaos.supervisor import Start
from tests.process.house import CENTRE, CUSTOMS, ROOT

PROVINCE = "DXPGDP4400000001"
HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
JUMPS = (HOUR, -HOUR, YEAR, -200 * DAY)
EDITS = 1000


def _own_clock(scene: Scene) -> None:
    scene.supervisor.plain = Start(module="tests.chaos.clock", environment={"CHAOS_CLOCK": str(scene.folder / "clock")})


def _jumps(scene: Scene) -> None:
    """Forward and back, and standing still; then right again."""
    clock = scene.folder / "clock"
    frozen = f"frozen {datetime.now(UTC).isoformat()}"
    for said in [*map(str, JUMPS), frozen, ""]:
        scene.note(f"clock: {said or 'right'}")
        clock.write_text(said)
        scene.pause(4)


def _ahead_with_debts(scene: Scene) -> None:
    """While the clock is a year ahead, copies find no queue and the daemon is killed; then the clock is right."""
    with closing(pika.BlockingConnection(pika.URLParameters(scene.url))) as link:
        link.channel().queue_delete(f"swx.inbox.{CENTRE}")
    (scene.folder / "clock").write_text(str(YEAR))
    scene.mix.shares["two_receivers"] = 30
    scene.pause(4)
    scene.supervisor.signal(signal.SIGKILL)
    scene.await_daemons()
    scene.pause(2)
    (scene.folder / "clock").write_text("")
    done = scene.house.cli("topology", "apply")
    assert done.returncode == 0, done.stderr


def _nobody_at_the_centre(scene: Scene) -> None:
    del scene.mix.shares["two_receivers"]
    _own_clock(scene)


def _bad_edits(scene: Scene) -> None:
    """1,000 wrong files, one after the other, each with SIGHUP; at the end the good one again."""
    good = scene.house.routes.read_bytes()
    wrong = _wrong_rules(good)
    for number in range(EDITS):
        _replace(scene.house.routes, wrong[number % len(wrong)])
        scene.supervisor.signal(signal.SIGHUP)
        scene.pause(0.04)
    _replace(scene.house.routes, good)
    scene.supervisor.signal(signal.SIGHUP)


def _wrong_rules(good: bytes) -> Sequence[bytes | None]:
    """None stands for a folder in place of the file."""
    text = good.decode()
    return (
        b"routes: [",
        text.replace(f"- {CUSTOMS}", "- NOBODY0000000001", 1).encode(),
        good + b"\nversion: 1\n",
        b"",
        good[: len(good) // 2],
        None,
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 107)),
        text.replace("version: 1", "version: 2", 1).encode(),
        text.replace("public: ", "public: x", 1).encode(),
        b"\xff\xfe" + good,
        good + b"\nunknown: 1\n",
        text.replace("schema: dec/4.9.7/DecMessage.xsd", "schema: dec/9.9/DecMessage.xsd").encode(),
        text.replace("DecHead/dec:CustomMaster", "DecHead[", 1).encode(),
        b"x" * 5_000_000 + b": [",
    )


def _replace(path: Path, content: bytes | None) -> None:
    if path.is_dir():
        path.rmdir()
    if content is None:
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(content)


def _routes_change(scene: Scene) -> None:
    """The good rules and others that are good too, every 1.5 s; in between a wrong file."""
    good = scene.house.routes.read_text("utf-8")
    first = good.index("- name: cargo-declarations")
    other = good[:first] + good[first:].replace(f"- {CUSTOMS}", f"- {PROVINCE}", 1)
    for number in range(12):
        scene.house.routes.write_text((other, "routes: [", good)[number % 3], "utf-8")
        scene.pause(1.5)


def _either_way(scene: Scene) -> None:
    """A declaration may go to customs or to the province; an agency cannot answer what it did not get."""
    scene.mix.to_customs = ((CUSTOMS,), (PROVINCE,))
    del scene.mix.shares["answer"]


def _own_schemas(scene: Scene) -> None:
    shutil.copytree(ROOT / "schemas", scene.folder / "own-schemas")
    scene.supervisor.plain.environment = {"SWX_SCHEMAS": str(scene.folder / "own-schemas")}


def _schemas_broken(scene: Scene) -> None:
    path = scene.folder / "own-schemas/dec/4.9.7/DecMessage.xsd"
    good = path.read_bytes()
    imports = b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:import namespace="urn:x" '
    wrong = (good[:-200], b"", imports + b'schemaLocation="http://127.0.0.1:9/x.xsd"/></xs:schema>', b"<xs:schema/>")
    for content in wrong * 3:
        path.write_bytes(content)
        scene.supervisor.signal(signal.SIGHUP)
        scene.pause(1)
    path.unlink()
    scene.supervisor.signal(signal.SIGHUP)
    scene.pause(1)
    path.write_bytes(good)
    scene.supervisor.signal(signal.SIGHUP)


def _key_spoilt(scene: Scene) -> None:
    (path,) = (scene.folder / "keys").glob("platform-*.key")
    good = path.read_bytes()
    spoils: Sequence[Callable[[], object]] = (
        lambda: path.write_bytes(good[:10]),
        lambda: path.write_bytes(b""),
        lambda: path.chmod(0o644),
        path.unlink,
    )
    for spoil in spoils:
        path.touch(mode=0o600)
        path.write_bytes(good)
        spoil()
        scene.supervisor.signal(signal.SIGHUP)
        scene.pause(2)
    path.touch(mode=0o600)
    path.write_bytes(good)
    path.chmod(0o600)
    scene.supervisor.signal(signal.SIGHUP)


def _small_log(scene: Scene) -> None:
    place = scene.folder / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True)
    scene.at_end(lambda: subprocess.run(["umount", "--lazy", str(place)], check=False))
    scene.supervisor.plain.log = place / "daemon.log"


def _log_full(scene: Scene) -> None:
    """Some 300 lines fill it; traffic goes on without a log."""
    scene.until(lambda: (scene.folder / "small/daemon.log").stat().st_size > 60_000, "a full log")
    scene.pause(10)


FAULTS = (
    Fault("clock jumps", "F45", "+1 h, -1 h, +1 year, -200 days, frozen, right again", _jumps, _own_clock),
    Fault(
        "clock ahead with debts",
        "F45",
        "a year ahead while copies are parked and the daemon is killed; then right again",
        _ahead_with_debts,
        _nobody_at_the_centre,
    ),
    Fault(
        "bad edits",
        "F46",
        "1,000 wrong `routes.yaml` of 14 kinds under load, each with SIGHUP; then the good one",
        _bad_edits,
        rate=30,
        felt="rules refused",
    ),
    Fault(
        "routes change",
        "F46",
        "two good editions in turn, with wrong ones between, under load",
        _routes_change,
        _either_way,
        editions=2,
        felt="rules reloaded",
    ),
    Fault(
        "schemas broken",
        "F47",
        "cut, empty, importing by http, missing, each with SIGHUP",
        _schemas_broken,
        _own_schemas,
        felt="rules refused",
        databases=(SQLITE,),
    ),
    Fault(
        "key spoilt",
        "F48",
        "the platform's key file cut, emptied, open to all, gone, each with SIGHUP",
        _key_spoilt,
        felt="rules refused",
        databases=(SQLITE,),
    ),
    Fault(
        "log disk full",
        "F49",
        "the log's disk is full for 10 s and stays full",
        _log_full,
        _small_log,
        needs_root=True,
        databases=(SQLITE,),
    ),
)
