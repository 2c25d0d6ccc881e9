"""Who pruned what, and archive files that go, on both databases: recorded first, and nothing else is excused."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from swexchange.core.codes import HELD
from swexchange.core.model import Event, Happening
from swexchange.core.prune_record import PruneRecord
from swexchange.core.search import Filter
from swexchange.errors import Busy
from swexchange.evidence import bundle
from swexchange.evidence.archive_file import Damaged
from swexchange.evidence.archive_folder import entries_of, gaps, unknown_removals
from swexchange.store import FullLedger, open_holds, open_pruning
from tests.contract.conftest import Database
from tests.contract.exchanges import ALICE, BOB, CUSTOMS, KEYED, NOW, RULES, accepted, after, deliver, rejected
from tests.contract.place import AGE, OPERATOR, Place
from tests.unit.test_verify_evidence import verifier


@pytest.fixture
def filled(ledger: FullLedger, place: Place) -> Place:
    """Three archive files, each with an accepted message of ALICE's, one of BOB's and a refused one."""
    for n in range(3):
        deliver(ledger, accepted(f"M{n}"), accepted(f"N{n}", BOB, keys=[KEYED] if n == 1 else ()))
        deliver(ledger, rejected(b"<junk n='%d'/>" % n))
        place.archive()
    return place


def names(place: Place) -> list[str]:
    """The archive files that are there."""
    return sorted(path.name for path in place.folder.glob("*.zip"))


def proved(place: Place) -> list[str]:
    """What bin/verify-evidence proves of the folder, who knows no database."""
    trust = verifier.Trust([str(place.sealer.verifier)], [], [])
    return list(verifier.verify(str(place.folder), trust, []))


def wrong(place: Place) -> list[str]:
    """The archive files with which something is wrong, as the operator is told."""
    known, removed = place.log.archives(), place.log.removed()
    missing = [one.name for one in known if one.name not in removed and not (place.folder / one.name).exists()]
    told = [*gaps(known), *unknown_removals(known, place.log.prune_records())]
    return [*(name for name, _ in told), *missing]


def test_who_pruned_what_is_an_entry_of_the_log(filled: Place) -> None:
    filled.prune_all()
    first, _, third = filled.log.archives()
    records = filled.log.prune_records()
    told = [(one.event, one.retention, one.count) for one in records if one.file == first.name]
    assert told == [
        ("pruning", "body 400 days", 3),
        ("pruned", "body 400 days", 3),
        ("pruning", "metadata 400 days", 3),
        ("pruned", "metadata 400 days", 3),
        ("removed", "evidence 400 days", 3),
    ]
    assert {one.by for one in records} == {OPERATOR}
    assert {(one.sha256, one.first, one.last) for one in records if one.file == third.name} == {
        (third.digest.hex(), third.first, third.end - 1)
    }
    filled.archive()
    last = filled.log.archives()[-1]
    stored = [json.loads(entry or b"") for entry in entries_of(filled.folder, [last])]
    written = stored[0]["event"], stored[0]["detail"]
    assert [entry["event"] for entry in stored] == [str(one.event) for one in records]
    assert PruneRecord.read(records[0].at, *written) == records[0]
    filled.verify()


def test_a_record_that_was_changed_is_found_by_an_audit(database: Database, filled: Place) -> None:
    filled.prune()
    filled.archive()
    with closing(database.connect()) as link:
        link.execute("UPDATE event SET detail = replace(detail, 'alice', 'mallory')")
        link.commit()
    with pytest.raises(AssertionError, match="was changed after it became leaf"):
        filled.verify()


def test_the_oldest_files_go_and_a_stranger_is_told(filled: Place) -> None:
    """Until the record lies in a file, all that he knows is that they are missing."""
    before = proved(filled)
    assert before[-1].startswith("chain: 3 archives")
    gone = filled.prune_all()
    assert gone == [one.name for one in filled.log.archives()]
    assert names(filled) == wrong(filled) == []
    kept = filled.log.checkpoint_at(3), filled.log.checkpoint_at(9)
    filled.archive()
    (record, *_) = filled.log.removed().values()
    said = proved(filled)
    assert kept[0]
    assert kept[1]
    trust = verifier.Trust([str(filled.sealer.verifier)], [], [one.note for one in kept if one])
    not_compared = [line for line in verifier.verify(str(filled.folder), trust, []) if line.startswith("not compared")]
    assert [line.split(" entries")[0] for line in not_compared] == ["not compared: a kept checkpoint of 3"]
    assert any(
        line.startswith("removed: leaves 0 to 8 are in no archive here: retention (evidence 400") for line in said
    )
    assert record.by == OPERATOR
    found = filled.verify()
    assert (found.gone, found.size) == (9, 9 + len(filled.log.prune_records()))


def test_files_behind_removed_ones_are_still_their_successors(ledger: FullLedger, filled: Place) -> None:
    """By the digest that the record has of the last one; a stranger asks for the record."""
    deliver(ledger, accepted("YOUNG", at=after(days=900)))
    filled.archive()
    assert len(filled.prune_all()) == 3
    with pytest.raises(verifier.Unproved, match="what is before leaf 9 is missing, from leaf 0 on, and no entry"):
        proved(filled)
    assert wrong(filled) == []
    filled.archive()
    assert proved(filled)[-1].startswith("chain: 2 archives, leaves 9 to ")
    filled.verify()


def test_a_file_that_is_missing_without_a_record_is_named(filled: Place) -> None:
    """Nor can it be explained away: it cannot be proved any more, so no record is made."""
    (lost, *_) = filled.log.archives()
    filled.prune()
    filled.prune_rows()
    content = (filled.folder / lost.name).read_bytes()
    for bad in (None, content[:-1], content + b"\0", b""):
        (filled.folder / lost.name).unlink(missing_ok=True)
        if bad is not None:
            (filled.folder / lost.name).write_bytes(bad)
        with pytest.raises(Damaged):
            filled.remove_files()
    (filled.folder / lost.name).unlink()
    assert wrong(filled) == [lost.name]
    assert filled.log.removed() == {}
    with pytest.raises(verifier.Unproved, match="what is before leaf 3 is missing"):
        proved(filled)


def test_a_record_of_another_file_explains_nothing(filled: Place) -> None:
    first, *_ = filled.log.archives()
    record = PruneRecord.of(first, NOW, Event.REMOVED, "evidence 400 days", "mallory@desk", 3)
    other = replace(record, sha256="00" * 32)
    assert filled.log.note_removal(other, frozenset())
    assert filled.log.removed() == {}
    (filled.folder / first.name).unlink()
    assert wrong(filled) == [first.name, first.name]


def test_a_record_alone_deletes_nothing(filled: Place) -> None:
    """Whoever can write into the database cannot have young files deleted by the next run."""
    young = filled.log.archives()[-1]
    forged = PruneRecord.of(young, NOW, Event.REMOVED, "evidence 1 days", "mallory@desk", 3)
    assert filled.log.note_removal(forged, frozenset())
    assert filled.remove_files() == []
    filled.prune()
    filled.prune_rows()
    assert filled.remove_files(NOW) == []
    assert young.name in names(filled)


def test_what_the_log_cannot_mean_is_no_record(ledger: FullLedger, filled: Place) -> None:
    with ledger.write(set(), NOW, RULES) as book:
        book.note([Happening("", Event.REMOVED, text) for text in ("", "[]", "{}", "null", '{"file": 1}')])
    assert filled.log.prune_records() == []


def test_what_is_younger_or_has_rows_stays(ledger: FullLedger, filled: Place) -> None:
    """A file goes when every entry of it is old, an event of yesterday's too, and nothing of it is left."""
    old = accepted("OLD")
    deliver(ledger, old)
    with ledger.write(set(), after(days=3), RULES) as book:
        book.note([Happening(old.exchange_id, Event.REPEATED)])
    ledger.settle(book.batch, [], NOW)
    deliver(ledger, rejected(b"<held/>", code=HELD))
    filled.archive()
    assert filled.remove_files() == []
    assert len(filled.prune_all(after(days=1))) == 3
    (left,) = names(filled)
    assert filled.log.archives()[-1].name == left
    assert filled.prune_all(after(days=1)) == []


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(message_id="N1"),
        Filter(key=KEYED),
        Filter(exchanges=(accepted("N1", BOB, keys=[KEYED]).exchange_id,)),
        Filter(message_id="N1", receiver="whoever got it by a replay", outcome="waiting"),
    ],
)
def test_a_hold_keeps_the_file_though_its_rows_are_gone(database: Database, filled: Place, wanted: Filter) -> None:
    filled.prune()
    filled.prune_rows()
    with open_holds(database.url) as holds:
        number = holds.add(wanted, OPERATOR, "case 117", NOW)
        assert len(filled.remove_files()) == 2
        (kept,) = names(filled)
        assert kept == filled.log.archives()[1].name
        assert filled.remove_files() == []
        filled.archive()
        said = proved(filled)
        assert [line.split(" are")[0] for line in said if line.startswith("removed")] == [
            "removed: leaves 0 to 2",
            "removed: leaves 6 to 8",
        ]
        assert "but for what was removed" in said[-1]
        holds.lift(number, OPERATOR, "closed", NOW)
    assert filled.remove_files() == [kept]
    assert filled.log.removed()[kept].since == 0


def test_a_hold_on_all_of_a_sender_keeps_every_file(database: Database, filled: Place) -> None:
    with open_holds(database.url) as holds:
        holds.add(Filter(sender=ALICE, receiver=CUSTOMS), OPERATOR, "inspection", NOW)
    assert filled.prune_all() == []


def test_a_hold_that_comes_while_a_file_is_read_keeps_it(database: Database, filled: Place) -> None:
    filled.prune()
    filled.prune_rows()
    first, *_ = filled.log.archives()
    record = PruneRecord.of(first, NOW, Event.REMOVED, "evidence 400 days", OPERATOR, 3)
    with open_holds(database.url) as holds:
        old = holds.add(Filter(sender="DXPNOBODY"), OPERATOR, "case 116", NOW)
        new = holds.add(Filter(sender=ALICE), OPERATOR, "case 117", NOW)
        assert not filled.log.note_removal(record, {old})
        assert filled.log.note_removal(record, {old, new, 99})
    assert not filled.log.note_removal(record, {old, new})


def test_a_file_whose_removal_died_is_removed_by_the_next(
    database: Database, filled: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And recorded once. One that has come under a hold meanwhile stays."""
    filled.prune()
    filled.prune_rows()
    first, *_ = filled.log.archives()
    with monkeypatch.context() as dying:
        dying.setattr("swexchange.evidence.pruner.remove_file", _die)
        with pytest.raises(KeyboardInterrupt):
            filled.remove_files()
    assert (len(names(filled)), list(filled.log.removed())) == (3, [first.name])
    with open_holds(database.url) as holds:
        number = holds.add(Filter(message_id="M0"), OPERATOR, "case 117", NOW)
        assert len(filled.remove_files()) == 2
        assert names(filled) == [first.name]
        holds.lift(number, OPERATOR, "closed", NOW)
    assert filled.remove_files() == [first.name]
    assert names(filled) == []
    assert [one.file for one in filled.log.prune_records() if one.event is Event.REMOVED].count(first.name) == 1


def _die(_path: Path) -> None:
    raise KeyboardInterrupt


def test_two_do_not_prune_at_once(database: Database, filled: Place) -> None:
    """By one folder, that is. Where each has a copy of it, the log has one record of each file."""
    filled.prune()
    filled.prune_rows()
    with open_pruning(database.url) as log:
        other = Place(log, filled.folder.parent)
        with filled.pruner().alone(), pytest.raises(Busy), other.pruner().alone():
            pass
        other.folder = filled.folder.parent / "copy"
        shutil.copytree(filled.folder, other.folder)
        removing = filled.pruner().remove_files(AGE)
        first = next(removing).name
        assert len(other.remove_files()) == 3
        assert list(removing) == []
        assert (names(other), first in names(filled)) == ([], False)
    assert len(filled.remove_files()) == 2
    assert names(filled) == []
    assert [one.event for one in filled.log.prune_records()].count(Event.REMOVED) == 3


def test_an_export_without_entries_that_are_gone(ledger: FullLedger, filled: Place, tmp_path: Path) -> None:
    """Their hashes stand for them, and the log says why; elsewhere a missing tile is one that somebody removed."""
    deliver(ledger, *(accepted(f"Y{n}", at=after(days=900)) for n in range(600)))
    filled.archive()
    filled.prune_all()
    filled.archive()
    known, removed = filled.log.archives(), filled.log.removed()
    assert len(removed) == 3
    entries = entries_of(filled.folder, known, removed.keys())
    folder = tmp_path / "log"
    for path, content in bundle.export(filled.log, archived=entries, end=known[-1].end):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    assert not (folder / "tile/entries/000").exists()
    kept = filled.log.checkpoint_at(6)
    assert kept
    trust = verifier.Trust([str(filled.sealer.verifier)], [], [kept.note])
    said = list(verifier.verify_log(str(folder), trust))
    assert said[1].startswith("removed: of 1 times 256 leaves only the hashes are here: retention (evidence 400 days)")
    assert said[2] == "growth: the log begins with each of 1 kept checkpoints"
    hashes = (folder / "tile/0/000").read_bytes()
    (folder / "tile/0/000").write_bytes(hashes[:32] + bytes(32) + hashes[64:])
    with pytest.raises(verifier.Unproved, match="are not those that a kept checkpoint signed"):
        list(verifier.verify_log(str(folder), trust))
    (folder / "tile/0/000").write_bytes(hashes)
    (folder / "tile/entries/001").unlink()
    with pytest.raises(verifier.Unproved, match="the entries of leaves 256 and following are missing"):
        list(verifier.verify_log(str(folder), trust))
