"""Archive files, as both verifiers read them: the daemon's own, and bin/verify-evidence, which shares no code with it.

The golden ones in tests/vectors/evidence/archives verify for good: `python -m tests.evidence` made them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swexchange.core.checkpoint import Checkpoint, Verifier, sign
from swexchange.core.keys import SigningKey
from swexchange.evidence.archive_file import PARTS, ArchiveFile, Damaged
from tests import evidence
from tests.unit.test_verify_evidence import LOG, WITNESS, rewritten, verifier
from tests.unit.test_verify_evidence import run as program

GOLDEN = evidence.FOLDER
FIRST, SECOND = sorted((GOLDEN / "archives").glob("*.zip"))


def run(*arguments: object, log: str = LOG) -> subprocess.CompletedProcess[str]:
    """The program as a third party runs it."""
    done = program("--log", log, *arguments)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def proved(path: Path) -> list[str]:
    """What the program proves, in this process: quicker. Raises what says that it is not."""
    trust = verifier.Trust([LOG], [WITNESS], [])
    return list(verifier.verify(str(path), trust, []))


def verify(path: Path, log: str = LOG) -> int:
    """Our own check; the size of the checkpoint."""
    with closing(ArchiveFile(path)) as file:
        return file.verify([Verifier.read(log)]).size


def refused(path: Path) -> None:
    """Neither verifier takes it."""
    with pytest.raises(Damaged):
        verify(path)
    with pytest.raises(verifier.BROKEN):
        proved(path)


def test_golden_archives_are_proved() -> None:
    assert verify(FIRST) == verify(SECOND) == 305
    folder = GOLDEN / "archives"
    done = run("--witness", WITNESS, "--checkpoint", GOLDEN / "old.checkpoint", folder, FIRST, SECOND)
    assert done.returncode == 0, done.stdout
    assert "300 exchange/v1, 300 messages, 300 receipts, 1 rules/v1" in done.stdout
    assert done.stdout.count("chain: 2 archives, leaves 0 to 304 without a gap") == 2
    assert run("--checkpoint", GOLDEN / "old.checkpoint", SECOND).returncode == 0


def test_archives_of_today_are_the_golden_ones() -> None:
    """Equal evidence is equal to the byte; how it is compressed is the compressor's own."""
    made = evidence.made()
    assert made == evidence.made()
    for path in (FIRST, SECOND):
        with zipfile.ZipFile(path) as golden, zipfile.ZipFile(evidence.opened(made[f"archives/{path.name}"])) as today:
            assert golden.namelist() == today.namelist()
            for name in golden.namelist():
                wanted, found = golden.read(name), today.read(name)
                if name == "archive.json":
                    wanted, found = _without_previous(wanted), _without_previous(found)
                assert wanted == found, name


def _without_previous(manifest: bytes) -> bytes:
    told = json.loads(manifest)
    if told["previous"]:
        told["previous"]["sha256"] = ""
    return json.dumps(told).encode()


def _flips(name: str) -> Iterator[tuple[int, int]]:
    """Places in a member, and which bit: of its digits and letters, so that JSON stays JSON."""
    with zipfile.ZipFile(SECOND) as packed:
        content = packed.read(name)
    places = [at for at, byte in enumerate(content) if chr(byte).isalnum()]
    yield from ((at, 1) for at in places[:: max(1, len(places) // 12)])


def _members() -> list[str]:
    with zipfile.ZipFile(SECOND) as packed:
        return [name for name in packed.namelist() if name != "README.txt"]


@pytest.mark.parametrize("name", _members())
def test_a_changed_member_is_refused(tmp_path: Path, name: str) -> None:
    """Whoever packs it again well is found out by what was signed; times and the file before are no evidence."""
    for at, bit in _flips(name):

        def flip(members: dict[str, bytes], at: int = at, bit: int = bit) -> None:
            old = members[name]
            members[name] = old[:at] + bytes((old[at] ^ bit,)) + old[at + 1 :]

        path = rewritten(SECOND, tmp_path / "changed.zip", flip)
        try:
            proved(path)
        except verifier.BROKEN:
            continue
        assert name == "archive.json", f"{name} at {at}"


@pytest.mark.parametrize("name", ["entries", "checkpoint", *PARTS])
def test_our_own_check_refuses_a_changed_member(tmp_path: Path, name: str) -> None:
    def flip(members: dict[str, bytes]) -> None:
        members[name] = members[name][:40] + bytes((members[name][40] ^ 1,)) + members[name][41:]

    refused(rewritten(SECOND, tmp_path / "changed.zip", flip))


@pytest.mark.parametrize("name", ["entries", "archive.json", "checkpoint", *PARTS])
def test_a_missing_or_cut_member_is_refused(tmp_path: Path, name: str) -> None:
    refused(rewritten(SECOND, tmp_path / "missing.zip", lambda members: members.pop(name)))
    cut = rewritten(SECOND, tmp_path / "cut.zip", lambda members: members.update({name: members[name][:-1]}))
    if name != "archive.json":
        refused(cut)


def test_a_member_with_more_than_it_should_have_is_refused(tmp_path: Path) -> None:
    for name in PARTS:
        more = {name: b"\0\0\0\0"}
        add = lambda members, more=more: members.update({n: members[n] + c for n, c in more.items()})  # noqa: E731
        refused(rewritten(SECOND, tmp_path / "more.zip", add))


def test_a_flipped_bit_of_the_file_is_refused(tmp_path: Path) -> None:
    """As a bad disk does: found by the compressed members' own checks, or by the digest that is known of the file."""
    content = SECOND.read_bytes()
    changed = tmp_path / SECOND.name
    with zipfile.ZipFile(SECOND) as packed:
        starts = [info.header_offset + 60 for info in packed.infolist() if info.filename != "README.txt"]
    for at in starts:
        changed.write_bytes(content[:at] + bytes((content[at] ^ 4,)) + content[at + 1 :])
        with pytest.raises(Damaged):
            verify(changed)
    changed.write_bytes(content[: len(content) // 2])
    refused(changed)


def test_a_message_may_have_been_deleted_before(tmp_path: Path) -> None:
    def delete(members: dict[str, bytes]) -> None:
        first = int.from_bytes(members["messages"][:4])
        members["messages"] = b"\0\0\0\0" + members["messages"][4 + first :]

    path = rewritten(SECOND, tmp_path / "deleted.zip", delete)
    assert verify(path) == 305
    assert "1 messages without bytes" in run(path).stdout


def test_a_removed_or_swapped_file_breaks_the_chain(tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    shutil.copytree(GOLDEN / "archives", folder)
    (folder / FIRST.name).unlink()
    done = run(folder)
    assert (done.returncode, "what is before leaf 301 is missing" in done.stdout) == (1, True)
    rewritten(FIRST, folder / FIRST.name, lambda members: members.update({"README.txt": b"another"}))
    done = run(folder)
    assert (done.returncode, "was not written behind" in done.stdout) == (1, True)
    shutil.copy(SECOND, folder / FIRST.name)
    assert run(folder).returncode == 1


def test_who_signed_matters() -> None:
    stranger = str(Verifier(evidence.ORIGIN, SigningKey.from_seed("stranger", b"\5" * 32).public))
    assert run(SECOND, log=stranger).returncode == 1
    with pytest.raises(Damaged, match="not signed"):
        verify(SECOND, stranger)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_in_the_file_there_is_no_traceback(data: st.DataObject) -> None:
    """Both verifiers say what is wrong, or that nothing is; a file that was changed is never the known one."""
    content = bytearray(SECOND.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder, SECOND.name)
        path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, 30]))])
        with suppress(Damaged):
            verify(path)
        with suppress(*verifier.BROKEN):
            proved(path)


_values: st.SearchStrategy[object] = st.one_of(
    st.none(), st.integers(), st.text(), st.lists(st.text(max_size=44), max_size=3), st.just({})
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["format", "first", "entries", "exchanges", "since", "previous", "left", "right", "rules"]), _values
)
def test_whatever_its_list_says_there_is_no_traceback(name: str, value: object) -> None:
    with TemporaryDirectory() as folder:

        def change(members: dict[str, bytes]) -> None:
            members["archive.json"] = json.dumps({**json.loads(members["archive.json"]), name: value}).encode()

        path = rewritten(SECOND, Path(folder, "changed.zip"), change)
        with suppress(Damaged):
            verify(path)
        with suppress(*verifier.BROKEN):
            proved(path)


def test_a_checkpoint_that_somebody_kept_is_compared(tmp_path: Path) -> None:
    """Inside an archive, too: another history under the log's own key is found out by who kept the first."""
    for size in (1, 300, 303):
        kept = tmp_path / "kept.checkpoint"
        kept.write_text(sign(Checkpoint(evidence.ORIGIN, size, b"\1" * 32), evidence.LOG_KEY))
        done = run("--checkpoint", kept, GOLDEN / "archives")
        assert (done.returncode, "are not those that a kept checkpoint signed" in done.stdout) == (1, True)


def test_what_was_not_compared_with_a_kept_checkpoint_is_said(tmp_path: Path) -> None:
    kept = tmp_path / "kept.checkpoint"
    kept.write_text(sign(Checkpoint(evidence.ORIGIN, 100, b"\1" * 32), evidence.LOG_KEY))
    done = run("--checkpoint", kept, "--checkpoint", GOLDEN / "old.checkpoint", SECOND)
    assert done.returncode == 0
    assert "growth: compared with 1 of 2 kept checkpoints; the others are of other sizes\n" in done.stdout
    assert (
        "growth: compared with 1 of 1 kept checkpoints\n"
        in run("--checkpoint", GOLDEN / "old.checkpoint", SECOND).stdout
    )


def test_an_archive_of_nothing_proves_nothing(tmp_path: Path) -> None:
    """All hashes to its left and right are right, and it holds no entry."""

    def empty(members: dict[str, bytes]) -> None:
        told = json.loads(members["archive.json"])
        told |= {"first": 0, "entries": 0, "exchanges": 0, "left": [], "right": right, "rules": []}
        members["archive.json"] = json.dumps(told).encode()
        members |= dict.fromkeys(("entries", "details", "messages", "receipts"), b"")

    tree = verifier.Range()
    for path in (FIRST, SECOND):
        with closing(ArchiveFile(path)) as file:
            for stored in file.records():
                tree.append(verifier.leaf_hash(stored.entry))
    assert tree.size == 305
    right = [b64encode(peak).decode() for peak in tree.peaks]
    path = rewritten(FIRST, tmp_path / "empty.zip", empty)
    with pytest.raises(verifier.Unproved, match="or none"):
        proved(path)


@pytest.mark.parametrize("bit", range(8))
def test_an_archive_that_says_it_is_encrypted_is_refused(tmp_path: Path, bit: int) -> None:
    """Or packed in a way that nobody here reads: its flags, in the directory at the end of the file."""
    content = bytearray(SECOND.read_bytes())
    at = 0
    while (at := content.find(b"PK\x01\x02", at + 1)) > 0:
        content[at + 8] ^= 1 << bit
    path = tmp_path / SECOND.name
    path.write_bytes(content)
    with suppress(Damaged):
        verify(path)
    with suppress(*verifier.BROKEN):
        proved(path)
