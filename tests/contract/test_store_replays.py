"""What the store promises of replays: frozen plans, one run at a time, no exchange in two, all of it on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from swexchange.core.identity import claim
from swexchange.core.lanes import Weights
from swexchange.core.model import BusinessKey, Copy, Fate, Kind
from swexchange.core.replay import BEHIND, PRUNED, Does, Done, Item, Parcel, Target
from swexchange.errors import Busy, ConfigFault
from swexchange.evidence.auditor import Findings, audit
from swexchange.store import (
    FullLedger,
    Replays,
    Runner,
    Running,
    open_audit_log,
    open_backlog,
    open_evidence,
    open_replays,
    open_running,
)
from swexchange.store.replays import Plan
from tests.contract.conftest import Database, change
from tests.contract.exchanges import ALICE, BOB, CUSTOMS, NOW, PORT, RULES, accepted, after, deliver, record, rejected
from tests.contract.place import sealer_of

PROVINCE = "DXPGDP4400000001"
ENTRY = BusinessKey("EntryId", "530420261040012345")
LANE = "integrator EntryId=530420261040012345"
TO_CUSTOMS = (Target(Kind.MESSAGE, CUSTOMS, True),)
Runs = Callable[..., Running]


@pytest.fixture
def replays(database: Database) -> Iterator[Replays]:
    """The replays of an empty database."""
    with open_replays(database.url) as opened:
        yield opened


@pytest.fixture
def runs(database: Database) -> Iterator[Runs]:
    """Makes runs of a replay, each by a runner of its own."""
    with ExitStack() as stack:

        def run(replay_id: str, name: str = "one", max_bytes: int = 2**20) -> Running:
            runner = Runner(name, f"{name}@host", "ticket 4711")
            return stack.enter_context(open_running(database.url, replay_id, runner, max_bytes))

        yield run


@pytest.fixture
def seqs(ledger: FullLedger, database: Database) -> list[int]:
    """Five delivered messages; the third is of the first one's lane."""
    for n in range(5):
        message = accepted(f"M{n}", keys=[ENTRY] if n in (0, 2) else [], at=after(seconds=n))
        deliver(ledger, replace(message, lane=LANE if message.keys else ""))
    return [seq for (seq,) in database.rows("SELECT seq FROM exchange ORDER BY seq")]


def planned(replays: Replays, seqs: Sequence[int], targets: Sequence[Target] = TO_CUSTOMS, minute: int = 1) -> str:
    """A sealed plan of these exchanges."""
    number = replays.begin(Plan("resend", {"sender": ALICE}, RULES, "ann@host"), after(minutes=minute))
    replays.freeze(number, [Item(seq, Does.SEND, tuple(targets)) for seq in seqs])
    return replays.seal(number, {"found": len(seqs)}, "ann@host", after(minutes=minute)).id


def taken(runs: Runs, number: str, name: str = "one", minute: int = 2, remote: frozenset[str] = frozenset()) -> Running:
    """A run that has the lease."""
    running = runs(number, name)
    running.take("", after(minutes=minute), remote)
    return running


def all_done(running: Running, parcels: Sequence[Parcel], minute: int = 2) -> None:
    running.mark([Done(parcel) for parcel in parcels], after(minutes=minute))


def test_a_plan_says_what_it_is(replays: Replays, seqs: list[int]) -> None:
    """Who, when, what, how many; the digest of equal items is equal, of others different."""
    found = replays.get(planned(replays, seqs))
    assert (found.state, found.items, found.counts) == ("planned", 5, {"planned": 5})
    assert (found.how, found.wanted, found.effect) == ("resend", {"sender": ALICE}, {"found": 5})
    assert [(event, who) for _, event, who, _ in found.log] == [("planned", "ann@host")]
    assert replays.get(planned(replays, seqs, minute=2)).digest == found.digest
    assert replays.get(planned(replays, seqs[:4], minute=3)).digest != found.digest
    assert [r.id for r in replays.list(2)] == sorted((r.id for r in replays.list(10)), reverse=True)[:2]


def test_a_run_sends_stored_bytes_in_order_and_leaves_a_trail(
    replays: Replays, runs: Runs, seqs: list[int], database: Database
) -> None:
    """Parcels come in the order of recording with the ids of the first time; the exchange's trail names the replay."""
    number = planned(replays, seqs)
    running = taken(runs, number)
    first, rest = running.claim(-1, 2, after(minutes=2)), running.claim(seqs[1], 100, after(minutes=2))
    originals = [accepted(f"M{n}", at=after(seconds=n)) for n in range(5)]
    assert [p.seq for p in (*first, *rest)] == seqs
    assert [p.copies for p in (*first, *rest)] == [(d.copies[0],) for d in originals]
    assert (first[0].lane, first[1].lane) == (LANE, "")
    all_done(running, [*first, *rest])
    assert running.claim(-1, 100, after(minutes=2)) == ()
    running.end("complete", after(minutes=3), complete=True)
    found = replays.get(number)
    assert (found.state, found.counts, found.lease_until) == ("done", {"sent": 5}, None)
    assert [(event, who, why) for _, event, who, why in found.log[1:]] == [
        ("started", "one@host", "ticket 4711"),
        ("done", "one@host", "complete"),
    ]
    with open_audit_log(database.url) as audit_log:
        trail = audit_log.show(originals[0].exchange_id)
    assert trail is not None
    assert [(what, said) for _, what, said in trail.events] == [("replayed", f"{number} message {CUSTOMS}")]
    with pytest.raises(ConfigFault, match="is done"):
        taken(runs, number, "two", minute=4)


def test_receipts_and_new_destinations(replays: Replays, runs: Runs, seqs: list[int], database: Database) -> None:
    """A receipt is sent byte for byte; a copy to somebody new is recorded once it arrived, and once only."""
    targets = (Target(Kind.RECEIPT, ALICE, True), Target(Kind.MESSAGE, PORT))
    running = taken(runs, planned(replays, seqs[:1], targets))
    (parcel,) = running.claim(-1, 10, after(minutes=2))
    original = accepted("M0", keys=[ENTRY])
    assert parcel.copies[0] == original.copies[1]
    assert (parcel.copies[1].to, parcel.copies[1].body) == (PORT, original.body)
    all_done(running, [parcel])
    running.end("complete", after(minutes=2), complete=True)
    again = taken(runs, planned(replays, seqs[:1], targets, minute=5), minute=6)
    all_done(again, again.claim(-1, 10, after(minutes=6)), minute=6)
    with open_audit_log(database.url) as audit_log:
        trail = audit_log.show(original.exchange_id)
    assert trail is not None
    assert [(c.kind, c.to, c.state) for c in trail.copies] == [
        ("message", CUSTOMS, "sent"),
        ("receipt", ALICE, "sent"),
        ("message", PORT, "sent"),
    ]
    assert trail.copies[2].id == parcel.copies[1].id


def test_a_copy_to_somebody_new_leaves_the_sealed_log_true(
    replays: Replays, runs: Runs, seqs: list[int], database: Database, tmp_path: Path
) -> None:
    """What was decided stays as it was sealed; what was planned, begun and added are events; a forged copy is none."""
    with open_evidence(database.url) as log:
        sealer = sealer_of(log, tmp_path / "audit.head")
        assert sealer.seal() == 5
        running = taken(runs, planned(replays, seqs[:2], (Target(Kind.MESSAGE, PORT), Target(Kind.MESSAGE, PROVINCE))))
        all_done(running, running.claim(-1, 10, after(minutes=2)))
        for sealed in (6, 0):
            assert list(audit(log, [sealer.verifier], {}, Findings())) == []
            assert sealer.seal() == sealed
        with closing(database.connect()) as link:
            link.execute(f"UPDATE copy SET recipient = '{BOB}' WHERE seq = {seqs[1]} AND recipient = '{PORT}'")
            link.commit()
        (problem,) = audit(log, [sealer.verifier], {}, Findings())
    assert problem.what == "it has a further copy that no REPLAYED event confirms"


REMOTE = frozenset({PROVINCE})


def forwarded(database: Database) -> list[Copy]:
    """What the province's forwarder takes at once, and is confirmed."""
    with open_backlog(database.url) as backlog:
        copies = backlog.take(REMOTE, 2**40, 10, Weights(), 2**20, after(minutes=9))
        backlog.settle([(copy, Fate.CONFIRMED) for copy in copies], after(minutes=9))
    return list(copies)


def test_what_goes_to_an_upstream_is_queued_in_its_lane_once_its_item_is_done(
    replays: Replays, runs: Runs, ledger: FullLedger, database: Database
) -> None:
    """Sent before or new to it: the forwarder sends it in order and says which replay it is; nobody else does."""
    sent = [replace(accepted(f"M{n}", to=(CUSTOMS, PROVINCE)[n % 2 :]), lane="A") for n in range(3)]
    ledger.settle(record(ledger, *sent, remote=REMOTE), (), NOW)
    while forwarded(database):
        pass
    number = planned(replays, [65536, 65537, 65538], [*TO_CUSTOMS, Target(Kind.MESSAGE, PROVINCE)])
    running = taken(runs, number, remote=REMOTE)
    parcels = running.claim(-1, 10, after(minutes=2))
    assert [[c.to for c in p.copies] for p in parcels] == [[CUSTOMS]] * 3
    assert [[c.to for c in p.queued] for p in parcels] == [[PROVINCE]] * 3
    assert forwarded(database) == []
    running.mark([Done(parcels[0]), Done(parcels[1]), Done(parcels[2], "returned")], after(minutes=2))
    assert running.get(number).counts == {"sent": 2, "failed": 1}
    assert ledger.due(after(minutes=5), 10, REMOTE) == ()
    originals = [p.queued[0] for p in parcels]
    assert [forwarded(database), forwarded(database), forwarded(database)] == [
        [replace(originals[0], replay=number)],
        [replace(originals[1], replay=number)],
        [],
    ]
    assert database.rows("SELECT DISTINCT state, lane, replay FROM copy WHERE recipient = '" + PROVINCE + "'") == [
        ("sent", None, None)
    ]
    said = database.rows("SELECT detail FROM event WHERE event = 'replayed' ORDER BY id")
    assert [detail for (detail,) in said][:2] == [f"{number} message {CUSTOMS}", f"{number} queued message {PROVINCE}"]


def test_a_dropped_copy_that_was_sent_after_all_is_sent(
    replays: Replays, runs: Runs, ledger: FullLedger, database: Database
) -> None:
    """Published or queued: what an operator gave up is not given up any more."""
    sent = accepted("M1", to=(CUSTOMS, PROVINCE))
    ledger.settle(record(ledger, sent, remote=REMOTE), [(sent.copies[0], Fate.RETURNED)], NOW)
    with open_backlog(database.url) as backlog:
        assert [backlog.drop(sent.exchange_id, to, "anna", NOW) for to in (CUSTOMS, PROVINCE)] == [1, 1]
    number = planned(replays, [65536], [*TO_CUSTOMS, Target(Kind.MESSAGE, PROVINCE)])
    running = taken(runs, number, remote=REMOTE)
    all_done(running, running.claim(-1, 10, after(minutes=2)))
    assert database.rows("SELECT recipient, state FROM copy WHERE kind = 'message' ORDER BY n") == [
        (CUSTOMS, "sent"),
        (PROVINCE, "queued"),
    ]
    assert [copy.id for copy in forwarded(database)] == [sent.copies[1].id]


def test_a_replayed_copy_goes_where_the_rules_say_by_then(
    replays: Replays, runs: Runs, seqs: list[int], ledger: FullLedger
) -> None:
    """The upstream is taken out of the rules before it was sent: our own broker gets it, with its replay."""
    number = planned(replays, seqs[:1])
    running = taken(runs, number, remote=frozenset({CUSTOMS}))
    all_done(running, running.claim(-1, 10, after(minutes=2)))
    assert ledger.due(after(minutes=2), 10, frozenset({CUSTOMS})) == ()
    (copy,) = ledger.due(after(minutes=2), 10)
    assert (copy.to, copy.replay) == (CUSTOMS, number)
    ledger.mark([(copy, Fate.CONFIRMED)], after(minutes=2))
    assert ledger.due(after(minutes=9), 10) == ()


def test_a_refused_message_comes_as_it_came(replays: Replays, runs: Runs, ledger: FullLedger) -> None:
    """An item to be accepted holds the message, who submitted it and when."""
    refused = rejected()
    deliver(ledger, refused)
    number = replays.begin(Plan("decide", {}, RULES, "ann@host"), after(minutes=1))
    replays.freeze(number, [Item(65536, Does.ACCEPT, (Target(Kind.MESSAGE, CUSTOMS),))])
    replays.seal(number, {}, "ann@host", after(minutes=1))
    running = runs(number)
    with pytest.raises(ConfigFault, match="other rules"):
        running.take("0" * 64, after(minutes=2))
    running.take(RULES, after(minutes=2))
    (parcel,) = running.claim(-1, 10, after(minutes=2))
    assert parcel.delivery is not None
    assert (parcel.delivery.submitter, parcel.delivery.body) == (ALICE, refused.body)
    assert (parcel.received_at, parcel.copies) == (NOW, ())


def test_nobody_else_runs_it_while_the_lease_lasts(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """A second run is refused; after a silence the lease ends, and who lost it can neither claim nor mark."""
    number = planned(replays, seqs)
    one = taken(runs, number)
    parcels = one.claim(-1, 2, after(minutes=2))
    with pytest.raises(Busy, match="being run by one"):
        taken(runs, number, "two", minute=2)
    two = taken(runs, number, "two", minute=4)
    for late in (lambda: one.claim(-1, 2, after(minutes=4)), lambda: all_done(one, parcels, minute=4)):
        with pytest.raises(Busy):
            late()
    assert [p.seq for p in two.claim(-1, 100, after(minutes=4))] == seqs
    one.end("late", after(minutes=4), complete=True)
    assert replays.get(number).state == "running"


@pytest.mark.parametrize("until", ["lease_until + 31536000000000", "'never'"])
def test_a_lease_that_no_run_could_have_taken_holds_nobody_back(
    replays: Replays, runs: Runs, seqs: list[int], database: Database, until: str
) -> None:
    """Its clock was a year ahead, or somebody changed the row: an operator could wait for ever."""
    if until == "'never'" and database.kind == "postgresql":
        until = "9223372036854775807"
    number = planned(replays, seqs)
    taken(runs, number)
    change(database, f"UPDATE replay SET lease_until = {until}")
    two = taken(runs, number, "two", minute=2)
    assert [p.seq for p in two.claim(-1, 100, after(minutes=2))] == seqs


def test_what_a_dead_run_had_in_hand_is_sent_again(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """Claimed and not marked: the next run starts with it; what was marked stays sent."""
    number = planned(replays, seqs)
    one = taken(runs, number)
    all_done(one, one.claim(-1, 2, after(minutes=2)))
    one.claim(seqs[1], 1, after(minutes=2))
    two = taken(runs, number, "two", minute=4)
    assert [p.seq for p in two.claim(-1, 100, after(minutes=4))] == seqs[2:]


def test_what_failed_is_tried_again_by_the_next_run(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """A complete run with failures is not done; what stood behind a failure was not touched."""
    number = planned(replays, seqs)
    one = taken(runs, number)
    parcels = one.claim(-1, 100, after(minutes=2))
    fates = {0: "returned", 2: BEHIND}
    one.mark([Done(p, fates.get(n, "")) for n, p in enumerate(parcels)], after(minutes=2))
    one.end("complete", after(minutes=2), complete=True)
    found = replays.get(number)
    assert (found.state, found.counts) == ("stopped", {"sent": 3, "failed": 2})
    assert found.fates == {"returned": 1, BEHIND: 1}
    two = taken(runs, number, "two", minute=3)
    again = two.claim(-1, 100, after(minutes=3))
    assert [p.seq for p in again] == [seqs[0], seqs[2]]
    all_done(two, again, minute=3)
    two.end("complete", after(minutes=3), complete=True)
    assert replays.get(number).state == "done"


def test_an_exchange_is_outstanding_in_one_replay_only(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """Plans may share exchanges; once one of them has begun, the other has to wait, then to be planned anew."""
    first, second = planned(replays, seqs[:3]), planned(replays, seqs[2:], minute=2)
    running = taken(runs, first)
    with pytest.raises(Busy, match=f"1 exchanges of it are outstanding in replay {first}"):
        taken(runs, second, "two")
    all_done(running, running.claim(-1, 100, after(minutes=3)), minute=3)
    running.end("complete", after(minutes=3), complete=True)
    with pytest.raises(ConfigFault, match=f"1 exchanges that replay {first} has sent since"):
        taken(runs, second, "two", minute=4)
    taken(runs, planned(replays, seqs[2:], minute=5), "three", minute=6)


def test_a_plan_that_was_tampered_with_is_not_run(
    replays: Replays, runs: Runs, seqs: list[int], database: Database
) -> None:
    """What is sent is what was shown, or nothing."""
    number = planned(replays, seqs)
    with closing(database.connect()) as link:
        link.execute(
            f"UPDATE replay_item SET targets = '{json.dumps([['message', PORT, False]])}' WHERE seq = {seqs[0]}"
        )
        link.commit()
    with pytest.raises(ConfigFault, match="not what was planned"):
        taken(runs, number)


def test_a_plan_that_was_not_finished_is_not_run(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """A planner that died leaves nothing that can be sent."""
    number = replays.begin(Plan("resend", {}, RULES, "ann@host"), NOW)
    replays.freeze(number, [Item(seqs[0], Does.SEND, TO_CUSTOMS)])
    with pytest.raises(ConfigFault, match="is planning"):
        taken(runs, number)
    assert replays.abort(number, "ann@host", "died", NOW).counts == {"left": 1}


def test_an_aborted_replay_ends_after_what_is_in_hand(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """The run at work may still say what it sent, then no more; the rest is never sent, by nobody."""
    number = planned(replays, seqs)
    running = taken(runs, number)
    parcels = running.claim(-1, 2, after(minutes=2))
    replays.abort(number, "bob@host", "wrong agency", after(minutes=2))
    all_done(running, parcels[:1])
    with pytest.raises(Busy, match="aborted"):
        running.claim(seqs[1], 2, after(minutes=2))
    running.end("aborted", after(minutes=2), complete=False)
    found = replays.get(number)
    assert (found.state, found.counts) == ("aborted", {"sent": 1, "unknown": 1, "left": 3})
    assert (found.log[2][1:], found.log[3][1]) == (("aborted", "bob@host", "wrong agency"), "aborted")
    with pytest.raises(ConfigFault, match="is aborted"):
        taken(runs, number, "two", minute=4)
    taken(runs, planned(replays, seqs[1:], minute=5), "three", minute=6)


def test_aborting_after_a_crash_frees_the_exchanges(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """With nobody left to say, what was in hand is unknown; a replay that is done cannot be given up."""
    number = planned(replays, seqs)
    taken(runs, number).claim(-1, 2, after(minutes=2))
    assert replays.abort(number, "bob@host", "crashed", after(minutes=9)).counts == {"unknown": 2, "left": 3}
    again = planned(replays, seqs, minute=10)
    running = taken(runs, again, "two", minute=11)
    all_done(running, running.claim(-1, 100, after(minutes=11)), minute=11)
    running.end("complete", after(minutes=11), complete=True)
    with pytest.raises(ConfigFault, match="is done"):
        replays.abort(again, "bob@host", "too late", after(minutes=12))


def test_large_messages_are_claimed_a_few_at_a_time(replays: Replays, runs: Runs, seqs: list[int]) -> None:
    """What is claimed at once is bounded in bytes too; one always passes."""
    number = planned(replays, seqs)
    running = runs(number, "one", 1)
    running.take("", after(minutes=2))
    assert [p.seq for p in running.claim(-1, 100, after(minutes=2))] == seqs[:1]


def test_unknown_ids_are_told(replays: Replays) -> None:
    """No traceback, and where to look."""
    with pytest.raises(ConfigFault, match="no replay nothing"):
        replays.get("nothing")


def test_items_can_be_taken_out_while_a_plan_is_made(replays: Replays, seqs: list[int]) -> None:
    """What a later message replaces is not part of it."""
    number = replays.begin(Plan("decide", {}, RULES, "ann@host"), after(minutes=1))
    replays.freeze(number, [Item(seq, Does.SEND, TO_CUSTOMS) for seq in seqs])
    replays.freeze(number, [], dropped=seqs[1:3])
    assert replays.seal(number, {}, "ann@host", after(minutes=1)).counts == {"planned": 3}


@pytest.mark.usefixtures("seqs")
def test_identities_that_are_taken(replays: Replays) -> None:
    """Those of recorded exchanges, and no other."""
    own = claim(ALICE, "M1")
    assert replays.held([own, claim(ALICE, "M9"), claim(BOB, "M1")]) == {own}
    assert replays.held([]) == set()


def test_an_item_whose_message_was_pruned_fails_and_touches_nothing(
    replays: Replays, runs: Runs, seqs: list[int], database: Database
) -> None:
    """It was planned while the bytes were there: nothing empty is ever sent, and its trail says nothing of it."""
    number = planned(replays, seqs[:2])
    with closing(database.connect()) as link:
        nothing = "x''" if database.kind == "sqlite" else "''"
        link.execute(f"UPDATE exchange SET body = {nothing} WHERE seq = {seqs[0]}")
        link.commit()
    running = taken(runs, number)
    gone, there = running.claim(-1, 10, after(minutes=2))
    assert (gone.pruned, gone.copies, gone.queued, gone.delivery) == (True, (), (), None)
    assert (there.pruned, len(there.copies)) == (False, 1)
    running.mark([Done(gone, PRUNED), Done(there)], after(minutes=2))
    assert replays.get(number).fates == {PRUNED: 1}
    assert database.rows("SELECT count(*) FROM event WHERE exchange_id <> ''") == [(1,)]
