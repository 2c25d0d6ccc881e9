"""Golden evidence: `python -m tests.evidence` makes tests/vectors/evidence anew; tests compare it with the files.

Whatever verified once must verify for good: a change of these files is a change of the published formats.
"""

from __future__ import annotations

import io
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
from swexchange.evidence.reconcile import covered, signed_document
from swexchange.evidence.sealer import HighWater, Sealer
from swexchange.store import Archives, Evidence, FullLedger, Tally, migrate
from tests import world

FOLDER = Path(__file__).parent / "vectors" / "evidence"
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
    ledger.note_rules(rules.digest, rules.keys.values(), world.NOW)
    try:
        accepted = _record(ledger, 0, MESSAGES)
        sealer.seal()
        files["old.checkpoint"] = _note(log).encode()
        with ledger.write({"again"}, world.NOW, rules.digest) as book:
            book.note([Happening(accepted, Event.REPEATED)])
        refused = _record(ledger, MESSAGES, MESSAGES + 3, refused=True)
        sealer.seal()
        _cosign(log)
        for name, number in (("accepted", accepted), ("refused", refused)):
            proof = bundle.prove(log, number, lambda: "", lambda _: {})
            assert proof
            files[f"{name}.zip"] = proof
        files["witness.vkey"] = f"{Verifier(WITNESS, WITNESS_KEY.public, COSIGNATURE)}\n".encode()
        files["log.zip"] = packed(bundle.export(log))
        files["day.txt"] = _day(log).encode()
        files |= _archived(archives, sealer.verifier, folder)
    finally:
        ledger.close()
        log.close()
        archives.close()
    return files


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
    archiver = Archiver(log, folder, [key], lambda: world.NOW, lambda _: None, Bounds(MESSAGES))
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
    (FOLDER / "archives").mkdir(parents=True, exist_ok=True)
    for name, content in made().items():
        (FOLDER / name).write_bytes(content)
