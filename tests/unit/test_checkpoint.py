"""Signed notes, checkpoints and cosignatures: the examples of Go and C2SP, and what must be refused."""

from __future__ import annotations

import base64

import pytest

from swexchange.core import checkpoint as c
from swexchange.core.checkpoint import BadNote, Checkpoint, Note, Verifier
from swexchange.core.keys import SigningKey

# From golang.org/x/mod/sumdb/note.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# From c2sp.org/tlog-cosignature.
C2SP_TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
C2SP_SIGNATURE = (
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=",
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==",
)
C2SP = f"{C2SP_TEXT}\n— example.com/behind-the-sofa {C2SP_SIGNATURE[0]}\n— witness.example.com/w1 {C2SP_SIGNATURE[1]}\n"

LOG, WITNESS = SigningKey.from_seed("log", b"\1" * 32), SigningKey.from_seed("witness", b"\2" * 32)
HEAD = Checkpoint("sw.example/audit", 5, bytes(range(32)))
LOG_KEY = Verifier(HEAD.origin, LOG.public)
WITNESS_KEY = Verifier("customs.example/witness", WITNESS.public, c.COSIGNATURE)


def test_the_note_of_go_is_read_and_made_byte_for_byte() -> None:
    verifier = Verifier.read(GO_VKEY)
    assert str(verifier) == GO_VKEY
    note = Note.read(f"{GO_TEXT}\n{GO_LINE}")
    assert note.by(verifier)
    assert str(note) == f"{GO_TEXT}\n{GO_LINE}"
    key = SigningKey.from_seed("PeterNeumann", GO_SEED)
    assert c._line(Verifier("PeterNeumann", key.public), key.sign(GO_TEXT.encode())) == GO_LINE


def test_every_mangling_of_a_key_is_refused() -> None:
    """As Go's own test does it: every piece of the text, and every letter changed."""
    pieces = [GO_VKEY[i:j] for i in range(len(GO_VKEY)) for j in range(i, len(GO_VKEY) + 1)]
    changed = [GO_VKEY[:i] + chr(ord(letter) + 1) + GO_VKEY[i + 1 :] for i, letter in enumerate(GO_VKEY)]
    for text in (*(piece for piece in pieces if piece != GO_VKEY), *changed):
        with pytest.raises(BadNote):
            Verifier.read(text)


def test_the_checkpoint_of_c2sp_is_read() -> None:
    note = Note.read(C2SP)
    found = Checkpoint.read(note.text)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20852163)
    assert found.text == note.text
    assert [s.name for s in note.signatures] == ["example.com/behind-the-sofa", "witness.example.com/w1"]
    assert note.signatures[1].at == 1679315147


def test_a_checkpoint_is_signed_and_cosigned() -> None:
    signed = c.sign(HEAD, LOG)
    checkpoint, note = c.trusted(signed, [LOG_KEY])
    assert checkpoint == HEAD
    line = c.cosign(note, WITNESS_KEY.name, WITNESS, 1_700_000_000)
    both = Note.read(signed + line)
    assert [key for key, _ in both.signed_by([LOG_KEY, WITNESS_KEY])] == [LOG_KEY, WITNESS_KEY]
    assert Verifier.read(str(WITNESS_KEY)) == WITNESS_KEY
    message = f"cosignature/v1\ntime 1700000000\n{HEAD.text}".encode()  # as the specification writes it
    assert both.signatures[1].value == (1_700_000_000).to_bytes(8) + WITNESS.sign(message)


def test_a_key_signs_for_one_purpose() -> None:
    """A log's signature is no cosignature, nor the other way round, even with the same key and name."""
    note = Note.read(c.sign(HEAD, LOG))
    as_witness = Verifier(HEAD.origin, LOG.public, c.COSIGNATURE)
    assert note.by(as_witness) is None
    cosigned = Note.read(HEAD.text + "\n" + c.cosign(note, HEAD.origin, LOG, 5))
    assert cosigned.by(LOG_KEY) is None


@pytest.mark.parametrize("text", [C2SP, c.sign(HEAD, LOG).replace("\n5\n", "\n6\n")])
def test_what_nobody_trusted_has_signed_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        c.trusted(text, [LOG_KEY])


def test_a_changed_cosignature_time_is_noticed() -> None:
    note = Note.read(c.sign(HEAD, LOG))
    line = c.cosign(note, WITNESS_KEY.name, WITNESS, 5)
    value = base64.b64decode(line.split()[-1])
    later = value[:4] + (6).to_bytes(8) + value[12:]
    forged = line.replace(line.split()[-1], base64.b64encode(later).decode())
    with pytest.raises(BadNote, match="wrong"):
        Note.read(str(note) + forged).by(WITNESS_KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "text\n",
        "text\n\n",
        GO_TEXT + GO_LINE,
        GO_TEXT + "\n" + GO_LINE.removesuffix("\n"),
        GO_TEXT + "\n" + GO_LINE.replace("— ", "- "),
        GO_TEXT + "\n" + GO_LINE.replace("=", ""),
        GO_TEXT + "\n— PeterNeumann AAAA\n",
        GO_TEXT + "\r\n\n" + GO_LINE,
        GO_TEXT + "\n" + GO_LINE * 101,
        "x" * 70_000 + "\n\n" + GO_LINE,
    ],
)
def test_text_that_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        Note.read(text)


@pytest.mark.parametrize(
    "text",
    [
        "a\n05\n" + "A" * 43 + "=\n",
        "a\n-1\n" + "A" * 43 + "=\n",
        "a b\n5\n" + "A" * 43 + "=\n",
        "a\n5\nAAAA\n",
        "a\n5\n",
    ],
)
def test_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        Checkpoint.read(text)
