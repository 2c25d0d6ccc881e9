"""An export of some exchanges: what it holds, what a third party can tell of it, and what it finds out."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner

from swexchange.cli import cli
from swexchange.core.model import Event, Happening
from swexchange.evidence.bundle import export
from swexchange.evidence.sealer import Sealer
from swexchange.evidence.selection import select
from swexchange.store import Evidence, Filter, FullLedger, open_audit_log
from tests import evidence, world
from tests.contract.conftest import Database
from tests.unit.test_verify_evidence import verifier

MESSAGES = 300  # more than a tile


@pytest.fixture
def filled(ledger: FullLedger, sealer: Sealer) -> str:
    """Real declarations, sealed, and one that is not sealed yet; the exchange id of the last sealed one."""
    rules = world.rulebook()
    ledger.note_rules(rules.digest, rules.keys.values(), world.NOW)
    last = evidence._record(ledger, 0, MESSAGES)
    assert sum(sealer.seal_all())
    evidence._record(ledger, MESSAGES, MESSAGES + 1)
    return last


def written(log: Evidence, found: list[str], folder: Path) -> Path:
    for name, content in select(log, found, {"sender": "X"}, lambda: "[]"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def verified(sealer: Sealer, folder: Path, kept: tuple[str, ...] = ()) -> list[str]:
    trust = verifier.Trust([str(sealer.verifier)], [], kept)
    return list(verifier.verify(str(folder), trust, []))


@pytest.mark.usefixtures("filled")
def test_it_holds_what_was_found_and_all_hashes(
    database: Database, log: Evidence, sealer: Sealer, tmp_path: Path
) -> None:
    """Messages, receipts and entries of these alone; what is not sealed yet is left out."""
    with open_audit_log(database.url) as audit_log:
        found = [*audit_log.ids(Filter(message_id="MSG-0007")), *audit_log.ids(Filter(message_id="MSG-0300"))]
    folder = written(log, found, tmp_path / "case")
    assert [file.stem for file in (folder / "exchanges").iterdir()] == found[:1]
    assert not (folder / "tile" / "entries").exists()
    whole = dict(export(log))
    tiles = {str(name): content for name, content in whole.items() if "entries" not in name.parts}
    assert {name: (folder / name).read_bytes() for name in tiles} == tiles
    said = verified(sealer, folder)
    assert f"selection: 1 exchanges; of {MESSAGES + 1} entries 2 are here, {MESSAGES - 1} by hash alone" in said
    assert any(line.startswith("not proved: that nothing else fits") for line in said)


def test_the_command_writes_what_a_filter_finds(
    database: Database, sealer: Sealer, filled: str, tmp_path: Path
) -> None:
    """Exit code 0 and what is left out; 1 and no folder where nothing fits."""

    def exported(*arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(cli, ["audit", "export", *arguments], env={"SWX_DATABASE_URL": database.url})
        return done.exit_code, done.stdout, done.stderr

    case, none = str(tmp_path / "case"), str(tmp_path / "none")
    assert exported(case, "--exchange", filled) == (0, f"1 exchange in {case}, all others by hash alone\n", "")
    assert verified(sealer, Path(case))[-2].startswith("selection: 1 exchanges")
    assert exported(none, "--message-id", "NONE") == (1, "", "there is nothing to export\n")
    assert not Path(none).exists()
    code, _, err = exported(none, "--message-id", "MSG-0300")
    assert (code, err) == (1, "not sealed yet, so left out: 1 exchange\nthere is nothing to export\n")


def test_nothing_found_or_sealed_is_nothing_written(log: Evidence, ledger: FullLedger, tmp_path: Path) -> None:
    """No folder that looks like evidence."""
    unsealed = evidence._record(ledger, 0, 1)
    for found in ([], [unsealed], ["0" * 32]):
        assert not written(log, found, tmp_path / "case").exists()


def test_each_exchange_is_read_once(log: Evidence, filled: str, tmp_path: Path) -> None:
    """Which checkpoint covers all of them is known without their messages."""
    found = list(dict.fromkeys((filled, evidence_id(log))))
    with mock.patch.object(log, "exhibit", wraps=log.exhibit) as read:
        written(log, found, tmp_path / "case")
    assert [call.args for call in read.call_args_list] == [(number,) for number in found]


def test_the_checkpoint_covers_what_happened_to_an_exchange_later(
    log: Evidence, sealer: Sealer, ledger: FullLedger, filled: str
) -> None:
    """As far as it is sealed: the log until there is just enough."""

    def enough() -> tuple[int, int]:
        exhibit = log.exhibit(filled)
        leaves = [leaf for leaf, _ in exhibit.entries] if exhibit else []
        until = log.sealed_until(filled)
        signed, least = (log.checkpoint_at(size) for size in (until, max(leaves) + 1))
        assert signed
        assert signed == least
        return until, len(leaves)

    before = enough()
    with ledger.write({"again"}, world.NOW, world.rulebook().digest) as book:
        book.note([Happening(filled, Event.REPEATED)])
    assert enough() == before
    assert sum(sealer.seal_all())
    after = enough()
    assert after[0] > before[0]
    assert after[1] == before[1] + 1
    assert log.sealed_until("0" * 32) == 0
    assert log.sealed_until(evidence._record(ledger, MESSAGES + 1, MESSAGES + 2)) == 0


def test_it_grew_from_a_checkpoint_that_somebody_kept(
    log: Evidence, sealer: Sealer, ledger: FullLedger, filled: str, tmp_path: Path
) -> None:
    """The hashes show it; a bundle alone could not."""
    kept = log.head()
    assert kept
    assert sum(sealer.seal_all())
    folder = written(log, [filled, evidence_id(log)], tmp_path / "case")
    assert "growth: the log begins with each of 1 kept checkpoints" in verified(sealer, folder, (kept.note,))


def evidence_id(log: Evidence) -> str:
    """The exchange of the newest leaf."""
    return [leaf.exchange_id for leaf in log.leaves(log.spans()[-1])][-1]


def _removed(folder: Path) -> None:
    next((folder / "exchanges").iterdir()).unlink()


def _copied(folder: Path) -> None:
    first = next((folder / "exchanges").iterdir())
    (folder / "exchanges" / "more.zip").write_bytes(first.read_bytes())
    marker = folder / "selection.json"
    marker.write_text(marker.read_text().replace('"exchanges": 1', '"exchanges": 2'))


def _hash(folder: Path) -> None:
    tile = folder / "tile" / "0" / "000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])


def _message(folder: Path) -> None:
    path = next((folder / "exchanges").iterdir())
    with zipfile.ZipFile(path) as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content.replace(b"MSG-", b"XSG-") if name == "message.xml" else content)


def _unmarked(folder: Path) -> None:
    (folder / "selection.json").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_removed, "0 exchanges are here, it says 1"),
        (_copied, "is here twice"),
        (_hash, "are not those that its checkpoint signed"),
        (_message, "zip: "),
        (_unmarked, "the entries of leaves 0 and following are missing"),
    ],
)
def test_what_was_changed_is_found(
    log: Evidence, sealer: Sealer, filled: str, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    """A bundle, a hash, a number; a selection that is shown as a whole log is none."""
    folder = written(log, [filled], tmp_path / "case")
    verified(sealer, folder)
    harm(folder)
    with pytest.raises(verifier.Unproved, match=said):
        verified(sealer, folder)


def test_a_bundle_of_another_checkpoint_does_not_belong_to_it(
    log: Evidence, sealer: Sealer, filled: str, tmp_path: Path
) -> None:
    """Each is proved under the very checkpoint whose hashes are here."""
    old = written(log, [filled], tmp_path / "old")
    assert sum(sealer.seal_all())
    folder = written(log, [filled], tmp_path / "case")
    name = Path("exchanges", f"{filled}.zip")
    (folder / name).write_bytes((old / name).read_bytes())
    with pytest.raises(verifier.Unproved, match="is under another checkpoint"):
        verified(sealer, folder)
