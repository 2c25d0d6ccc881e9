"""The checker can fail: each kind of broken promise is seen, and a clean case is clean."""

from __future__ import annotations

import ast
import base64
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from swexchange.core.decide import decide
from swexchange.core.model import Decision
from tests import evidence as golden
from tests import world
from tests.chaos.checker import Verdict, check, lanes
from tests.chaos.evidence import Copy, Drained, Evidence, Exchange
from tests.chaos.history import Attempted, History, Input, attempted
from tests.chaos.merkle import Log, read_entries, roots, sealed
from tests.chaos.proof import refused
from tests.world import CUSTOMS, ENTERPRISE

KEYS = {world.registered(world.PLATFORM).id: world.registered(world.PLATFORM).public}


def _decided(message_id: str, **changes: Any) -> Decision:
    return decide(world.declared(message_id, **changes), world.rulebook(), world.NOW)


def _refused() -> Decision:
    """Altered after signing, so that its receipt names no message."""
    body = world.declared("MSG-BAD").body.replace(b"<MsgType>DECMSG", b"<MsgType>DECMSH")
    return decide(world.delivery(body), world.rulebook(), world.NOW)


def _evidence() -> Evidence:
    """Two accepted declarations and a refused one, all as it should be."""
    decisions = [_decided("MSG-0001"), _decided("MSG-0002"), _refused()]
    inputs, drained, exchanges, copies = {}, [], [], []
    for seq, decision in enumerate(decisions):
        accepted = decision.outcome == "accepted"
        sent = Input(
            ENTERPRISE,
            decision.digest.hex(),
            ENTERPRISE,
            f"MSG-000{seq + 1}" if accepted else "MSG-BAD",
            "claims" if accepted else "rejected",
            ((CUSTOMS,),) if accepted else (),
        )
        inputs[sent.key] = Attempted(sent, 1, True)
        exchanges.append(_row(seq, decision))
        for copy in decision.copies:
            kind = {"message": "inbox", "receipt": "receipts"}[copy.kind]
            drained.append(Drained(f"swx.{kind}.{copy.to}", copy.id, copy.correlation_id, copy.body))
            copies.append(Copy(seq, str(copy.kind), copy.to, copy.body if kind == "receipts" else None, None))
    rules = json.dumps({"entry": "rules/v1"}).encode()
    return Evidence(inputs, drained, exchanges, copies, [], [], KEYS, _log([rules, *map(_entry, exchanges)]))


def _entry(row: Exchange) -> bytes:
    said = {"exchange": row.exchange_id, "outcome": row.outcome, "digest": row.digest.hex()}
    return json.dumps({"entry": "exchange/v1", **said}).encode()


def _log(entries: Sequence[bytes]) -> Log:
    """A log of these, whose checkpoint was seen at half its size, and at its end."""
    found = roots(entries, [len(entries) // 2, len(entries)])
    return Log(entries, [_checkpoint(size, root) for size, root in found.items()])


def _checkpoint(size: int, root: bytes) -> str:
    return f"sw.example/audit\n{size}\n{base64.b64encode(root).decode()}\n\n\u2014 sw.example/audit AAAA\n"


def _row(seq: int, decision: Decision) -> Exchange:
    return Exchange(
        seq,
        decision.exchange_id,
        decision.submitter,
        decision.sender,
        decision.message_id,
        str(decision.outcome),
        decision.code,
        decision.digest,
        decision.body,
        decision.rules_digest,
        1,
        None,
    )


def _in_one_lane(evidence: Evidence) -> None:
    """Both declarations are about one business number."""
    for key, tried in list(evidence.inputs.items()):
        if tried.input.expect == "claims":
            evidence.inputs[key] = Attempted(dataclasses.replace(tried.input, lane="L"), 1, True)


def _overtaken(evidence: Evidence) -> None:
    _in_one_lane(evidence)
    evidence.drained.reverse()


def _first(evidence: Evidence, kind: str) -> int:
    return next(n for n, found in enumerate(evidence.drained) if found.queue.startswith(f"swx.{kind}."))


def _without(evidence: Evidence, kind: str) -> None:
    del evidence.drained[_first(evidence, kind)]


def _change(evidence: Evidence, kind: str, **changes: Any) -> None:
    at = _first(evidence, kind)
    evidence.drained[at] = dataclasses.replace(evidence.drained[at], **changes)


def _again(evidence: Evidence, kind: str, **changes: Any) -> None:
    found = evidence.drained[_first(evidence, kind)]
    evidence.drained.append(dataclasses.replace(found, **changes))


def _alter(evidence: Evidence, **changes: Any) -> None:
    evidence.exchanges[0] = dataclasses.replace(evidence.exchanges[0], **changes)


def _altered_byte(evidence: Evidence, kind: str) -> None:
    body = bytearray(evidence.drained[_first(evidence, kind)].body)
    body[len(body) // 2] ^= 1
    _change(evidence, kind, body=bytes(body))


def _receipt_of_another(evidence: Evidence) -> None:
    """A receipt that the platform did sign, about what nobody sent."""
    receipt = _decided("MSG-0099").receipt
    assert receipt
    _change(evidence, "receipts", body=receipt.body)


def _receipt_by_another_key(evidence: Evidence) -> None:
    evidence.platform_keys = {name: world.registered("someone").public for name in evidence.platform_keys}


def _second_of_an_id(evidence: Evidence) -> None:
    """Other content under the id of the first, accepted too."""
    decision = _decided("MSG-0001", keys={"Other": "content"})
    sent = Input(ENTERPRISE, decision.digest.hex(), ENTERPRISE, "MSG-0001", "claims", ((CUSTOMS,),))
    evidence.inputs[sent.key] = Attempted(sent, 1, True)
    evidence.exchanges.append(_row(7, decision))


def _copy_of_refused(evidence: Evidence) -> None:
    body = evidence.exchanges[2].body
    evidence.drained.append(Drained(f"swx.inbox.{CUSTOMS}", "f" * 40, "MSG-BAD", body))


def _never_sent(evidence: Evidence) -> None:
    evidence.drained.append(Drained(f"swx.inbox.{CUSTOMS}", "e" * 40, "MSG-X", b"<x/>"))


def _recorded_but_never_sent(evidence: Evidence) -> None:
    evidence.exchanges.append(_row(9, _decided("MSG-0077")))


def _to_another(evidence: Evidence) -> None:
    _change(evidence, "inbox", queue="swx.inbox.DXPGDP4400000001")


def _other_receipt_again(evidence: Evidence) -> None:
    """A second receipt about the same bytes, with another exchange id."""
    first = evidence.exchanges[0]
    later = dataclasses.replace(_decided("MSG-0001"), exchange_id="0" * 32)
    assert later.receipt
    assert later.digest == first.digest
    _again(evidence, "receipts", message_id="d" * 40)


def _logged(change: Callable[[dict[str, str]], object]) -> Callable[[Evidence], None]:
    """The first exchange's entry says something else, and did from the beginning."""

    def logged(evidence: Evidence) -> None:
        rules, first, *others = evidence.log.entries
        entry = json.loads(first)
        change(entry)
        evidence.log = _log([rules, json.dumps(entry).encode(), *others])

    return logged


def _entries(change: Callable[[list[bytes]], Sequence[bytes]]) -> Callable[[Evidence], None]:
    """The log has other entries, and had from the beginning."""

    def entries(evidence: Evidence) -> None:
        evidence.log = _log(change(list(evidence.log.entries)))

    return entries


def _seen(size: int) -> Callable[[Evidence], None]:
    """A checkpoint of so many other entries was seen."""

    def seen(evidence: Evidence) -> None:
        forked = _checkpoint(size, hashlib.sha256(b"other").digest())
        evidence.log = dataclasses.replace(evidence.log, checkpoints=[*evidence.log.checkpoints, forked])

    return seen


def _not_proved(evidence: Evidence) -> None:
    evidence.log = dataclasses.replace(evidence.log, refused="FAILED")


BROKEN: dict[str, tuple[Callable[[Evidence], None], str, tuple[int, int]]] = {
    "a copy lost": (lambda e: _without(e, "inbox"), "I3", (1, 0)),
    "a receipt lost": (lambda e: _without(e, "receipts"), "I4", (1, 0)),
    "not recorded": (lambda e: e.exchanges.remove(e.exchanges[0]), "I1", (1, 1)),
    "a copy nobody sent": (_never_sent, "I3", (0, 1)),
    "a record nobody sent": (_recorded_but_never_sent, "I2", (0, 1)),
    "a copy of a refused one": (_copy_of_refused, "I3", (0, 1)),
    "a copy to another": (_to_another, "I3", (1, 1)),
    "a byte changed in a copy": (lambda e: _altered_byte(e, "inbox"), "I3", (1, 1)),
    "a byte changed in a receipt": (lambda e: _altered_byte(e, "receipts"), "I4", (1, 1)),
    "a receipt about another": (_receipt_of_another, "I4", (1, 1)),
    "a receipt by another key": (_receipt_by_another_key, "I4", (3, 3)),
    "a receipt that says another code": (lambda e: _alter(e, code="4201"), "I4", (0, 0)),
    "a receipt under two ids": (_other_receipt_again, "I4", (0, 0)),
    "a duplicate with another id": (lambda e: _again(e, "inbox", message_id="a" * 40), "I3", (0, 0)),
    "two effects of one id": (_second_of_an_id, "I3", (1, 1)),
    "an id for two contents": (
        lambda e: _again(e, "inbox", queue="swx.inbox.DXPGDP4400000001"),
        "I3",
        (0, 1),
    ),
    "another correlation": (lambda e: _change(e, "inbox", correlation_id="x"), "I3", (0, 0)),
    "refused, though good": (lambda e: _alter(e, outcome="rejected", code="0002"), "I3", (0, 1)),
    "left in the intake": (lambda e: e.left_in_intake.append("1" * 64), "I8", (0, 0)),
    "a copy still due": (lambda e: e.copies.append(Copy(0, "message", CUSTOMS, None, "due")), "I7", (0, 0)),
    "a copy still queued": (lambda e: e.copies.append(Copy(0, "message", CUSTOMS, None, "queued")), "I7", (0, 0)),
    "one of a lane overtaken": (_overtaken, "I12", (0, 0)),
    "never settled": (lambda e: _alter(e, settled_at=None), "I7", (0, 0)),
    "quarantined": (lambda e: setattr(e, "events", [(e.exchanges[0].exchange_id, "quarantined", "")]), "I7", (0, 0)),
    "rules that were never good": (lambda e: _alter(e, rules_digest="9" * 64), "I9", (0, 0)),
    "an event about nobody": (
        lambda e: e.events.append((e.exchanges[0].exchange_id, "returned", "NOBODY")),
        "I7",
        (0, 0),
    ),
    "a wrong digest": (lambda e: _alter(e, digest=b"\0" * 32), "I2", (0, 0)),
    "not in the log": (_entries(lambda found: [*found[:1], *found[2:]]), "I6", (0, 0)),
    "twice in the log": (_entries(lambda found: [*found, found[1]]), "I6", (0, 0)),
    "in the log, and not recorded": (_logged(lambda entry: entry.update(exchange="0" * 32)), "I6", (0, 0)),
    "another digest in the log": (_logged(lambda entry: entry.update(digest="0" * 64)), "I6", (0, 0)),
    "another outcome in the log": (_logged(lambda entry: entry.update(outcome="rejected")), "I6", (0, 0)),
    "a log that was forked": (_seen(2), "I6", (0, 0)),
    "a log that was rolled back": (_seen(99), "I6", (0, 0)),
    "a log that is not proved": (_not_proved, "I6", (0, 0)),
    "not at rest": (lambda e: e.troubles.append("I10: not at rest"), "I10", (0, 0)),
}


def test_what_is_as_it_should_be_is_clean() -> None:
    """Three inputs, one of them refused; nothing to complain about."""
    assert check(_evidence()) == Verdict(attempted=3, acknowledged=3)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_seen(name: str) -> None:
    """Each broken promise breaks its invariant, and counts as lost or unexpected where it is."""
    spoil, invariant, counts = BROKEN[name]
    evidence = _evidence()
    spoil(evidence)
    verdict = check(evidence)
    assert any(text.startswith(f"{invariant}:") for text in verdict.broken), verdict
    assert (verdict.lost, verdict.unexpected) == counts, verdict
    assert not verdict.is_clean


def test_a_repeat_may_come_after_the_next_of_its_lane() -> None:
    """What came in order is in order, whatever comes once more: I12 is about the first time."""
    evidence = _evidence()
    _in_one_lane(evidence)
    _again(evidence, "inbox")
    assert list(map(len, lanes(evidence).values())) == [2]
    assert check(evidence) == Verdict(attempted=3, acknowledged=3, duplicated=1)


def test_a_repeat_with_the_same_id_is_a_duplicate_and_no_more() -> None:
    """Jepsen's duplicated: allowed, counted."""
    evidence = _evidence()
    _again(evidence, "inbox")
    _again(evidence, "receipts")
    assert check(evidence) == Verdict(attempted=3, acknowledged=3, duplicated=1, receipts_again=1)


def test_what_nobody_acknowledged_may_be_lost_or_recovered() -> None:
    """Without an answer either is right; only what took effect counts as recovered."""
    evidence = _evidence()
    first = next(iter(evidence.inputs.values()))
    first.acknowledged = False
    unknown = Input(ENTERPRISE, hashlib.sha256(b"x").hexdigest(), ENTERPRISE, "MSG-0050", "claims", ((CUSTOMS,),))
    evidence.inputs[unknown.key] = Attempted(unknown, 2, False)
    assert check(evidence) == Verdict(attempted=4, acknowledged=2, recovered=1)


@pytest.mark.parametrize("text", ["Traceback (most recent call last)\n  x\nValueError: y", "the key is c2VjcmV0"])
def test_secrets_and_tracebacks_in_logs_are_seen(tmp_path: Path, text: str) -> None:
    """I13."""
    log = tmp_path / "daemon.log"
    log.write_text(text)
    evidence = _evidence()
    evidence.logs, evidence.secrets = [log], ["c2VjcmV0"]
    assert [text[:4] for text in check(evidence).broken] == ["I13:"]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """The exported log of the golden evidence."""
    return golden.unpack((golden.FOLDER / "log.zip").read_bytes(), tmp_path / "log")


def test_roots_are_those_of_the_golden_log(export: Path) -> None:
    """Hashed by the definition, it has the roots that its checkpoints signed: of all of it, and of its beginning."""
    notes = [(export / "checkpoint").read_text("utf-8"), (golden.FOLDER / "old.checkpoint").read_text("utf-8")]
    (size, root), (earlier, before) = map(sealed, notes)
    assert roots(read_entries(export, size), [size, earlier]) == {size: root, earlier: before}
    assert 0 < earlier < size


def test_an_export_that_does_not_prove_itself_is_refused(export: Path) -> None:
    """By bin/verify-evidence: an entry was altered, a checkpoint that was kept is of another history."""
    key = (golden.FOLDER / "log.vkey").read_text("ascii").strip()
    old = (golden.FOLDER / "old.checkpoint").read_text("utf-8")
    assert refused(export, key, [old]) == ""
    assert refused(export, key, [old.replace("\n", "\n1", 1)])
    entries = export / "tile" / "entries" / "000"
    entries.write_bytes(entries.read_bytes().replace(b"accepted", b"rejected", 1))
    assert "FAILED" in refused(export, key, [])


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Attempts are counted; one confirm makes an input acknowledged, whatever was unknown before."""
    history = History(tmp_path / "history.ndjson")
    first = Input("A", "11", "A", "M-1", "claims", (("B", "C"),), "")
    second = Input("A", "22", "", "", "rejected")
    for _ in range(2):
        history.invoke(first)
        history.info(first, "TimeoutError")
    history.invoke(first)
    history.ok(first)
    history.nemesis("kill -9")
    history.invoke(second)
    history.fail(second, "returned")
    history.close()
    found = attempted(history.path)
    assert found == {first.key: Attempted(first, 3, True), second.key: Attempted(second, 1, False)}


def test_the_checker_shares_no_code_with_the_daemon() -> None:
    """Everything that the judgement rests on imports its own kind and libraries alone."""
    here = Path(__file__).parent
    own = {f"tests.chaos.{name}" for name in ("checker", "evidence", "history", "merkle", "receipts")}
    for name in sorted(own):
        tree = ast.parse((here / f"{name.rpartition('.')[2]}.py").read_text("utf-8"))
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [n for n in names if n.startswith(("swexchange", "tests")) and n not in own], name
