"""What the store promises of copies for an upstream: order within a lane, one forwarder, nothing forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from swexchange.core.breaker import Standing, State
from swexchange.core.forecast import Sample
from swexchange.core.identity import identity, lookups
from swexchange.core.lanes import Weights
from swexchange.core.model import Copy, Decision, Fate
from swexchange.store import Backlog, FullLedger, open_audit_log, open_backlog, open_ledger
from tests.contract.conftest import Database
from tests.contract.exchanges import ALICE, CUSTOMS, NOW, RULES, accepted, after, record, rejected

PROVINCE = "DXPGDP4400000001"
REMOTE = frozenset({PROVINCE})
PLENTY = 2**40


@pytest.fixture
def backlog(database: Database) -> Iterator[Backlog]:
    """The forwarder's store on the same database."""
    with open_backlog(database.url) as opened:
        yield opened


def _to_province(number: str, lane: str = "", to: tuple[str, ...] = (PROVINCE,)) -> Decision:
    return replace(accepted(number, to=to), lane=lane)


def _taken(backlog: Backlog, most: int = 100, boundary: int = PLENTY, **later: float) -> list[Copy]:
    taken = backlog.take(REMOTE, boundary, most, Weights(3, 1), PLENTY, after(**later))
    assert {copy.to for copy in taken} <= REMOTE
    return list(taken)


def _ids(copies: list[Copy]) -> list[str]:
    return [copy.correlation_id for copy in copies]


def _confirm(backlog: Backlog, copies: list[Copy]) -> None:
    backlog.settle([(copy, Fate.CONFIRMED) for copy in copies], NOW)


def test_copies_for_an_upstream_are_the_forwarders_alone(ledger: FullLedger, backlog: Backlog) -> None:
    """Queued at once, equal to what was decided; never due for our own broker, not even after a crash of the worker."""
    fresh = _to_province("M1", to=(CUSTOMS, PROVINCE))
    record(ledger, fresh, remote=REMOTE)
    assert _taken(backlog) == [fresh.copies[1]]
    assert {copy.to for copy in ledger.due(after(days=1), 10, REMOTE)} == {CUSTOMS, ALICE}
    with ledger.write(lookups(fresh), NOW, RULES) as book:
        assert [copy.to for copy in book.known(lookups(fresh))[identity(fresh)].unsent] == [CUSTOMS]


def test_a_confirmed_copy_is_done(ledger: FullLedger, backlog: Backlog, database: Database) -> None:
    """Nothing is left, and the trail says when it was sent."""
    fresh = _to_province("M1", "A n=1")
    record(ledger, fresh, remote=REMOTE)
    _confirm(backlog, _taken(backlog))
    assert _taken(backlog, days=1) == []
    with open_audit_log(database.url) as audit_log:
        trail = audit_log.show(fresh.exchange_id)
    assert trail is not None
    assert [(c.state, c.at) for c in trail.copies if c.to == PROVINCE] == [("sent", NOW)]


def test_only_the_oldest_of_a_lane_is_ever_on_its_way(ledger: FullLedger, backlog: Backlog) -> None:
    """The next of a lane comes when the one before is confirmed; lanes do not wait for each other."""
    numbers = [("A1", "A"), ("B1", "B"), ("A2", "A"), ("none", ""), ("A3", "A"), ("B2", "B")]
    record(ledger, *(_to_province(n, lane) for n, lane in numbers), remote=REMOTE)
    came = []
    while taken := _taken(backlog):
        came.append(_ids(taken))
        _confirm(backlog, taken)
    assert came == [["A1", "B1", "none"], ["A2", "B2"], ["A3"]]


@pytest.mark.parametrize("fate", [Fate.RETURNED, Fate.REFUSED])
def test_a_failed_copy_holds_back_its_lane_alone(ledger: FullLedger, backlog: Backlog, fate: Fate) -> None:
    """It waits 10 s and then 20 s; whatever comes after it in its lane waits too, others do not."""
    record(ledger, *(_to_province(n, n[0]) for n in ("A1", "A2", "B1", "B2")), remote=REMOTE)
    first, other = _taken(backlog)
    backlog.settle([(first, fate), (other, Fate.CONFIRMED)], NOW)
    assert _ids(_taken(backlog, seconds=9)) == ["B2"]
    assert _ids(_taken(backlog, seconds=10)) == ["A1", "B2"]
    backlog.settle([(first, fate)], after(seconds=10))
    assert "A1" not in _ids(_taken(backlog, seconds=29))
    assert "A1" in _ids(_taken(backlog, seconds=30))


def test_no_answer_spends_no_attempt(ledger: FullLedger, backlog: Backlog, database: Database) -> None:
    """An unknown copy stays the head of its lane, is due at once, and is noted once."""
    record(ledger, _to_province("A1", "A"), _to_province("A2", "A"), remote=REMOTE)
    for _ in range(3):
        (head,) = _taken(backlog)
        backlog.settle([(head, Fate.UNKNOWN)], NOW)
    assert _ids(_taken(backlog)) == ["A1"]
    assert database.rows("SELECT event FROM event") == [("unconfirmed",)]
    assert database.rows("SELECT max(tries) FROM copy WHERE state = 'queued'") == [(0,)]


def test_live_and_backlog_share_oldest_first(ledger: FullLedger, backlog: Backlog) -> None:
    """What was recorded before the mark is the backlog: one in four, each part in its order."""
    record(ledger, *(_to_province(f"old{n}") for n in range(9)), remote=REMOTE)
    boundary = backlog.newest()
    record(ledger, *(_to_province(f"new{n}") for n in range(9)), remote=REMOTE)
    assert _ids(_taken(backlog, 8, boundary)) == ["old0", "old1", "new0", "new1", "new2", "new3", "new4", "new5"]
    assert _ids(_taken(backlog, 1, boundary)) == ["old0"]


def test_a_live_copy_never_overtakes_its_lane(ledger: FullLedger, backlog: Backlog) -> None:
    """However the weights are, order within a lane comes first."""
    record(ledger, *(_to_province(f"old{n}", f"L{n}") for n in range(9)), remote=REMOTE)
    boundary = backlog.newest()
    record(ledger, _to_province("new8", "L8"), _to_province("new9", "L9"), remote=REMOTE)
    assert _ids(_taken(backlog, 4, boundary)) == ["old0", "old1", "old2", "new9"]


def test_bytes_are_bounded_but_one_copy_always_passes(ledger: FullLedger, backlog: Backlog) -> None:
    """Large bodies are not all read at once."""
    record(ledger, *(_to_province(f"M{n}") for n in range(5)), remote=REMOTE)
    size = len(_taken(backlog)[0].body)
    for room, count in ((0, 1), (2 * size, 2), (2 * size + 1, 2), (9 * size, 5)):
        assert len(backlog.take(REMOTE, PLENTY, 100, Weights(), room, NOW)) == count


def test_a_repeat_from_an_upstream_brings_its_receipt_again(ledger: FullLedger, backlog: Backlog) -> None:
    """The stored receipt is queued once more, byte for byte; one that an operator dropped is not."""
    refused = rejected(sender=PROVINCE)
    record(ledger, refused, remote=REMOTE)
    _confirm(backlog, _taken(backlog))
    _requeue(ledger, refused)
    assert _taken(backlog) == list(refused.copies)
    assert backlog.drop(refused.exchange_id, PROVINCE, "by anna: gone", NOW) == 1
    _requeue(ledger, refused)
    assert _taken(backlog) == []


def _requeue(ledger: FullLedger, decision: Decision) -> None:
    with ledger.write(lookups(decision), NOW, RULES) as book:
        book.requeue(decision.copies)


def test_an_operators_decision_frees_the_lane_and_is_recorded(
    ledger: FullLedger, backlog: Backlog, database: Database
) -> None:
    """Nothing else ever drops a copy; the trail says who gave it up and why."""
    first = _to_province("A1", "A")
    record(ledger, first, _to_province("A2", "A"), remote=REMOTE)
    assert backlog.drop(first.exchange_id, PROVINCE, "anna: withdrawn", NOW) == 1
    assert backlog.drop(first.exchange_id, PROVINCE, "anna: withdrawn", NOW) == 0
    assert _ids(_taken(backlog)) == ["A2"]
    assert database.rows("SELECT event, detail FROM event") == [("dropped", f"{PROVINCE}: anna: withdrawn")]
    with open_audit_log(database.url) as audit_log:
        trail = audit_log.show(first.exchange_id)
    assert trail is not None
    assert {c.to: c.state for c in trail.copies}[PROVINCE] == "dropped"


def test_what_our_own_broker_still_owed_moves_to_a_new_upstream(ledger: FullLedger, backlog: Backlog) -> None:
    """From virtual to physical: copies left due or in an unsettled batch are the forwarder's, in their lanes."""
    failed, left = _to_province("A1", "A"), _to_province("A2", "A")
    ledger.settle(record(ledger, failed), [(failed.copies[0], Fate.RETURNED)], NOW)
    record(ledger, left)
    assert not [c for c in ledger.due(after(minutes=2), 10, REMOTE) if c.to == PROVINCE]
    taken = _taken(backlog, minutes=2)
    assert _ids(taken) == ["A1"]
    _confirm(backlog, taken)
    assert _ids(_taken(backlog, minutes=2)) == ["A2"]


def test_what_an_upstream_was_owed_comes_back_to_our_own_broker(database: Database, ledger: FullLedger) -> None:
    """From physical to virtual: what is queued for nobody's upstream is due here, the oldest first."""
    record(ledger, *(_to_province(f"A{n}", "A") for n in range(3)), remote=REMOTE)
    ledger.settle(1, (), NOW)
    assert not ledger.due(NOW, 10, REMOTE)
    assert _ids(list(ledger.due(NOW, 10, frozenset()))) == ["A0", "A1", "A2"]
    with open_ledger(database.url) as other:
        assert not other.due(NOW, 10, frozenset())  # they are claimed


def test_one_forwarder_holds_an_upstream(backlog: Backlog, database: Database) -> None:
    """Another one waits until the lease ends or is given back, and then finds how the upstream stands."""
    standing = Standing(State.OPEN, "down", NOW, NOW, 7, 12.5)
    with open_backlog(database.url) as other:
        assert backlog.hold("province", "one", NOW, 15) == Standing()
        backlog.tell("province", standing, Sample(NOW, 3, 7, backlog.stored()))
        assert other.hold("province", "two", after(seconds=15), 15) is None
        assert backlog.hold("province", "one", after(seconds=10), 15) == standing
        assert other.hold("province", "two", after(seconds=25), 15) is None
        assert other.hold("province", "two", after(seconds=26), 15) == standing
        assert backlog.hold("province", "one", after(seconds=27), 15) is None
        other.release("province", "two")
        assert backlog.hold("province", "one", after(seconds=28), 15) == standing


def test_a_clock_that_was_ahead_delays_nothing(ledger: FullLedger, backlog: Backlog, database: Database) -> None:
    """What a wrong clock put off, or held, for a year is free once the clock is right; minutes are waited for."""
    record(ledger, *(_to_province(n, n[0]) for n in ("A1", "A2", "B1")), remote=REMOTE)
    first, other = _taken(backlog)
    backlog.settle([(first, Fate.REFUSED)], after(days=365))
    backlog.settle([(other, Fate.REFUSED)], after(minutes=5))
    assert _ids(_taken(backlog)) == ["A1"]
    assert _ids(_taken(backlog, minutes=6)) == ["A1", "B1"]
    with open_backlog(database.url) as dead:
        dead.hold("province", "dead", after(days=365), 15)
    assert backlog.hold("province", "one", NOW, 15) == Standing()
    with open_backlog(database.url) as beside:
        assert beside.hold("province", "a minute behind", after(minutes=-1), 15) is None


def test_the_size_of_a_backlog(ledger: FullLedger, backlog: Backlog) -> None:
    """How many wait, and since when the oldest."""
    assert backlog.size(REMOTE) == (0, None)
    record(ledger, _to_province("M1"), _to_province("M2"), remote=REMOTE)
    assert backlog.size(REMOTE) == (2, NOW)
    assert backlog.size({CUSTOMS}) == (0, None)
