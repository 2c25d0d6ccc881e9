"""Pruning and legal holds, on both databases: what is old, archived, proved and done with goes, and stays known."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from swexchange.core.codes import HELD
from swexchange.core.identity import identity
from swexchange.core.model import BusinessKey, Event, Fate, Happening
from swexchange.core.search import Filter
from swexchange.core.settle import earlier, in_conflict
from swexchange.errors import ConfigFault
from swexchange.evidence import bundle
from swexchange.evidence.archive_file import ArchiveFile, Damaged
from swexchange.evidence.archive_search import find, search
from swexchange.evidence.auditor import Findings, audit
from swexchange.store import FullLedger, open_audit_log, open_history, open_holds
from swexchange.store.pruning import AT_ONCE
from tests.contract.conftest import Database, change
from tests.contract.exchanges import (
    ALICE,
    BOB,
    CUSTOMS,
    KEYED,
    NOW,
    RULES,
    accepted,
    after,
    answer_copy,
    deliver,
    parent_of,
    record,
    rejected,
    waiting,
)
from tests.contract.place import AGE, LATER, Place


def with_bytes(database: Database) -> set[str]:
    """The message ids (or, of refused ones, ids) whose bytes are in the database."""
    found = database.rows("SELECT message_id, exchange_id FROM exchange WHERE length(body) > 0")
    return {message or exchange for message, exchange in found}


def test_only_messages_go_and_everything_is_still_proved(database: Database, ledger: FullLedger, place: Place) -> None:
    many = [accepted(f"M{n}") for n in range(AT_ONCE + 20)]
    deliver(ledger, *many, rejected())
    place.archive()
    assert place.prune() == AT_ONCE + 21
    assert with_bytes(database) == set()
    found = place.verify()
    assert (found.size, found.deleted, found.archived) == (AT_ONCE + 21,) * 3
    assert place.log.full_archives(LATER) == []
    assert place.prune() == 0


def test_a_repeat_is_still_known_and_gets_its_receipt(database: Database, ledger: FullLedger, place: Place) -> None:
    message = accepted()
    deliver(ledger, message)
    place.archive()
    place.prune()
    with ledger.write({identity(message)}, LATER, RULES) as book:
        (known,) = book.known({identity(message)}).values()
    assert known.digest == message.digest
    assert (known.receipt, known.unsent) == (message.receipt, ())


def test_what_is_younger_or_not_archived_stays(database: Database, ledger: FullLedger, place: Place) -> None:
    old, young = accepted("OLD"), accepted("YOUNG", at=after(days=2))
    deliver(ledger, old, young)
    place.archive()
    deliver(ledger, accepted("NEXT"))
    assert place.prune(after(days=1)) == 1
    assert with_bytes(database) == {"YOUNG", "NEXT"}
    assert place.prune() == 1
    assert with_bytes(database) == {"NEXT"}


def _open_things(ledger: FullLedger) -> list[str]:
    """Of each kind of thing that is still to be done, one."""
    record(ledger, accepted("UNSETTLED"))
    due = accepted("DUE")
    ledger.settle(record(ledger, due), [(due.copies[0], Fate.RETURNED)], NOW)
    queued = accepted("QUEUED")
    ledger.settle(record(ledger, queued, remote=frozenset({CUSTOMS})), [], NOW)
    deliver(ledger, waiting("WAITING"))
    held = rejected(b"<bad/>", code=HELD)
    deliver(ledger, held)
    return ["UNSETTLED", "DUE", "QUEUED", "WAITING", held.exchange_id]


def test_what_is_open_stays(database: Database, ledger: FullLedger, place: Place) -> None:
    names = _open_things(ledger)
    replayed = accepted("REPLAYED")
    deliver(ledger, replayed)
    (seq,) = database.rows("SELECT seq FROM exchange WHERE message_id = 'REPLAYED'")[0]
    with closing(database.connect()) as link:
        link.execute(f"INSERT INTO replay_item VALUES ('r', {seq}, 'send', '[]', 'open', NULL, NULL)")
        link.commit()
    deliver(ledger, accepted("DONE"))
    place.archive()
    wanted = place.log.prunable(place.log.full_archives(LATER)[0], LATER)
    assert (wanted.messages, wanted.bytes, wanted.open, wanted.held) == (1, len(accepted("DONE").body), 6, 0)
    assert place.prune() == 1
    assert with_bytes(database) == {*names, "REPLAYED"}
    with closing(database.connect()) as link:
        link.execute("UPDATE replay_item SET state = 'sent'")
        link.execute("UPDATE copy SET state = 'sent' WHERE state IN ('due', 'queued')")
        link.commit()
    assert place.prune() == 3
    assert with_bytes(database) == {"UNSETTLED", "WAITING", names[-1]}


def test_what_stands_in_no_state_that_there_is_stays(database: Database, ledger: FullLedger, place: Place) -> None:
    """Nobody knows whether it was sent: its bytes must not go."""
    deliver(ledger, accepted("ODD"), accepted("DONE"))
    change(database, "UPDATE copy SET state = 'lost' WHERE kind = 'message' AND seq = (SELECT min(seq) FROM exchange)")
    place.archive()
    assert place.prune() == 1
    assert with_bytes(database) == {"ODD"}


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(message_id="KEPT"),
        Filter(key=BusinessKey("", KEYED.value)),
        Filter(sender=BOB),
        Filter(since=after(hours=1), until=after(hours=3)),
        Filter(exchanges=(accepted("KEPT", BOB, at=after(hours=2), keys=[KEYED]).exchange_id,)),
    ],
)
def test_what_is_under_a_hold_stays(database: Database, ledger: FullLedger, place: Place, wanted: Filter) -> None:
    """Whatever it was looked for by; even if it comes after the hold was placed; until the last hold is lifted."""
    with open_holds(database.url) as holds:
        first, second = (holds.add(wanted, "alice@desk", "case 117", NOW) for _ in range(2))
        deliver(ledger, accepted("KEPT", BOB, at=after(hours=2), keys=[KEYED]), accepted("M1"))
        assert holds.count(wanted) == 1
        place.archive()
        assert place.log.prunable(place.log.full_archives(LATER)[0], LATER).held == 1
        assert place.prune() == 1
        holds.lift(first, "bob@desk", "closed", LATER)
        assert place.prune() == 0
        assert with_bytes(database) == {"KEPT"}
        holds.lift(second, "bob@desk", "closed", LATER)
        assert place.prune() == 1
        with pytest.raises(ConfigFault, match="no hold 2 is in force"):
            holds.lift(second, "bob@desk", "closed", LATER)
        (last, _) = holds.list()
    told = (last.id, last.wanted, last.placed_by, last.why, last.lifted_at, last.lifted_by, last.lifted_why)
    assert told == (second, wanted, "alice@desk", "case 117", LATER, "bob@desk", "closed")


def test_a_hold_on_everything(database: Database, ledger: FullLedger, place: Place) -> None:
    deliver(ledger, accepted(), rejected())
    place.archive()
    with open_holds(database.url) as holds:
        holds.add(Filter(), "alice@desk", "inspection", NOW)
    assert place.prune() == 0


def test_an_archive_that_proves_nothing_prunes_nothing(
    database: Database, ledger: FullLedger, place: Place, tmp_path: Path
) -> None:
    deliver(ledger, accepted())
    place.archive()
    (path,) = place.folder.glob("*.zip")
    content = path.read_bytes()
    for bad in (content[:200] + bytes((content[200] ^ 1,)) + content[201:], content + b"\0", content[:-1], b""):
        path.write_bytes(bad)
        with pytest.raises(Damaged):
            place.prune()
    path.unlink()
    with pytest.raises(Damaged):
        place.prune()
    assert with_bytes(database) == {"M1"}
    path.write_bytes(content)
    assert place.prune() == 1


def test_a_message_that_the_archive_does_not_have_stays(database: Database, ledger: FullLedger, place: Place) -> None:
    """Its bytes had been deleted when it was archived, and came back: from a backup, say."""
    deliver(ledger, accepted())
    body = bytes(database.rows("SELECT body FROM exchange")[0][0])
    for content in (b"", body):
        with closing(database.connect()) as link:
            mark = "?" if database.kind == "sqlite" else "%s"
            link.execute(f"UPDATE exchange SET body = {mark}", (content,))
            link.commit()
        place.archive()
    assert place.prune() == 0
    assert with_bytes(database) == {"M1"}


def test_show_and_what_ifs_say_where_it_lies(database: Database, ledger: FullLedger, place: Place) -> None:
    message, other = accepted(), accepted("M2", at=after(days=500))
    deliver(ledger, message, other)
    place.archive()
    place.prune()
    (made,) = place.log.archives()
    with open_audit_log(database.url) as audit_log:
        shown, whole = audit_log.show(message.exchange_id), audit_log.show(other.exchange_id)
    assert shown
    assert whole
    assert (shown.archive, whole.archive) == (made.name, "")
    assert (place.log.pruned(message.exchange_id), place.log.pruned(other.exchange_id)) == (made.name, "")
    with open_history(database.url) as history:
        assert (history.count(Filter()), history.without_bytes(Filter())) == (1, 1)
        (stretch,) = history.stretches(Filter(), 10)
        assert [past.decision.exchange_id for past in history.read(Filter(), stretch)] == [other.exchange_id]


def test_a_pruned_exchange_is_found_in_the_archives(ledger: FullLedger, place: Place) -> None:
    many = [accepted(f"M{n}", keys=[KEYED] if n == 7 else (), at=NOW + timedelta(hours=n)) for n in range(30)]
    for one in many:
        deliver(ledger, one)
    deliver(ledger, rejected(at=after(hours=40)))
    place.archive()
    place.prune()
    found = find(place.folder, many[7].exchange_id)
    assert found
    assert found.stored.parts["messages"] == many[7].body
    assert many[7].receipt
    assert found.stored.parts["receipts"] == many[7].receipt.body
    assert find(place.folder, "0" * 32) is None

    def ids(wanted: Filter) -> list[str]:
        return [hit.said["exchange"] for hit in search(place.folder, wanted)]

    def of(*numbers: int) -> list[str]:
        return [many[n].exchange_id for n in numbers]

    assert ids(Filter(key=KEYED)) == ids(Filter(key=BusinessKey("", KEYED.value))) == of(7)
    assert ids(Filter(key=BusinessKey("BillNo", KEYED.value))) == []
    assert ids(Filter(message_id="M3", sender=ALICE)) == of(3)
    assert ids(Filter(message_id="M3", sender=BOB)) == []
    assert ids(Filter(since=after(hours=4), until=after(hours=6))) == of(5, 4)
    assert ids(Filter(receiver=CUSTOMS, limit=2)) == of(29, 28)
    assert ids(Filter(after=many[2].exchange_id)) == of(1, 0)
    assert len(ids(Filter(outcome="rejected"))) == 1
    assert len(ids(Filter(limit=100))) == 31


def test_traffic_goes_on_while_it_prunes(database: Database, ledger: FullLedger, place: Place) -> None:
    """Behind each small step it holds no lock; whatever comes meanwhile stays."""
    deliver(ledger, *(accepted(f"M{n}") for n in range(AT_ONCE + 20)))
    place.archive()
    live: list[str] = []

    def pause() -> None:
        live.append(f"LIVE{len(live)}")
        deliver(ledger, accepted(live[-1]))

    steps = list(place.pruner(pause=pause).prune(AGE))
    assert steps == [AT_ONCE, 20]
    read_back = sum(one.leaves for one in place.log.archives())
    assert len(live) == read_back + len(steps)
    assert with_bytes(database) == set(live)


def test_a_hold_placed_while_it_prunes_holds_the_rest(database: Database, ledger: FullLedger, place: Place) -> None:
    deliver(ledger, *(accepted(f"M{n}") for n in range(AT_ONCE + 20)))
    place.archive()
    pruning = place.pruner().prune(AGE)
    assert next(pruning) == AT_ONCE
    with open_holds(database.url) as holds:
        holds.add(Filter(sender=ALICE), "alice@desk", "case 117", NOW)
    assert list(pruning) == []
    assert len(with_bytes(database)) == 20


# -- whole exchanges


def rows_left(database: Database) -> tuple[int, ...]:
    """How many exchanges, copies, keys and events there are."""
    tables = ("exchange", "copy", "business_key", "event")
    return tuple(database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables)


def test_whole_exchanges_go_and_their_place_in_the_log_is_still_proved(
    database: Database, ledger: FullLedger, place: Place
) -> None:
    """First the message, then the exchange; what says so stays, as events of the log itself."""
    many = [accepted(f"M{n}", keys=[KEYED]) for n in range(AT_ONCE + 20)]
    deliver(ledger, *many, rejected())
    with ledger.write(set(), NOW, RULES) as book:
        book.note([Happening(many[0].exchange_id, Event.REPEATED), Happening(many[1].exchange_id, Event.REPEATED)])
    ledger.settle(book.batch, [], NOW)
    place.archive()
    assert place.prune_rows() == 0
    assert sum(place.log.old_rows(one, LATER) for one in place.log.archives_with_rows(LATER)) == AT_ONCE + 21
    place.prune()
    assert place.prune_rows() == AT_ONCE + 21 + 2
    assert rows_left(database) == (0, 0, 0, len(place.log.prune_records()))
    found = place.verify()
    assert (found.size, found.gone) == (AT_ONCE + 23, AT_ONCE + 23)
    deliver(ledger, accepted("NEXT"))
    place.archive()
    place.prune(NOW)
    assert place.verify().size == AT_ONCE + 24 + len(place.log.prune_records())
    assert place.prune_rows() == 0


def test_what_a_pruned_exchange_took_stays_taken(ledger: FullLedger, place: Place) -> None:
    """Its bytes again: known, without a receipt. Others under its id: a conflict. A refused one took nothing."""
    message, refused = accepted(), rejected()
    deliver(ledger, message, refused)
    place.archive()
    place.prune()
    place.prune_rows()
    names = {identity(message), identity(refused), "A:nobody/M9"}
    with ledger.write(names, LATER, RULES) as book:
        known = book.known(names)
    assert set(known) == {identity(message)}
    held = known[identity(message)]
    assert (held.exchange_id, held.digest, held.outcome) == (message.exchange_id, message.digest, message.outcome)
    assert (held.receipt, held.unsent) == (None, ())
    assert earlier(message, known) == held
    assert in_conflict(replace(message, digest=b"\1" * 32), known) == held


def test_exchanges_that_are_open_held_or_younger_stay(database: Database, ledger: FullLedger, place: Place) -> None:
    """And are verified, shown and proved among neighbours that are gone."""
    _open_things(ledger)
    kept = accepted("KEPT", BOB)
    deliver(ledger, accepted("A"), kept, accepted("B"))
    place.archive()
    place.prune()
    with open_holds(database.url) as holds:
        holds.add(Filter(sender=BOB), "alice@desk", "case 117", NOW)
    assert place.prune_rows(NOW) == 0
    assert place.prune_rows() == 2
    assert rows_left(database)[0] == 6
    assert place.verify().gone == 2
    exhibit = place.log.exhibit(kept.exchange_id)
    assert exhibit
    assert bundle.prove(place.log, kept.exchange_id, lambda: "[]", lambda _: None)
    (leaf, entry), *_ = exhibit.entries
    with closing(ArchiveFile(next(iter(place.folder.glob("*.zip"))))) as file:
        assert [stored.entry for stored in file.records()][leaf] == entry


def test_what_is_changed_among_pruned_exchanges_is_still_named(
    database: Database, ledger: FullLedger, place: Place
) -> None:
    deliver(ledger, accepted("A"), accepted("KEPT", BOB), accepted("B"))
    place.archive()
    place.prune()
    with open_holds(database.url) as holds:
        holds.add(Filter(sender=BOB), "alice@desk", "case 117", NOW)
    place.prune_rows()
    with closing(database.connect()) as link:
        link.execute("UPDATE exchange SET route = 'elsewhere'")
        link.commit()
    with pytest.raises(AssertionError, match="was changed after it became leaf"):
        place.verify()


def test_rows_that_are_pruned_while_an_audit_runs_are_not_named(ledger: FullLedger, place: Place) -> None:
    """What was pruned is read when it begins; what goes after that is no row that somebody removed."""
    deliver(ledger, accepted("A"), accepted("B"))
    place.archive()
    place.prune()
    last, keys, found = place.log.last_archive(), [place.sealer.verifier], Findings()
    assert last
    gone = place.log.gone()
    assert place.prune_rows() == 2
    assert list(audit(place.log, keys, {}, found, archived=last.end, gone=gone)) == []
    assert found.gone == 2


def test_rows_that_somebody_else_removed_are_still_named(database: Database, ledger: FullLedger, place: Place) -> None:
    """Archived or not: only what was pruned is missing without being told."""
    deliver(ledger, accepted("A"), accepted("B"))
    place.archive()
    with closing(database.connect()) as link:
        link.execute("DELETE FROM exchange WHERE message_id = 'A'")
        link.commit()
    with pytest.raises(AssertionError, match="was removed"):
        place.verify()


def test_an_answer_keeps_its_parent_though_that_is_gone(database: Database, ledger: FullLedger, place: Place) -> None:
    """An answer that waited: that its parent was really there is known by what the parent took."""
    asked, answer = accepted(keys=[KEYED]), waiting(answers=[KEYED], at=after(days=2))
    deliver(ledger, answer)
    deliver(ledger, asked)
    with ledger.matching(after(days=2)) as book:
        book.match(answer, parent_of(asked), answer_copy(answer, parent_of(asked)))
    place.archive()
    place.prune(after(days=1))
    assert place.prune_rows(after(days=1)) == 0  # the file holds younger ones
    with closing(database.connect()) as link:
        link.execute("UPDATE archive SET until = since")
        link.commit()
    assert place.prune_rows(after(days=1)) == 1
    assert place.verify().gone == 1
