"""A witness signs growth and nothing else, whatever it is asked; the log finds out what it has seen."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swexchange.core import checkpoint, merkle
from swexchange.core.checkpoint import COSIGNATURE, Checkpoint, Note, Verifier
from swexchange.core.keys import SigningKey
from swexchange.core.log import Signed
from swexchange.core.tiles import TileTree
from swexchange.core.witness import (
    CONFLICT,
    MALFORMED,
    NOT_GROWN,
    OK,
    UNKNOWN_LOG,
    UNTRUSTED,
    Answer,
    request,
)
from swexchange.errors import ConfigFault, Fault
from swexchange.evidence.witness import OtherHistory, Witness, collect, confront
from tests.world import NOW

LOG, EYE = SigningKey.from_seed("log", b"\1" * 32), SigningKey.from_seed("eye", b"\2" * 32)
ORIGIN = "sw.example/audit"
LOG_KEY = Verifier(ORIGIN, LOG.public)
EYE_KEY = Verifier("customs.example/witness", EYE.public, COSIGNATURE)


def tree(size: int, kind: str = "entry") -> TileTree:
    grown = TileTree(0, lambda *_: b"")
    grown.append(merkle.leaf_hash(f"{kind} {i}".encode()) for i in range(size))
    return grown


def note(grown: TileTree, origin: str = ORIGIN, key: SigningKey = LOG) -> str:
    return checkpoint.sign(Checkpoint(origin, grown.size, grown.root()), key)


@pytest.fixture
def eye(tmp_path: Path) -> Witness:
    return Witness(EYE_KEY.name, EYE, [LOG_KEY], tmp_path / "seen.json", lambda: 1_772_415_000.9)


def grow(eye: Witness, old: int, new: int) -> Answer:
    grown = tree(new)
    return eye.answer(request(old, grown.consistency(old), note(grown)))


def test_growth_is_signed_and_remembered(eye: Witness, tmp_path: Path) -> None:
    for old, new in ((0, 3), (3, 3), (3, 8), (8, 700)):
        found = grow(eye, old, new)
        assert found.status == OK
        signature = Note.read(note(tree(new)) + found.body).by(EYE_KEY)
        assert signature
        assert signature.at == 1_772_415_000
    assert json.loads((tmp_path / "seen.json").read_text()) == {ORIGIN: Checkpoint(ORIGIN, 700, tree(700).root()).text}


def test_two_with_one_memory_do_not_sign_two_histories(
    eye: Witness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked at once, each for another log of the same size, by processes that somebody started twice."""
    assert grow(eye, 0, 3).status == OK
    other = Witness(EYE_KEY.name, EYE, [LOG_KEY], tmp_path / "seen.json", lambda: 1_772_415_000.9)
    forked = tree(3)
    forked.append(merkle.leaf_hash(f"other {i}".encode()) for i in range(5))
    found, sync = list[Answer](), os.fsync
    ask = partial(other.answer, request(3, forked.consistency(3), note(forked)))
    second = threading.Thread(target=lambda: found.append(ask()))

    def fsync(descriptor: int) -> None:
        monkeypatch.undo()
        second.start()
        second.join(0.2)  # as far as it comes before the first has remembered anything
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    found.append(grow(eye, 3, 8))
    second.join()
    assert sorted(one.status for one in found) == [OK, CONFLICT]


def test_what_is_not_growth_is_refused(eye: Witness) -> None:
    """Each with the code of tlog-witness."""
    assert grow(eye, 0, 5).status == OK
    assert (grow(eye, 3, 8).status, grow(eye, 3, 8).body) == (CONFLICT, "5\n")
    assert grow(eye, 0, 3).status == CONFLICT, "a rollback"
    other = tree(5, "another")
    assert eye.answer(request(5, [], note(other))).status == CONFLICT, "two roots of one size"
    fork = tree(9, "another")
    assert eye.answer(request(5, fork.consistency(5), note(fork))).status == NOT_GROWN
    assert eye.answer(request(5, tree(9).consistency(5)[1:], note(tree(9)))).status == NOT_GROWN
    assert eye.answer(request(9, [], note(tree(8)))).status == MALFORMED
    assert eye.answer(request(5, tree(9).consistency(5), note(tree(9), "other.example/log"))).status == UNKNOWN_LOG
    assert eye.answer(request(5, tree(9).consistency(5), note(tree(9), key=EYE))).status == UNTRUSTED
    assert grow(eye, 5, 9).status == OK, "and it goes on where it was"


def test_the_example_of_c2sp_is_understood(eye: Witness) -> None:
    asked = (
        "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nexample.com/behind-the-sofa\n20852163\n"
        "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    assert eye.answer(asked).status == UNKNOWN_LOG


@given(
    st.text(max_size=200) | st.builds("old {}\n{}\n\n{}".format, st.text(max_size=5), st.text(max_size=50), st.text())
)
@settings(max_examples=200, deadline=None)
def test_rubbish_is_malformed(tmp_path_factory: pytest.TempPathFactory, asked: str) -> None:
    memory = tmp_path_factory.getbasetemp() / "seen.json"
    eye = Witness("w", EYE, [LOG_KEY], memory, lambda: 0)
    assert not memory.exists()
    assert eye.answer(asked).status == MALFORMED


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"a": 1}',
        '{"a": "b"}',
        json.dumps({ORIGIN: Checkpoint("other", 3, bytes(32)).text}),
    ],
)
def test_a_memory_that_cannot_be_read_is_not_an_empty_one(eye: Witness, tmp_path: Path, content: str) -> None:
    """Nor is that of another log under this one's name."""
    (tmp_path / "seen.json").write_text(content)
    with pytest.raises(ConfigFault, match="cannot read what was seen"):
        grow(eye, 0, 3)


def test_what_cannot_be_remembered_is_not_signed(tmp_path: Path) -> None:
    """Nothing is wrong with a setting: the service manager starts it again until the disk has room."""
    eye = Witness("w", EYE, [LOG_KEY], tmp_path / "no" / "folder.json", lambda: 0)
    with pytest.raises(Fault, match="cannot remember") as raised:
        grow(eye, 0, 3)
    assert not isinstance(raised.value, ConfigFault)
    (tmp_path / "no").mkdir()
    assert grow(eye, 0, 3).status == OK


class Kept:
    """A log in memory."""

    def __init__(self, grown: TileTree) -> None:
        self.grown, self.note, self.witnesses = grown, note(grown), 0

    def head(self) -> Signed:
        return Signed(self.grown.size, NOW, self.note)

    def tile(self, level: int, number: int) -> bytes:
        return self.grown.changed().get((level, number), b"")

    def cosigned(self, size: int, signed: str, witnesses: int) -> None:
        assert size == self.grown.size
        self.note, self.witnesses = signed, witnesses


def test_a_log_gets_its_checkpoints_signed(eye: Witness) -> None:
    """From the beginning, and from wherever the witness is; what is signed already is not asked for again."""
    for size in (5, 300, 1000):
        log = Kept(tree(size))
        assert collect(log, EYE_KEY, eye.answer) == size
        assert (log.witnesses, bool(Note.read(log.note).by(EYE_KEY))) == (1, True)
        assert collect(log, EYE_KEY, _never) == size


def _never(_: str) -> Answer:
    raise AssertionError("it was asked again")


@pytest.mark.parametrize(
    ("grown", "what"),
    [
        (tree(200), "an older database was restored"),
        (tree(300, "another"), "no proof joins"),
        (tree(400, "another"), "no proof joins"),
    ],
    ids=["rolled back", "rewritten", "forked"],
)
def test_a_log_that_is_not_the_one_that_was_seen_is_told_so(eye: Witness, grown: TileTree, what: str) -> None:
    assert collect(Kept(tree(300)), EYE_KEY, eye.answer) == 300
    with pytest.raises(ConfigFault, match=what):
        collect(Kept(grown), EYE_KEY, eye.answer)
    assert collect(Kept(tree(301)), EYE_KEY, eye.answer) == 301, "the true one goes on"


def test_a_log_rolled_back_to_what_was_signed_is_found_by_asking(eye: Witness) -> None:
    """Its newest checkpoint has the witness's signature, so nothing in the database says that there were more."""
    log = Kept(tree(200))
    assert collect(log, EYE_KEY, eye.answer) == 200
    assert collect(Kept(tree(300)), EYE_KEY, eye.answer) == 300
    assert collect(log, EYE_KEY, _never) == 200
    with pytest.raises(OtherHistory, match="it has seen 300 entries, the log has 200"):
        confront(log, EYE_KEY, eye.answer)
    confront(Kept(tree(300)), EYE_KEY, eye.answer)
    confront(Kept(tree(301)), EYE_KEY, eye.answer)


def test_a_log_that_grows_while_a_witness_is_asked_is_no_other_history(eye: Witness) -> None:
    """Another process seals, and has it signed, between the question and the answer."""
    log = Kept(tree(5))
    grown = [Kept(tree(size)) for size in (6, 7)]

    def ask(asked: str) -> Answer:
        if grown:
            other = grown.pop(0)
            collect(other, EYE_KEY, eye.answer)
            log.__dict__.update(other.__dict__)
        return eye.answer(asked)

    confront(log, EYE_KEY, ask)


@pytest.mark.parametrize(
    "ask",
    [
        lambda _: Answer(OK, ""),
        lambda _: Answer(OK, "rubbish\n"),
        lambda _: Answer(OK, checkpoint.cosign(Note.read(note(tree(5))), EYE_KEY.name, LOG, 5)),
        lambda _: Answer(CONFLICT, "many\n"),
        lambda _: Answer(CONFLICT, "²\n"),
        lambda _: Answer(CONFLICT, "9" * 5000 + "\n"),
        lambda _: Answer(UNKNOWN_LOG, "who are you?\n"),
    ],
)
def test_a_witness_that_answers_wrong_is_not_believed(ask: Callable[[str], Answer]) -> None:
    log = Kept(tree(5))
    with pytest.raises(ConfigFault):
        collect(log, EYE_KEY, ask)
    assert log.witnesses == 0


def test_a_witness_adds_its_own_signature_and_nothing_else(eye: Witness) -> None:
    """A wrong line in another's name would make that one's true signature useless, and every bundle larger."""
    other = Verifier("port.example/witness", LOG.public, COSIGNATURE)
    log = Kept(tree(5))
    wrong = checkpoint.cosign(Note.read(note(tree(6))), other.name, LOG, 5)

    def ask(asked: str) -> Answer:
        found = eye.answer(asked)
        return Answer(found.status, wrong + found.body + found.body)

    assert collect(log, EYE_KEY, ask) == 5
    assert [signature.name for signature in Note.read(log.note).signatures] == [ORIGIN, EYE_KEY.name]
    assert log.witnesses == 1
