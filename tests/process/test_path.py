"""What the exchange promises its users, through the real daemon, broker and database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from swexchange.broker.topology import inbox, receipts
from swexchange.core.parse import parse
from tests import world
from tests.process.house import CUSTOMS, INTEGRATOR, SHIPPER, House, house


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house with a running daemon for all tests here; each uses ids of its own."""
    built = house(Path(tmp_path_factory.mktemp("path")))
    built.daemon()
    yield built
    built.close()


def _codes(home: House, count: int) -> list[str]:
    return [world.receipt_code(r.body) for r in home.collect(receipts(INTEGRATOR), count)]


def _search(home: House, *wanted: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(home.cli("audit", "search", "--json", *wanted).stdout)
    return found


def test_a_repeat_brings_the_same_receipt_and_no_second_copy(running: House) -> None:
    """Same bytes again: the stored receipt byte for byte, and nothing else happens."""
    body = running.declaration("REPEAT-1")
    running.send([body])
    (first,) = running.collect(receipts(INTEGRATOR), 1)
    (copy,) = running.collect(inbox(CUSTOMS), 1)
    running.send([body, body])
    running.daemons[0].wait_for("repeated", 2)
    again = running.receipts()
    assert [r.body for r in again] == [first.body] * 2
    assert {r.message_id for r in again} == {first.message_id}
    assert running.inbox(CUSTOMS) == []
    assert copy.body == body
    assert len(_search(running, "--message-id", "REPEAT-1")) == 1


def test_other_content_under_a_taken_id_is_a_conflict(running: House) -> None:
    """The accepted message keeps its id; the other one is refused, receipted and audited."""
    running.send([running.declaration("TAKEN-1")])
    assert _codes(running, 1) == ["0000"]
    running.send([running.declaration("TAKEN-1", keys={"Other": "content"})])
    assert _codes(running, 1) == ["4201"]
    assert len(running.inbox(CUSTOMS)) == 1
    assert {row["outcome"] for row in _search(running, "--message-id", "TAKEN-1")} == {"accepted", "rejected"}


def test_a_corrected_message_may_keep_its_id(running: House) -> None:
    """A refused message takes nothing but its own bytes."""
    wrong = world.declaration("FIX-1").replace(b"<IEFlag>I</IEFlag>", b"")
    running.send([running.signed(world.dxp_msg(wrong, "FIX-1", sender=INTEGRATOR))])
    (refused,) = running.collect(receipts(INTEGRATOR), 1)
    assert world.receipt_code(refused.body) == "0002"
    note = world.texts(parse(refused.body, world.LIMIT).root, "Note")[0]
    assert "path=/DecMessage/DecHead" in note
    assert "retry=fix" in note
    running.send([running.declaration("FIX-1")])
    assert _codes(running, 1) == ["0000"]
    assert len(running.collect(inbox(CUSTOMS), 1)) == 1


def test_one_unknown_receiver_does_not_stop_the_others(running: House) -> None:
    """The known receiver gets it; the receipt says what became of each."""
    document = world.declaration("MANY-1", customs="2201")
    named = world.dxp_msg(document, "MANY-1", sender=INTEGRATOR, receivers=(CUSTOMS, "DXPNOBODY0000001"))
    running.send([running.signed(named)])
    (receipt,) = running.collect(receipts(INTEGRATOR), 1)
    root = parse(receipt.body, world.LIMIT).root
    assert world.texts(root, "RecId") == [CUSTOMS, "DXPNOBODY0000001"]
    assert world.texts(root, "Code") == ["0000", "2001"]
    assert len(running.collect(inbox(CUSTOMS), 1)) == 1


def test_an_answer_goes_to_who_asked_even_when_it_comes_first(running: House) -> None:
    """An answer before its parent is parked and sent as soon as the parent is there."""
    early = world.dxp_msg(
        world.import_response("ASK-1", "I-ASK-1"), "ANS-1", sender=CUSTOMS, receivers=(world.PLATFORM,)
    )
    running.send([running.signed(early, CUSTOMS)], CUSTOMS)
    (receipt,) = running.collect(receipts(CUSTOMS), 1)
    assert world.receipt_code(receipt.body) == "0000"
    assert [row["outcome"] for row in _search(running, "--message-id", "ANS-1")] == ["waiting"]

    running.send([running.declaration("ASK-1")])
    (answer,) = running.collect(inbox(INTEGRATOR), 1)
    assert (answer.correlation_id, answer.type) == ("ASK-1", "DecImportResponse")
    assert parse(answer.body, world.LIMIT).root.findtext(f".//{{{world.DXP}}}CopMsgId") == "ANS-1"

    later = world.dxp_msg(world.dec_result("I-ASK-1", "P"), "ANS-2", sender=CUSTOMS, receivers=(world.PLATFORM,))
    running.send([running.signed(later, CUSTOMS)], CUSTOMS)
    (released,) = running.collect(inbox(INTEGRATOR), 1)
    assert (released.correlation_id, released.type) == ("ASK-1", "DEC_RESULT")
    running.drain(inbox(CUSTOMS))
    running.receipts()


def test_who_cannot_prove_who_it_is_learns_a_code_alone(running: House) -> None:
    """Another's message through one's own outbox: a code, no detail, and no copy."""
    running.send([running.declaration("STOLEN-1")], SHIPPER)
    (receipt,) = running.collect(receipts(SHIPPER), 1)
    root = parse(receipt.body, world.LIMIT).root
    assert world.texts(root, "ResponseCode") == ["4105"]
    assert INTEGRATOR not in world.texts(root, "ResponseInfo")[0]
    assert running.inbox(CUSTOMS) == []


def test_bad_input_gets_its_code_and_the_messages_around_go_on(running: House) -> None:
    """Every malformed message is receipted; good ones before, between and after are delivered."""
    good = [running.declaration(f"AROUND-{i}") for i in range(4)]
    bad = [
        b"",
        b"<",
        good[0][:900],
        good[0].replace(b"AROUND-0", b"AROUND-X"),
        "报关".encode("gbk"),
        b"\xef\xbb\xbf" + good[0],
        good[0].decode().encode("utf-16"),
        good[0].replace(b"<DxpMsg", b"<!DOCTYPE a><DxpMsg", 1),
        world.dxp_msg(world.declaration(), "UNSIGNED-1"),
    ]
    running.send([good[0], *bad[:5], good[1], good[2], *bad[5:], good[3]])
    delivered = running.collect(inbox(CUSTOMS), len(good))
    codes = _codes(running, len(good) + len(bad))
    assert {copy.body for copy in delivered} == set(good)
    assert sorted(codes) == sorted(
        ["0000"] * 4 + ["4001", "0001", "0001", "1004", "4003", "4003", "4003", "4004", "4101"]
    )
