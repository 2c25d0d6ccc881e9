"""Sealing and auditing, on both databases: the log is a function of the rows, and whatever is changed is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from swexchange.cli.auditing import FEW, comparing
from swexchange.core import checkpoint, merkle
from swexchange.core.checkpoint import Checkpoint, Note
from swexchange.core.identity import identity
from swexchange.core.keys import SigningKey
from swexchange.core.log import Kind, Signed, Span
from swexchange.core.model import BusinessKey, Entry, Event, Fate, Happening
from swexchange.core.rules_manifest import digest_of, manifest
from swexchange.core.tiles import WIDTH, TileTree
from swexchange.errors import ConfigFault
from swexchange.evidence import auditor, bundle
from swexchange.evidence.auditor import Findings, audit, audit_unsealed
from swexchange.evidence.pace import Pace
from swexchange.evidence.sealer import HighWater, Sealer
from swexchange.evidence.tree_check import Problem
from swexchange.store import Evidence, FullLedger
from tests.contract.conftest import Database, change
from tests.contract.exchanges import (
    ALICE,
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
from tests.contract.place import KEY, ORIGIN, sealer_of


def problems(log: Evidence, sealer: Sealer, known: dict[str, str] | None = None) -> list[Problem]:
    return list(audit(log, [sealer.verifier], known or {}, Findings()))


def entries(log: Evidence) -> list[bytes]:
    return [leaf.entry for span in log.spans() for leaf in log.leaves(span)]


def fill(ledger: FullLedger, count: int = 10, first: int = 0) -> None:
    """Batches of one exchange each, a few of them refused or with an event."""
    for n in range(first, first + count):
        decision = rejected(b"<junk n='%d'/>" % n) if n % 4 == 3 else accepted(f"M{n}")
        deliver(ledger, decision)
        if n % 5 == 0:
            with ledger.write({f"E{n}"}, NOW, RULES) as book:
                book.note([Happening(decision.exchange_id, Event.REPEATED)])


class _Overtaken(HighWater):
    """A memory that another sealer writes to just before it is read."""

    def __init__(self, path: Path, other: Sealer) -> None:
        super().__init__(path)
        self._other = other

    def read(self) -> str:
        self._other.seal()
        return super().read()


def test_another_sealer_is_no_restored_database(
    ledger: FullLedger, log: Evidence, sealer: Sealer, tmp_path: Path
) -> None:
    """`audit seal` beside the daemon: what the other has just sealed and remembered is in the log that is compared."""
    fill(ledger, 1)
    mine = Sealer(log, ORIGIN, KEY, _Overtaken(tmp_path / "audit.head", sealer), lambda: NOW)
    assert mine.check().size == 1 + 1  # an exchange and its event


def head(log: Evidence) -> Checkpoint:
    signed = log.head()
    assert signed
    return Checkpoint.read(Note.read(signed.note).text)


# -- sealing


def test_a_checkpoint_is_due_after_its_interval_and_when_it_is_of_the_future(
    ledger: FullLedger, log: Evidence, sealer: Sealer, tmp_path: Path
) -> None:
    """A clock that was a year ahead, and is right again, does not stop the sealing for a year."""
    assert sealer.is_due(60)
    fill(ledger, 1)
    sealer.seal()
    for seconds, due in ((0, False), (59, False), (60, True), (-1, True), (-365 * 86400, True)):
        now = NOW + timedelta(seconds=seconds)
        later = Sealer(log, ORIGIN, KEY, HighWater(tmp_path / "audit.head"), lambda now=now: now)  # type: ignore[misc]
        assert later.is_due(60) == due, seconds


def test_an_empty_log_has_nothing_to_seal(log: Evidence, sealer: Sealer) -> None:
    assert sealer.seal() == 0
    assert log.head() is None
    assert problems(log, sealer) == []


def test_every_row_becomes_a_leaf_once(log: Evidence, ledger: FullLedger, sealer: Sealer) -> None:
    fill(ledger)
    assert sealer.seal() == 12
    assert sealer.seal() == 0
    fill(ledger, first=10, count=3)
    assert sealer.seal() == 4
    found = entries(log)
    assert len(found) == len(set(found)) == head(log).size == 16
    tree = TileTree(0, lambda *_: b"")
    tree.append(merkle.leaf_hash(entry) for entry in found)
    assert tree.root() == head(log).root
    assert problems(log, sealer) == []


def test_the_checkpoint_is_signed_by_the_log(log: Evidence, ledger: FullLedger, sealer: Sealer) -> None:
    fill(ledger)
    sealer.seal()
    signed = log.head()
    assert signed
    assert checkpoint.trusted(signed.note, [sealer.verifier])[0] == head(log)
    assert signed.made_at == NOW


def test_sealing_pauses_after_each_burst_of_work(log: Evidence, ledger: FullLedger, sealer: Sealer) -> None:
    """A step of many leaves does not hold up the traffic beside it: it rests in between, four times as long."""
    record(ledger, *(accepted(f"L{n}") for n in range(100)))
    ticks = count(step=0.001_000_000_1)  # a little more than a millisecond: five of them are no less than 5 ms
    rests: list[float] = []
    assert list(sealer.seal_all(Pace(rests.append, lambda: next(ticks)))) == [100]
    assert len(rests) == 100 // 5
    assert {round(seconds, 6) for seconds in rests} == {4 * 0.005}


def test_a_backlog_is_sealed_in_steps(log: Evidence, ledger: FullLedger, sealer: Sealer) -> None:
    """Each step is a transaction of its own with a checkpoint of its own; none holds more than it should."""
    record(ledger, *(accepted(f"L{n}") for n in range(700)))
    record(ledger, *(accepted(f"N{n}") for n in range(700)))
    fill(ledger)
    assert list(sealer.seal_all()) == [1402, 10]
    assert [signed.size for signed in log.checkpoints()] == [1402, 1412]
    assert [len(log.tile(0, number)) // 32 for number in range(7)] == [WIDTH] * 5 + [132, 0]
    assert len(log.tile(1, 0)) // 32 == 5
    assert problems(log, sealer) == []


def test_batches_of_repeats_alone_make_no_leaf_and_are_left_behind(
    log: Evidence, ledger: FullLedger, sealer: Sealer
) -> None:
    for _ in range(3):
        record(ledger)
    assert sealer.seal() == 0
    assert log.head() is None
    assert log.pending(10) == []
    fill(ledger, 1)
    assert sealer.seal() == 2
    assert problems(log, sealer) == []


def test_a_row_that_commits_late_is_sealed_late(
    database: Database, log: Evidence, ledger: FullLedger, sealer: Sealer
) -> None:
    """PostgreSQL gives numbers before it commits: a lower one may come after a higher one."""
    fill(ledger, 3)
    if database.kind == "postgresql":
        with closing(FullLedger(database.url)) as slow, slow.write({"slow"}, NOW, RULES) as book:
            late = accepted("LATE")
            deliver(ledger, accepted("QUICK"))
            sealer.seal()
            book.note([Happening(late.exchange_id, Event.REPEATED)])
    else:
        sealer.seal()
        change(database, f"INSERT INTO batch VALUES (0, '{RULES}', 1, 1)")
    sealed = head(log).size
    assert log.pending(10)
    sealer.seal()
    assert log.pending(10) == []
    assert head(log).size >= sealed
    assert problems(log, sealer) == []


def test_two_sealers_never_sign_two_logs(log: Evidence, ledger: FullLedger, sealer: Sealer, tmp_path: Path) -> None:
    """Whoever is slower adds nothing; the size has one root."""
    fill(ledger)
    other = Sealer(_Slow(log, sealer), ORIGIN, KEY, HighWater(tmp_path / "other.head"), lambda: NOW)
    assert other.seal() == 0
    assert [signed.size for signed in log.checkpoints()] == [12]
    assert not (tmp_path / "other.head").exists()
    assert problems(log, sealer) == []


class _Slow:
    """A log on which another sealer is quicker."""

    def __init__(self, log: Evidence, quicker: Sealer) -> None:
        self._log, self._quicker = log, quicker
        self.head, self.tile, self.pending, self.leaves = log.head, log.tile, log.pending, log.leaves
        self.state = log.state

    def seal(
        self, size: int, spans: Sequence[Span], tiles: Mapping[tuple[int, int], bytes], made: Signed | None
    ) -> bool:
        assert self._quicker.seal() == 12
        return self._log.seal(size, spans, tiles, made)


def test_an_answer_that_waited_stays_the_leaf_it_was(log: Evidence, ledger: FullLedger, sealer: Sealer) -> None:
    """Its row changes when the parent comes; its leaf does not, and an event says what happened."""
    key = BusinessKey("EntryId", "530420261000000017")
    answer, asked = waiting(answers=[key]), accepted(keys=[key])
    deliver(ledger, answer)
    sealer.seal()
    before = entries(log)
    deliver(ledger, asked)
    with ledger.matching(after(seconds=5)) as book:
        book.match(answer, parent_of(asked), answer_copy(answer, parent_of(asked)))
    sealer.seal()
    assert entries(log)[: len(before)] == before
    assert b'"outcome":"waiting"' in before[0]
    assert b'"event":"matched"' in entries(log)[-1]
    assert problems(log, sealer) == []


MATCHED_ONCE = [
    "UPDATE exchange SET outcome = 'rejected' WHERE tries IS NOT NULL",
    "UPDATE exchange SET outcome = 'waiting', next_try = 0 WHERE tries IS NOT NULL",
    "DELETE FROM copy WHERE kind = 'message' AND seq = (SELECT seq FROM exchange WHERE tries IS NOT NULL)",
]


@pytest.mark.parametrize("statement", MATCHED_ONCE)
def test_an_answer_that_found_its_parent_and_was_changed_since_is_named(
    database: Database, log: Evidence, ledger: FullLedger, sealer: Sealer, statement: str
) -> None:
    """Its leaf says that it waits, as ever: that it was refused, waits again or goes to nobody is found too."""
    key = BusinessKey("EntryId", "530420261000000017")
    answer, asked = waiting(answers=[key]), accepted(keys=[key])
    deliver(ledger, answer, asked)
    with ledger.matching(after(seconds=5)) as book:
        book.match(answer, parent_of(asked), answer_copy(answer, parent_of(asked)))
    sealer.seal()
    assert problems(log, sealer) == []
    change(database, statement)
    assert [problem.place for problem in problems(log, sealer)] == [f"exchange {answer.exchange_id}"]


def test_settling_and_resending_change_no_leaf(log: Evidence, ledger: FullLedger, sealer: Sealer) -> None:
    decision = accepted()
    number = record(ledger, decision)
    sealer.seal()
    before = entries(log)
    ledger.settle(number, [(decision.copies[0], Fate.RETURNED)], NOW)
    ledger.mark([(decision.copies[0], Fate.CONFIRMED)], after(minutes=1))
    sealer.seal()
    assert entries(log)[:1] == before
    assert len(entries(log)) == 3
    assert problems(log, sealer) == []


@pytest.mark.parametrize("before", ["spans", "checkpoints"])
def test_what_is_sealed_while_the_log_is_verified_is_no_problem(
    log: Evidence, ledger: FullLedger, sealer: Sealer, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """A daemon seals every minute, also between two looks of an audit."""
    fill(ledger, 5)
    sealer.seal()
    read, numbers = getattr(log, before), count(100)

    def late() -> object:
        if (number := next(numbers)) < 102:
            deliver(ledger, accepted(f"L{number}"))
            sealer.seal()
        return read()

    monkeypatch.setattr(log, before, late)
    assert problems(log, sealer) == []
    assert next(numbers) > 100


# -- tampering


@pytest.fixture
def sealed(log: Evidence, ledger: FullLedger, sealer: Sealer) -> list[str]:
    """A log of some 300 leaves, sealed twice; the exchange ids in order."""
    record(ledger, *(accepted(f"B{n}") for n in range(280)))
    fill(ledger, 8)
    sealer.seal()
    fill(ledger, 8, first=20)
    sealer.seal()
    return [leaf.exchange_id for span in log.spans() if span.kind is Kind.BATCH for leaf in log.leaves(span)]


CHANGES = [
    ("UPDATE exchange SET sender = 'somebody else' WHERE exchange_id = '{id}'", "changed"),
    ("UPDATE exchange SET outcome = 'rejected' WHERE exchange_id = '{id}'", "changed"),
    ("UPDATE exchange SET received_at = received_at + 1 WHERE exchange_id = '{id}'", "changed"),
    ("UPDATE exchange SET detail = '{{}}' WHERE exchange_id = '{id}'", "changed"),
    ("UPDATE exchange SET body = {bytes} WHERE exchange_id = '{id}'", "not those of its digest"),
    (
        "UPDATE copy SET recipient = 'X' WHERE n = 0 AND seq = (SELECT seq FROM exchange WHERE exchange_id = '{id}')",
        "changed",
    ),
    (
        "UPDATE copy SET body = {bytes} WHERE n = 1 AND seq = (SELECT seq FROM exchange WHERE exchange_id = '{id}')",
        "changed",
    ),
    ("DELETE FROM copy WHERE n = 1 AND seq = (SELECT seq FROM exchange WHERE exchange_id = '{id}')", "changed"),
]


@pytest.mark.parametrize(("statement", "what"), CHANGES)
def test_a_changed_row_is_named(
    database: Database, log: Evidence, sealer: Sealer, sealed: list[str], statement: str, what: str
) -> None:
    number = sealed[137]
    some = "x'00'" if database.kind == "sqlite" else "'\\x00'"
    change(database, statement.format(id=number, bytes=some))
    found = problems(log, sealer)
    assert len(found) == 1
    assert number in found[0].place
    assert what in found[0].what


def test_a_changed_batch_names_its_exchanges(
    database: Database, log: Evidence, sealer: Sealer, sealed: list[str]
) -> None:
    change(database, "UPDATE batch SET rules_digest = 'other' WHERE id = (SELECT max(batch_id) FROM exchange)")
    assert [problem.place.split()[1] for problem in problems(log, sealer)] == sealed[-1:]


def test_a_removed_row_is_named(database: Database, log: Evidence, sealer: Sealer, sealed: list[str]) -> None:
    change(database, f"DELETE FROM exchange WHERE exchange_id = '{sealed[5]}'")
    (found,) = problems(log, sealer)
    assert found.place == "leaf 5"
    assert sealed[4] in found.what


def test_an_added_row_is_named(database: Database, log: Evidence, sealer: Sealer, sealed: list[str]) -> None:
    columns = ", ".join(_columns(database, "exchange"))
    copied = columns.replace("seq", "seq + 1000").replace("exchange_id", "'added'", 1).replace("identity", "'added'")
    copied = copied.replace("parent_'added'", "parent_exchange_id")
    change(
        database, f"INSERT INTO exchange ({columns}) SELECT {copied} FROM exchange WHERE exchange_id = '{sealed[7]}'"
    )
    (found,) = problems(log, sealer)
    assert "added" in found.place
    assert "sealed without it" in found.what


def _columns(database: Database, table: str) -> list[str]:
    with closing(database.connect()) as link:
        return [column[0] for column in link.execute(f"SELECT * FROM {table} LIMIT 0").description]


def test_swapped_rows_are_both_named(database: Database, log: Evidence, sealer: Sealer, sealed: list[str]) -> None:
    a, b = sealed[3], sealed[200]
    change(
        database,
        f"UPDATE exchange SET exchange_id = 'x' WHERE exchange_id = '{a}'",
        f"UPDATE exchange SET exchange_id = '{a}' WHERE exchange_id = '{b}'",
        f"UPDATE exchange SET exchange_id = '{b}' WHERE exchange_id = 'x'",
    )
    assert sorted(problem.place.split()[1] for problem in problems(log, sealer)) == sorted([a, b])


def test_a_changed_and_a_removed_event_are_named(
    database: Database, log: Evidence, sealer: Sealer, sealed: list[str]
) -> None:
    change(database, "UPDATE event SET event = 'matched' WHERE id = 2", "DELETE FROM event WHERE id = 1")
    places = [problem.place for problem in problems(log, sealer)]
    assert len(places) == 2
    assert any("(id 2)" in place for place in places)


def test_a_deleted_body_is_no_problem_and_is_counted(
    database: Database, log: Evidence, sealer: Sealer, sealed: list[str]
) -> None:
    """The law may ask for it; inclusion stays provable."""
    change(database, f"UPDATE exchange SET body = '' WHERE exchange_id = '{sealed[9]}'")
    found = Findings()
    assert list(audit(log, [sealer.verifier], {}, found)) == []
    assert found.deleted == 1


def test_a_parent_that_no_event_confirms_is_named(
    database: Database, log: Evidence, ledger: FullLedger, sealer: Sealer
) -> None:
    answer, asked = waiting(answers=[BusinessKey("EntryId", "1")]), accepted()
    deliver(ledger, answer, asked)
    sealer.seal()
    change(
        database,
        f"UPDATE exchange SET outcome = 'accepted', parent_exchange_id = '{asked.exchange_id}',"
        f" parent_sender = '{ALICE}', parent_message_id = 'M1' WHERE exchange_id = '{answer.exchange_id}'",
    )
    (found,) = problems(log, sealer)
    assert answer.exchange_id in found.place


def test_a_copy_in_no_state_that_there_is_is_named(
    database: Database, log: Evidence, sealer: Sealer, sealed: list[str]
) -> None:
    """A copy's state is no part of a leaf, since it changes; but only four words are any."""
    change(
        database,
        "UPDATE copy SET state = 'sent' WHERE n = 0",
        f"UPDATE copy SET state = 'lost' WHERE seq = (SELECT seq FROM exchange WHERE exchange_id = '{sealed[9]}')",
    )
    (found,) = problems(log, sealer)
    assert sealed[9] in found.place
    assert "no state" in found.what


def test_messages_that_are_not_sealed_are_compared_with_their_digests(
    database: Database, log: Evidence, ledger: FullLedger, sealed: list[str]
) -> None:
    """Of what no checkpoint covers nothing else can be said; what was sealed is not looked at again."""
    changed, deleted = accepted("LATE1"), accepted("LATE2")
    record(ledger, changed, deleted)
    for number, body in ((sealed[0], "'x'"), (changed.exchange_id, "'x'"), (deleted.exchange_id, "''")):
        literal = body if database.kind == "postgresql" else f"CAST({body} AS BLOB)"
        change(database, f"UPDATE exchange SET body = {literal} WHERE exchange_id = '{number}'")
    found = Findings()
    (problem,) = audit_unsealed(log, found)
    assert changed.exchange_id in problem.place
    assert problem.what == "its bytes are not those of its digest"
    assert (found.unsealed, found.deleted) == (2, 1)


def test_a_changed_manifest_is_named_and_not_proved(
    database: Database, log: Evidence, ledger: FullLedger, sealer: Sealer
) -> None:
    """The entry of the rules has their digest alone, of which the manifest is the text."""
    text = manifest(b"routes", {"dec/1/A.xsd": b"a"})
    message = replace(accepted("M1"), rules_digest=digest_of(text))
    ledger.note_rules(digest_of(text), (), NOW, text)
    with ledger.write({identity(message)}, NOW, message.rules_digest) as book:
        book.record([Entry(identity(message), message)])
    sealer.seal()
    assert problems(log, sealer) == []
    change(database, "UPDATE rules SET manifest = replace(manifest, 'A.xsd', 'B.xsd')")
    (problem,) = problems(log, sealer)
    assert problem.place.startswith("rules ")
    with pytest.raises(ConfigFault, match="it was changed after it was sealed"):
        bundle.prove(log, message.exchange_id, lambda: "", lambda _: None)


def test_a_damaged_tile_is_named_as_a_tile(
    database: Database, log: Evidence, sealer: Sealer, sealed: list[str]
) -> None:
    with closing(database.connect()) as link:
        hashes = bytes(link.execute("SELECT hashes FROM tile WHERE level = 0 AND number = 0").fetchone()[0])
    flipped = (bytes((hashes[0] ^ 1,)) + hashes[1:]).hex()
    literal = f"x'{flipped}'" if database.kind == "sqlite" else f"'\\x{flipped}'"
    change(database, f"UPDATE tile SET hashes = {literal} WHERE level = 0 AND number = 0")
    found = problems(log, sealer)
    assert Problem("tile 0/0", "does not give the hash that stands for it above") in found


def test_a_rewritten_tail_is_found_by_who_kept_a_checkpoint(
    database: Database, log: Evidence, sealer: Sealer, sealed: list[str], tmp_path: Path
) -> None:
    """The operator, with the log's own key, changes a row and makes everything after it anew."""
    kept = log.head()
    assert kept
    change(
        database,
        f"UPDATE exchange SET sender = 'nobody' WHERE exchange_id = '{sealed[-1]}'",
        *(f"DELETE FROM {table}" for table in ("sealed", "tile", "checkpoint")),
    )
    forger = sealer_of(log, tmp_path / "new.head")
    assert sum(forger.seal_all()) == kept.size
    assert problems(log, sealer) == [], "by itself the new log is whole"
    found = problems(log, sealer, {"the checkpoint of customs": kept.note})
    assert [problem.place for problem in found] == ["the checkpoint of customs"]
    assert "rewritten" in found[0].what
    with pytest.raises(ConfigFault, match="does not begin with"):
        sealer.check()


def test_an_older_database_is_refused(
    database: Database, log: Evidence, ledger: FullLedger, sealer: Sealer, sealed: list[str]
) -> None:
    """Restored from a backup: the remembered checkpoint says more than there is."""
    newest = head(log).size
    kept = log.head()
    assert kept
    change(
        database,
        f"DELETE FROM checkpoint WHERE size = {newest}",
        f"DELETE FROM sealed WHERE first_leaf >= {next(log.checkpoints()).size}",
    )
    with pytest.raises(ConfigFault, match="older database was restored"):
        sealer.seal()
    found = problems(log, sealer, {"kept": kept.note})
    assert any("older one was restored" in problem.what for problem in found)


def test_a_checkpoint_of_another_key_is_named(log: Evidence, sealer: Sealer, sealed: list[str]) -> None:
    stranger = SigningKey.from_seed("stranger", b"\6" * 32)
    signed = log.head()
    assert signed
    log.cosigned(signed.size, checkpoint.sign(head(log), stranger), 0)
    (found,) = problems(log, sealer)
    assert found.place == f"checkpoint {signed.size}"
    assert "trusted" in found.what


def test_changed_spans_are_named(database: Database, log: Evidence, sealer: Sealer, sealed: list[str]) -> None:
    change(database, "DELETE FROM sealed WHERE first_leaf = 0")
    found = problems(log, sealer)
    assert found[0].place == "leaves 0 to 287"


def test_leaves_are_read_page_by_page(log: Evidence, ledger: FullLedger) -> None:
    """More exchanges than a page, in order, none twice."""
    number = record(ledger, *(accepted(f"M{n}") for n in range(1100)))
    found = [leaf.number for leaf in log.leaves(Span(Kind.BATCH, number, number))]
    assert len(found) == 1100 > 4 * WIDTH
    assert found == sorted(set(found))


def test_many_processes_find_what_one_finds(
    database: Database, log: Evidence, ledger: FullLedger, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans compared in processes of their own: the same findings in the same order, and the counts add up."""
    monkeypatch.setattr(auditor, "AT_ONCE", 3)
    for first in range(0, 30, 3):
        fill(ledger, 3, first)
        sealer.seal()
    change(
        database,
        "UPDATE exchange SET code = '9999' WHERE seq % 9 = 0",
        "UPDATE exchange SET body = '' WHERE seq % 7 = 0",
    )
    alone, together = Findings(), Findings()
    wanted = list(audit(log, [sealer.verifier], {}, alone))
    done: list[int] = []
    found = list(audit(log, [sealer.verifier], {}, together, done.append, compare=comparing(database.url)))
    assert len(done) > FEW, "there was little to do: no process was started"
    assert wanted
    assert (found, together, sum(done)) == (wanted, alone, alone.size)
    assert alone.deleted
