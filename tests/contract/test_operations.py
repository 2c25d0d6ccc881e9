"""What operators do to replays and holds is sealed in the log: rows that say otherwise are named, on both databases."""

from __future__ import annotations

import json

import pytest

from swexchange.core.model import Kind
from swexchange.core.replay import Does, Done, Item, Target
from swexchange.core.search import Filter
from swexchange.errors import ConfigFault
from swexchange.evidence.auditor import Findings, audit
from swexchange.evidence.sealer import Sealer
from swexchange.store import Evidence, FullLedger, Runner, open_holds, open_replays, open_running
from swexchange.store.replays import Plan
from tests.contract.conftest import Database, change
from tests.contract.exchanges import ALICE, CUSTOMS, NOW, RULES, accepted, after, deliver

ANN = "ann@host"
EVENTS = "SELECT event, detail FROM event WHERE exchange_id = '' ORDER BY id"


def troubles(log: Evidence, sealer: Sealer) -> list[str]:
    return [f"{one.place} {one.what}" for one in audit(log, [sealer.verifier], {}, Findings())]


@pytest.fixture
def number(database: Database, ledger: FullLedger, sealer: Sealer) -> str:
    """A replay that was run and one that was given up, a hold that was lifted and one in force; all of it sealed."""
    deliver(ledger, accepted())
    item = Item(65536, Does.SEND, (Target(Kind.MESSAGE, CUSTOMS, True),))
    with open_replays(database.url) as replays:
        for to in (CUSTOMS, ALICE):
            made = replays.begin(Plan("resend", {"to": [to]}, RULES, ANN), NOW)
            replays.freeze(made, [item])
            replays.seal(made, {"found": 1}, ANN, after(seconds=1))
            if to == ALICE:
                replays.abort(made, ANN, "wrong agency", after(seconds=2))
                continue
            ran = made
            with open_running(database.url, made, Runner("one", ANN, "lost queue"), 1000) as running:
                running.take("", after(seconds=2))
                running.mark([Done(parcel) for parcel in running.claim(-1, 10, NOW)], NOW)
                running.end("complete", after(seconds=3), complete=True)
    with open_holds(database.url) as holds:
        first = holds.add(Filter(sender=ALICE), ANN, "case 1", NOW)
        holds.add(Filter(receiver=CUSTOMS), ANN, "case 2", NOW)
        holds.lift(first, ANN, "case closed", after(seconds=1))
    assert sum(sealer.seal_all())
    return ran


def test_who_did_what_and_why_are_entries_of_the_log(
    database: Database, log: Evidence, sealer: Sealer, number: str
) -> None:
    """With the plan's digest and count; and all fits."""
    assert troubles(log, sealer) == []
    found = [(name, json.loads(detail)) for name, detail in database.rows(EVENTS)]
    assert [name for name, _ in found] == [
        *("planned", "started", "done"),
        *("planned", "aborted"),
        *("placed", "placed", "lifted"),
    ]
    with open_replays(database.url) as replays:
        planned = replays.get(number)
    assert found[0][1] | {"replay": number, "by": ANN, "count": 1, "digest": planned.digest} == found[0][1]
    assert found[1][1] == {"replay": number, "by": ANN, "reason": "lost queue"}
    assert found[4][1]["reason"] == "wrong agency"
    assert found[5][1] == {"hold": 1, "by": ANN, "reason": "case 1", "wanted": json.dumps({"sender": ALICE})}
    assert found[7][1] == {"hold": 1, "by": ANN, "reason": "case closed"}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE replay_log SET detail = 'none' WHERE event = 'started'", "another reason than the log"),
        ("UPDATE replay_log SET who = 'bob' WHERE event = 'started'", "another by than the log"),
        ("UPDATE replay_log SET at = at + 1 WHERE event = 'started'", "its row of that was removed"),
        ("DELETE FROM replay_log WHERE event = 'started'", "its row of that was removed"),
        ("UPDATE replay SET items = 2 WHERE state = 'done'", "another count than the log"),
        ("UPDATE replay SET wanted = '{}' WHERE state = 'done'", "another wanted than the log"),
        ("UPDATE replay SET effect = '{}' WHERE state = 'done'", "another effect than the log"),
        ("UPDATE replay SET planned_by = 'bob' WHERE state = 'done'", "another planner than the log"),
        ("UPDATE replay SET state = 'planned' WHERE state = 'done'", "its row says that it is planned"),
        ("UPDATE replay_item SET targets = '[]'", "its items are not those that were planned"),
        (
            "UPDATE replay_item SET state = 'failed' WHERE state = 'sent'",
            "1 items were not sent, the log that they were",
        ),
        ("UPDATE replay_item SET state = 'hidden'", "1 items stand in no state that there is"),
        ("DELETE FROM replay WHERE state = 'done'", "its row of that was removed"),
        (
            "INSERT INTO replay_log (replay_id, at, event, who, detail) SELECT id, 1, 'aborted', 'bob', '' FROM replay",
            "the log does not: it was added",
        ),
    ],
)
def test_a_changed_row_of_a_replay_is_named(
    database: Database, log: Evidence, sealer: Sealer, number: str, statement: str, said: str
) -> None:
    """Whichever column it is, a removed and an added one too."""
    change(database, statement)
    found = troubles(log, sealer)
    assert [one for one in found if one.startswith(f"replay {number} ") and said in one], found


def test_an_item_that_is_called_sent_and_was_not_is_named(
    database: Database, ledger: FullLedger, log: Evidence, sealer: Sealer
) -> None:
    """A run would pass it by, and its replay be called done."""
    deliver(ledger, accepted())
    with open_replays(database.url) as replays:
        made = replays.begin(Plan("resend", {}, RULES, ANN), NOW)
        replays.freeze(made, [Item(65536, Does.SEND, (Target(Kind.MESSAGE, CUSTOMS, True),))])
        replays.seal(made, {}, ANN, after(seconds=1))
    assert sum(sealer.seal_all())
    assert troubles(log, sealer) == []
    change(database, "UPDATE replay_item SET state = 'sent'")
    assert troubles(log, sealer) == [f"replay {made} its rows say that 1 items were sent, the log does not"]


@pytest.mark.usefixtures("number")
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE hold SET why = 'none' WHERE id = 2", "hold 2 its row says another reason than the log"),
        ("UPDATE hold SET wanted = '{}' WHERE id = 2", "hold 2 its row says another wanted than the log"),
        ("UPDATE hold SET placed_by = 'bob' WHERE id = 2", "hold 2 its row says another by than the log"),
        ("DELETE FROM hold WHERE id = 2", "hold 2 the log says that it was placed, its row of that was removed"),
        ("UPDATE hold SET lifted_at = 5 WHERE id = 2", "hold 2 its row says that it was lifted, the log does not"),
        ("UPDATE hold SET lifted_at = NULL WHERE id = 1", "hold 1 the log says that it was lifted"),
        ("UPDATE hold SET lifted_why = 'none' WHERE id = 1", "hold 1 its row says another reason than the log"),
    ],
)
def test_a_changed_row_of_a_hold_is_named(
    database: Database, log: Evidence, sealer: Sealer, statement: str, said: str
) -> None:
    """One that was quietly lifted, most of all."""
    change(database, statement)
    (found,) = troubles(log, sealer)
    assert found.startswith(said)


@pytest.mark.usefixtures("number")
def test_what_is_refused_is_not_recorded(database: Database) -> None:
    """A hold that is not in force cannot be lifted, and no event says that it was."""
    before = database.rows(EVENTS)
    with open_holds(database.url) as holds, pytest.raises(ConfigFault):
        holds.lift(1, ANN, "again", after(seconds=9))
    assert database.rows(EVENTS) == before
