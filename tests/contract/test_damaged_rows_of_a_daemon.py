"""A daemon leaves a row that was changed by hand aside, says so, and goes on with all others, on both databases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from swexchange.core.breaker import Standing
from swexchange.core.forecast import Sample
from swexchange.core.identity import identity, lookups
from swexchange.core.lanes import Weights
from swexchange.core.model import BusinessKey, Copy, Decision, Fate, Kind, Outcome
from swexchange.errors import DamagedRow
from swexchange.forwarder import send_due
from swexchange.store import Backlog, FullLedger, open_audit_log, open_backlog, open_ledger
from tests.contract.conftest import Database, change
from tests.contract.exchanges import ALICE, CUSTOMS, NOW, RULES, accepted, after, deliver, record, waiting

PROVINCE = "DXPGDP4400000001"
REMOTE = frozenset({PROVINCE})
ENTRY = BusinessKey("EntryId", "530420261040012345")


class Confirming:
    """A sink that takes everything."""

    def publish(self, copies: Sequence[Copy]) -> Sequence[Fate]:
        return [Fate.CONFIRMED for _ in copies]


@pytest.fixture
def told() -> list[DamagedRow]:
    """What a daemon says of rows."""
    return []


@pytest.fixture
def daemon(database: Database, told: list[DamagedRow]) -> Iterator[FullLedger]:
    """A worker's store."""
    with open_ledger(database.url, told.append) as opened:
        yield opened


@pytest.fixture
def backlog(database: Database, told: list[DamagedRow]) -> Iterator[Backlog]:
    """A forwarder's store."""
    with open_backlog(database.url, told.append) as opened:
        yield opened


def spoil(database: Database, one: Decision, changed: str) -> None:
    seq = f"SELECT seq FROM exchange WHERE exchange_id = '{one.exchange_id}'"
    table = "copy" if changed.startswith("kind") else "exchange"
    condition = "kind = 'message'" if table == "copy" else "seq > 0"
    change(database, f"UPDATE {table} SET {changed} WHERE {condition} AND seq = ({seq})")


def require_told(told: list[DamagedRow], *about: Decision) -> None:
    """Each once, by its exchange."""
    assert [one.exchange_id for one in about] == [
        next(one.exchange_id for one in about if one.exchange_id in fault.what) for fault in told
    ]


def test_an_answer_that_cannot_be_read_keeps_no_other_from_its_parent(
    daemon: FullLedger, database: Database, told: list[DamagedRow]
) -> None:
    """It goes on waiting, and is told each time that it is tried."""
    question = accepted(keys=[ENTRY])
    spoilt, answer = (waiting(name, [ENTRY]) for name in ("Z1", "Z2"))
    deliver(daemon, question, spoilt, answer)
    spoil(database, spoilt, "detail = '{'")
    sent = send_due(daemon, Confirming(), after(seconds=5))
    assert [one.exchange_id for one in sent.matched] == [answer.exchange_id]
    require_told(told, spoilt)
    assert [one.exchange_id for one in daemon.waiting(after(seconds=90), 10)] == []
    require_told(told, spoilt, spoilt)


def test_a_due_copy_that_cannot_be_read_keeps_no_other_back(
    daemon: FullLedger, database: Database, told: list[DamagedRow]
) -> None:
    """It is due again later, and later each time; not in every pass."""
    spoilt, fresh = accepted("M1"), accepted("M2")
    record(daemon, spoilt, fresh)
    spoil(database, spoilt, "kind = 'letter'")
    due = daemon.due(after(seconds=60), 10)
    assert {copy.id for copy in due} == {copy.id for copy in (spoilt.copies[1], *fresh.copies)}
    require_told(told, spoilt)
    assert not daemon.due(after(seconds=69), 10)
    require_told(told, spoilt)
    daemon.due(after(seconds=70), 10)
    require_told(told, spoilt, spoilt)


def test_a_copy_whose_lane_cannot_be_read_is_handed_over_all_the_same(
    daemon: FullLedger, backlog: Backlog, database: Database, told: list[DamagedRow]
) -> None:
    """Its receiver moved behind an upstream: it goes there in no lane, the others in theirs."""
    spoilt, fresh = (replace(accepted(name, to=(PROVINCE,)), lane="L") for name in ("M1", "M2"))
    record(daemon, spoilt, fresh)
    spoil(database, spoilt, "detail = '[]'")
    daemon.due(after(seconds=60), 10, REMOTE)
    require_told(told, spoilt)
    taken = backlog.take(REMOTE, 2**40, 10, Weights(3, 1), 2**20, after(seconds=60))
    assert [copy.correlation_id for copy in taken] == ["M1", "M2"]


def test_a_queued_copy_that_cannot_be_read_stops_no_upstream(
    daemon: FullLedger, backlog: Backlog, database: Database, told: list[DamagedRow]
) -> None:
    """Not even one at a time, as behind an open breaker; its own lane waits with it."""
    spoilt, behind, fresh = (
        replace(accepted(name, to=(PROVINCE,)), lane=lane) for name, lane in (("M1", "L"), ("M2", "L"), ("M3", "K"))
    )
    record(daemon, spoilt, behind, fresh, remote=REMOTE)
    spoil(database, spoilt, "kind = 'letter'")

    def taken() -> list[Copy]:
        return list(backlog.take(REMOTE, 2**40, 1, Weights(3, 1), 2**20, NOW))

    assert taken() == []
    require_told(told, spoilt)
    for _ in range(2):
        assert [copy.correlation_id for copy in taken()] == ["M3"]
    require_told(told, spoilt)


@pytest.mark.parametrize("changed", ["kind = 'letter'", "detail = '{'", "outcome = 'perhaps'"])
def test_a_repeat_of_what_cannot_be_read_takes_no_effect_again(
    daemon: FullLedger, database: Database, told: list[DamagedRow], changed: str
) -> None:
    """Its exchange is known, with its receipt; a copy that cannot be read is not sent."""
    fresh = accepted()
    record(daemon, fresh)
    spoil(database, fresh, changed)
    with daemon.write(lookups(fresh), after(seconds=1), RULES) as book:
        known = book.known(lookups(fresh))[identity(fresh)]
    assert (known.exchange_id, known.outcome, known.receipt) == (fresh.exchange_id, Outcome.ACCEPTED, fresh.receipt)
    is_copy = changed.startswith("kind")
    assert [(c.kind, c.to) for c in known.unsent] == ([] if is_copy else [(Kind.MESSAGE, CUSTOMS)])
    require_told(told, *([fresh] if is_copy else []))
    assert fresh.sender == ALICE


def test_an_upstream_whose_standing_cannot_be_read_is_forwarded_to_all_the_same(
    backlog: Backlog, database: Database, told: list[DamagedRow]
) -> None:
    """As one that is new; what its forwarder says next mends the row."""
    backlog.hold("province", "one", NOW, 10)
    change(database, "UPDATE upstream SET breaker = 'ajar'")
    assert backlog.hold("province", "one", NOW, 10) == Standing()
    assert [fault.where for fault in told] == ["table upstream"]
    with open_audit_log(database.url) as log, pytest.raises(DamagedRow, match="upstream province cannot be read"):
        log.upstreams()
    backlog.tell("province", Standing(), Sample(NOW, 0, 0, 0))
    backlog.hold("province", "one", NOW, 10)
    assert len(told) == 1


def test_queued_copies_without_their_exchange_stop_no_upstream(
    daemon: FullLedger, backlog: Backlog, database: Database, told: list[DamagedRow]
) -> None:
    """Its row was removed: there is nothing to send. The others go on, and how many wait can still be told."""
    gone, fresh = (replace(accepted(name, to=(PROVINCE,)), lane=name) for name in ("M1", "M2"))
    record(daemon, gone, fresh, remote=REMOTE)
    change(database, f"DELETE FROM exchange WHERE exchange_id = '{gone.exchange_id}'")
    taken = backlog.take(REMOTE, 2**40, 10, Weights(3, 1), 2**20, NOW)
    assert [copy.correlation_id for copy in taken] == ["M2"]
    assert [fault.where for fault in told] == ["table copy"]
    assert [copy.correlation_id for copy in backlog.take(REMOTE, 2**40, 1, Weights(3, 1), 2**20, NOW)] == ["M2"]
    assert backlog.size(REMOTE) == (1, fresh.received_at)
    with open_audit_log(database.url) as log:
        assert log.queued() == {PROVINCE: (1, fresh.received_at)}


@pytest.mark.parametrize("state", ["due", "queued"])
def test_a_copy_without_a_time_is_sent_all_the_same(
    daemon: FullLedger, backlog: Backlog, database: Database, state: str
) -> None:
    """Its time was taken from its row: it is due, not forgotten."""
    record(daemon, accepted("M1", to=(PROVINCE,)), remote=REMOTE)
    change(database, f"UPDATE copy SET due_at = NULL, state = '{state}' WHERE kind = 'message'")
    found = daemon.due(NOW, 10) if state == "due" else backlog.take(REMOTE, 2**40, 1, Weights(3, 1), 2**20, NOW)
    assert [copy.correlation_id for copy in found] == ["M1"]


def test_an_answer_without_a_time_is_matched_all_the_same(daemon: FullLedger, database: Database) -> None:
    """It would wait for ever, whatever comes."""
    answer = waiting("Z1", [ENTRY])
    deliver(daemon, accepted(keys=[ENTRY]), answer)
    change(database, "UPDATE exchange SET next_try = NULL")
    sent = send_due(daemon, Confirming(), after(seconds=5))
    assert [one.exchange_id for one in sent.matched] == [answer.exchange_id]


SQLITE_ALLOWS = [
    "recipient = x'ff41'",
    "replay = x'ff41'",
    "tries = 'many'",
    "tries = x'00'",
    "tries = -5",
]


@pytest.mark.parametrize("changed", SQLITE_ALLOWS)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_due_copy_of_wrong_values_kills_no_worker(daemon: FullLedger, database: Database, changed: str) -> None:
    """It is left aside, or sent; either way the other is sent, and what is sent can be."""
    record(daemon, accepted("M1"), accepted("M2"))
    change(
        database,
        "UPDATE copy SET state = 'due', due_at = 0",
        f"UPDATE copy SET {changed} WHERE kind = 'message' AND seq = (SELECT min(seq) FROM copy)",
    )
    sent = send_due(daemon, Refusing(), after(seconds=60))
    assert "M2" in {copy.correlation_id for copy, _ in sent.fates}
    assert all(isinstance(text, str) for copy, _ in sent.fates for text in (copy.to, copy.replay))


@pytest.mark.parametrize("name", ["x" * 300, "省" * 90], ids=["letters", "characters"])
def test_a_copy_to_nobody_that_could_be_named_kills_no_worker(
    daemon: FullLedger, database: Database, told: list[DamagedRow], name: str
) -> None:
    """No queue has such a name, AMQP cannot even say it: the copy is left aside."""
    record(daemon, accepted("M1"), accepted("M2"))
    change(
        database, f"UPDATE copy SET recipient = '{name}' WHERE kind = 'message' AND seq = (SELECT min(seq) FROM copy)"
    )
    due = daemon.due(after(seconds=60), 10)
    assert len(due) == 3
    assert len(told) == 1


class Refusing:
    """A sink that takes nothing."""

    def publish(self, copies: Sequence[Copy]) -> Sequence[Fate]:
        return [Fate.REFUSED for _ in copies]
