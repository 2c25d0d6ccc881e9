"""A refused message that a replay accepts after all goes the way of any message: recorded once, whatever dies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from swexchange.core.decide import decide
from swexchange.core.lanes import Weights
from swexchange.core.model import Decision, Delivery, Fate
from swexchange.core.replay import Done, Parcel
from swexchange.core.rulebook import Rulebook
from swexchange.pipeline import process
from swexchange.replay.run import Accepting, Ending, Pace, Run
from swexchange.store import FullLedger, open_audit_log, open_backlog
from tests import world
from tests.contract.conftest import Database
from tests.unit.test_replay_run import Memory

STRICT = world.permitting(world.ENTERPRISE, sends=frozenset({"CEB621Message"}))
TODAY = world.NOW + timedelta(days=30)


def refused(ledger: FullLedger, delivery: Delivery) -> Decision:
    """A message refused at NOW by a mistake in the rules, as the daemon records it."""
    report = process([delivery], STRICT, ledger, Memory([]), lambda: world.NOW)
    (decision,) = report.decided
    assert decision.code == "4106"
    return decision


def parcel(decision: Decision, seq: int = 1) -> Parcel:
    """The item that accepts it."""
    delivery = Delivery(0, decision.submitter, decision.body)
    return Parcel(seq, decision.exchange_id, decision.lane, (), delivery, decision.received_at)


def replayed(ledger: FullLedger, rules: Rulebook, *parcels: Parcel, **fates: Fate) -> tuple[list[Done], Memory]:
    """What a run thirty days later makes of items."""
    memory, done = Memory(parcels, fates), list[Done]()
    pace = Pace(canary=0, most_failed=1.0)
    run = Run("R1", memory, memory, lambda: TODAY, lambda _: None, Accepting(rules, ledger), pace, done.extend)
    assert run.go() is Ending.COMPLETE
    return done, memory


def test_it_is_judged_as_of_then_and_recorded_as_of_today(ledger: FullLedger, database: Database) -> None:
    """A key revoked since, and a limit of age, do not matter; a new exchange stands beside the old one."""
    old = refused(ledger, world.declared())
    key = world.registered(world.ENTERPRISE, revoked_at=world.NOW + timedelta(days=1))
    rules = world.rulebook(keys={**world.rulebook().keys, key.id: key})
    (done,), memory = replayed(ledger, rules, parcel(old))
    assert (done.fate, done.accepted_as != old.exchange_id) == ("", True)
    assert memory.replays == {"R1"}
    with open_audit_log(database.url) as audit_log:
        new, before = audit_log.show(done.accepted_as), audit_log.show(old.exchange_id)
    assert new is not None
    assert before is not None
    assert (new.decision.outcome, new.decision.received_at, before.decision.outcome) == ("accepted", TODAY, "rejected")
    assert (new.decision.body, new.copies[0].to, new.copies[0].state) == (old.body, world.CUSTOMS, "sent")


def test_what_goes_to_an_upstream_is_queued_for_it(ledger: FullLedger, database: Database) -> None:
    """Recorded as accepted it is done: the forwarder sends it later, and says which replay it is."""
    old = refused(ledger, world.declared())
    rules = world.rulebook()
    behind = replace(rules.participants[world.CUSTOMS], upstream="province")
    rules = replace(rules, participants={**rules.participants, world.CUSTOMS: behind})
    (done,), memory = replayed(ledger, rules, parcel(old))
    assert (done.fate, bool(done.accepted_as)) == ("", True)
    assert [ids for ids in memory.published if decide(world.declared(), rules, TODAY).copies[0].id in ids] == []
    with open_backlog(database.url) as backlog:
        (copy,) = backlog.take(rules.remote, 2**40, 10, Weights(), 2**20, TODAY)
    assert (copy.to, copy.exchange_id, copy.replay) == (world.CUSTOMS, done.accepted_as, "R1")


def test_after_a_crash_it_is_known_again(ledger: FullLedger) -> None:
    """Accepted, but not marked: the next run finds the exchange that it became; no second one, no second copy."""
    old = refused(ledger, world.declared())
    (first,), _ = replayed(ledger, world.rulebook(), parcel(old))
    (second,), memory = replayed(ledger, world.rulebook(), parcel(old))
    assert (second.fate, second.accepted_as) == ("", first.accepted_as)
    (published,) = memory.published
    receipt = decide(world.declared(), world.rulebook(), TODAY).receipt
    assert receipt is not None
    assert published == [receipt.id]


def test_a_copy_that_fails_is_owed_and_counted(ledger: FullLedger) -> None:
    """It is accepted all the same: the daemon sends the copy; the run sees the failure."""
    old = refused(ledger, world.declared())
    copy = decide(world.declared(), world.rulebook(), TODAY).copies[0]
    (done,), _ = replayed(ledger, world.rulebook(), parcel(old), **{copy.id: Fate.RETURNED})
    assert (done.fate, bool(done.accepted_as)) == ("returned", True)
    assert [due.id for due in ledger.due(TODAY + timedelta(minutes=1), 10)] == [copy.id]


@pytest.mark.parametrize("meanwhile", ["another message took the id", "the rules refuse it still"])
def test_what_cannot_be_accepted_stays_refused(ledger: FullLedger, meanwhile: str) -> None:
    """Never in place of an accepted message, never against the rules: the recorded refusal answers; others go on."""
    old, other = refused(ledger, world.declared()), refused(ledger, world.declared("MSG-0002"))
    rules, codes = STRICT, ["refused 4106"] * 2
    if meanwhile == "another message took the id":
        rules, codes = world.rulebook(), ["refused 4106", ""]
        process([world.declared(keys={"Other": "bytes"})], rules, ledger, Memory([]), lambda: TODAY)
    done, _ = replayed(ledger, rules, parcel(old), parcel(other, 2))
    assert [one.fate for one in sorted(done, key=lambda one: one.parcel.seq)] == codes
