"""Golden evidence: `python -m tests.evidence` writes tests/vectors/evidence/VERSION, if that is not there yet.

Whatever verified once must verify for good, so no file there is ever written again: a change of the published
formats is a new folder. Tests verify all of them, and compare today's evidence with the newest.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path, PurePosixPath

from swexchange.core import checkpoint
from swexchange.core.canonical import CHINA
from swexchange.core.checkpoint import COSIGNATURE, Note, Verifier
from swexchange.core.decide import decide
from swexchange.core.identity import identity, lookups
from swexchange.core.keys import SigningKey
from swexchange.core.model import Entry, Event, Happening
from swexchange.core.reconcile import Side
from swexchange.evidence import bundle
from swexchange.evidence.archiver import Archiver, Bounds
from swexchange.evidence.pace import no_pause
from swexchange.evidence.pruner import Pruner
from swexchange.evidence.reconcile import covered, signed_document
from swexchange.evidence.sealer import HighWater, Sealer
from swexchange.store import Archives, Evidence, FilePruning, FullLedger, Tally, migrate
from tests import world

VERSION = "0.1.0.dev3"  # of the formats as they are now; docs/how-to/developers.md says when it changes
VERSIONS = Path(__file__).parent / "vectors" / "evidence"
FOLDER = VERSIONS / VERSION
LOG_KEY = SigningKey.from_seed("audit", bytes(range(32)))
WITNESS_KEY = SigningKey.from_seed("witness", bytes(range(32, 64)))
ORIGIN, WITNESS = "sw.example/audit", "customs.example/witness"
MESSAGES = 300  # more than a tile


def made() -> Mapping[str, bytes]:
    """Every file of the golden evidence by its name."""
    with tempfile.TemporaryDirectory() as folder:
        return made_in(Path(folder))


def made_in(folder: Path) -> Mapping[str, bytes]:
    """The same, leaving the database they come from as golden.db in a folder."""
    url = f"sqlite:///{folder}/golden.db"
    migrate.upgrade(url)
    ledger, log, archives = FullLedger(url), Tally(url), Archives(url)
    sealer = Sealer(log, ORIGIN, LOG_KEY, HighWater(folder / "audit.head"), lambda: world.NOW)
    rules = world.rulebook()
    files: dict[str, bytes] = {"log.vkey": f"{sealer.verifier}\n".encode()}
    ledger.note_rules(rules.digest, rules.keys.values(), world.NOW, rules.manifest)
    try:
        accepted = _record(ledger, 0, MESSAGES)
        sealer.seal()
        files["old.checkpoint"] = _note(log).encode()
        with ledger.write({"again"}, world.NOW, rules.digest) as book:
            book.note([Happening(accepted, Event.REPEATED)])
        refused = _record(ledger, MESSAGES, MESSAGES + 3, refused=True)
        sealer.seal()
        files["unwitnessed.zip"] = _bundle(log, accepted)
        _cosign(log)
        files |= {"accepted.zip": _bundle(log, accepted), "refused.zip": _bundle(log, refused)}
        files["witness.vkey"] = f"{Verifier(WITNESS, WITNESS_KEY.public, COSIGNATURE)}\n".encode()
        files["log.zip"] = packed(bundle.export(log))
        files["day.txt"] = _day(log).encode()
        files |= _archived(archives, sealer.verifier, folder)
    finally:
        ledger.close()
        log.close()
        archives.close()
    return files | {"pruned.zip": _pruned(folder, accepted, sealer.verifier)}


def _bundle(log: Evidence, exchange_id: str) -> bytes:
    proof = bundle.prove(log, exchange_id, lambda: "", world.schemas().get)
    assert proof
    return proof


def _pruned(folder: Path, exchange_id: str, key: Verifier) -> bytes:
    """The bundle of an exchange whose message retention took out, of a copy of the database."""
    shutil.copy(folder / "golden.db", folder / "pruned.db")
    log, age = FilePruning(f"sqlite:///{folder}/pruned.db"), timedelta(days=400)
    try:
        pruner = Pruner(log, folder, [key], "operator@sw.example", lambda: world.NOW + 2 * age, no_pause)
        assert sum(pruner.prune(age)) == MESSAGES + 3
        return _bundle(log, exchange_id)
    finally:
        log.close()


def _record(ledger: FullLedger, first: int, end: int, *, refused: bool = False) -> str:
    """Declarations, decided and recorded in one batch; the exchange id of the last."""
    rules = world.rulebook()
    bodies = []
    for number in range(first, end):
        document = world.declaration(f"NHW-{number:04d}")
        broken = document.replace(b"<GNo>1</GNo>", b"") if refused else document
        bodies.append(world.signed(world.dxp_msg(broken, f"MSG-{number:04d}")))
    decisions = [decide(world.delivery(body), rules, world.NOW) for body in bodies]
    names = {name for decision in decisions for name in lookups(decision)}
    with ledger.write(names, world.NOW, rules.digest) as book:
        book.record([Entry(identity(decision), decision) for decision in decisions])
    ledger.settle(book.batch, (), world.NOW)
    return decisions[-1].exchange_id


def _day(log: Tally) -> str:
    """The reconciliation of the day, with its list."""
    day = world.NOW.astimezone(CHINA).date()
    lines = Side.SENDER, log.lines(day, world.ENTERPRISE, Side.SENDER)
    (account,) = log.accounts(day, world.ENTERPRISE)
    return signed_document(covered(log, day), account, lines, ORIGIN, LOG_KEY, world.NOW + timedelta(days=1))


def _archived(log: Archives, key: Verifier, folder: Path) -> dict[str, bytes]:
    """Two archive files, the second a small one."""
    archiver = Archiver(log, folder, [key], lambda: world.NOW, no_pause, Bounds(MESSAGES))
    names = [made.name for made in archiver.write_all(everything=True)]
    return {f"archives/{name}": (folder / name).read_bytes() for name in names}


def _note(log: Evidence) -> str:
    head = log.head()
    assert head
    return head.note


def packed(files: Iterable[tuple[PurePosixPath, bytes]]) -> bytes:
    """An exported log as one file."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_STORED) as archive:
        for path, content in files:
            archive.writestr(zipfile.ZipInfo(str(path)), content)
    return zipped.getvalue()


def opened(content: bytes) -> io.BytesIO:
    """A file of the golden evidence, to read."""
    return io.BytesIO(content)


def unpack(log: bytes, folder: Path) -> Path:
    """The exported log in a folder."""
    with zipfile.ZipFile(io.BytesIO(log)) as archive:
        archive.extractall(folder)
    return folder


def _cosign(log: Evidence) -> None:
    head = log.head()
    assert head
    line = checkpoint.cosign(Note.read(head.note), WITNESS, WITNESS_KEY, int(world.NOW.timestamp()))
    log.cosigned(head.size, head.note + line, 1)


if __name__ == "__main__":
    if FOLDER.exists():
        sys.exit(f"{FOLDER} is there and stays as it is; name a new VERSION in {Path(__file__).name}")
    files = made()
    (FOLDER / "archives").mkdir(parents=True)
    for name, content in files.items():
        (FOLDER / name).write_bytes(content)
