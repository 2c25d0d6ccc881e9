"""Searching archive files that somebody has written to: a file is damaged, or finds what it says; never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from swexchange.cli.root import cli
from swexchange.core.model import BusinessKey
from swexchange.core.search import Filter
from swexchange.errors import ConfigFault
from swexchange.evidence.archive_file import PARTS, ArchiveFile, Damaged
from swexchange.evidence.archive_folder import holes, name_of
from swexchange.evidence.archive_search import find, prove, search
from tests import evidence
from tests.unit.test_verify_evidence import rewritten

GOLDEN = evidence.FOLDER / "archives"
FIRST, SECOND = sorted(GOLDEN.glob("*.zip"))
HOLE = "in no file of this folder, by retention or because it is missing; what lies there is not found"
Change = Callable[[bytes], bytes]


def frames(content: bytes, width: int) -> list[bytes]:
    found, at = [], 0
    while at < len(content):
        end = at + width + int.from_bytes(content[at : at + width])
        found.append(content[at + width : end])
        at = end
    return found


def changed(folder: Path, member: str, change: Change) -> Path:
    """A folder with one archive file: the first exchange's entry or detail, or another member, is changed."""

    def apply(members: dict[str, bytes]) -> None:
        width = {"entries": 2, "details": 4}.get(member, 0)
        if not width:
            members |= {name: change(members[name]) for name in members if name.startswith(member)}
            return
        whole = frames(members[member], width)
        at = next(n for n, one in enumerate(whole) if member == "details" or b'{"entry":"exchange/' in one)
        whole[at] = change(whole[at])
        members[member] = b"".join(len(one).to_bytes(width) + one for one in whole)

    rewritten(SECOND, folder / SECOND.name, apply)
    return folder


def everything(folder: Path) -> None:
    """All that is done with archive files without a database."""
    for key in (None, BusinessKey("", "MSG")):
        for hit in search(folder, Filter(limit=50, key=key)):
            found = find(folder, hit.said["exchange"])
            assert found
            assert prove(found, lambda _: None)


def _of_entry(**members: object) -> Change:
    return lambda entry: json.dumps({**json.loads(entry), **members}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("entries", lambda entry: entry[:-5]),
        ("entries", lambda _: b'{"entry":"exchange/v1","exchange":"019cac2a9dc"}'),
        ("entries", lambda _: b'{"entry":"exchange/v1","x":' + b"[" * 60_000),
        ("entries", _of_entry(received_at=10**20)),
        ("entries", _of_entry(received_at="now")),
        ("entries", _of_entry(envelope={"a": 1})),
        ("entries", _of_entry(message_id=None)),
        ("details", lambda _: b'MSG "MSG"'),
        ("details", lambda _: b'{"keys":["MSG"]} "MSG"'),
        ("details", lambda _: b'{"keys":[["MSG"]],"x":"MSG"}'),
        ("rules/", lambda _: b"{}"),
        ("checkpoint", lambda _: b"x"),
        ("checkpoint", lambda _: b"x\nnone\n"),
        ("checkpoint", lambda _: b"x\n99999999999\nAA\n"),
        ("archive.json", lambda told: told.replace(b'"left": [', b'"left": ["AA==",')),
        ("archive.json", _of_entry(first=-5)),
    ],
)
def test_a_file_that_makes_no_sense_is_damaged(tmp_path: Path, member: str, change: Change) -> None:
    with pytest.raises(Damaged):
        everything(changed(tmp_path, member, change))


@pytest.mark.parametrize("member", ["messages", "receipts", "details"])
def test_an_exchange_is_shown_only_as_it_was_logged(tmp_path: Path, member: str) -> None:
    """Whoever packs it again well is found out by the entry's digests."""
    (newest,) = search(GOLDEN, Filter(limit=1))
    number = newest.said["exchange"]

    def spoil(members: dict[str, bytes]) -> None:
        members[member] = b"".join(len(one).to_bytes(4) + one.swapcase() for one in frames(members[member], 4))

    rewritten(GOLDEN / newest.archive, tmp_path / newest.archive, spoil)
    with pytest.raises(Damaged, match=f"one of its {member} is not what was logged"):
        find(tmp_path, number)


def test_what_its_checkpoint_did_not_sign_is_not_proved(tmp_path: Path) -> None:
    """No bundle is handed out that proves nothing: another entry was changed, and so every proof is wrong."""
    (newest,) = search(GOLDEN, Filter(limit=1))

    def spoil(members: dict[str, bytes]) -> None:
        first, *others = frames(members["entries"], 2)
        changed = first.replace(b'"route":"', b'"route":"x')
        assert changed != first
        members["entries"] = b"".join(len(one).to_bytes(2) + one for one in (changed, *others))

    rewritten(GOLDEN / newest.archive, tmp_path / newest.archive, spoil)
    found = find(tmp_path, newest.said["exchange"])
    assert found
    with pytest.raises(Damaged, match="not what its checkpoint signed"):
        prove(found, lambda _: None)


def test_a_pipe_among_archive_files_is_named(tmp_path: Path) -> None:
    """And not waited for."""
    os.mkfifo(tmp_path / "000000000000-000000000009.zip")
    with pytest.raises(Damaged, match="no file"):
        list(search(tmp_path, Filter()))


@pytest.mark.parametrize("name", ["absent", "a file", "a file/below"])
def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(ConfigFault, match="cannot look for archive files") as raised:
        list(search(tmp_path / name, Filter()))
    assert raised.value.where == str(tmp_path / name)


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ([(0, 10), (10, 5)], []),
        ([(0, 10), (15, 5), (20, 1), (30, 1)], [(10, 14), (21, 29)]),
        ([(10, 10)], [(0, 9)]),
        ([(0, 10), (0, 30), (20, 10), (40, 1)], [(30, 39)]),  # one within another: twice, but there
        ([], []),
    ],
)
def test_what_files_leave_out_is_told_by_their_names(
    tmp_path: Path, files: list[tuple[int, int]], missing: list[tuple[int, int]]
) -> None:
    for first, entries in files:
        (tmp_path / name_of(first, entries)).touch()
    (tmp_path / "a stranger.zip").touch()
    assert list(holes(tmp_path)) == missing


@pytest.mark.parametrize(("files", "said"), [((FIRST, SECOND), ""), ((SECOND,), f"leaves 0 to 300: {HOLE}\n")])
def test_where_a_file_is_missing_every_command_says_so(tmp_path: Path, files: tuple[Path, ...], said: str) -> None:
    """There nothing found means little, and a bundle may lack events."""
    for file in files:
        shutil.copy(file, tmp_path)
    (newest,) = search(tmp_path, Filter(limit=1))
    there, proof = newest.said["exchange"], str(tmp_path / "proof")
    for command, errors in (
        (("search", "--message-id", "NOBODY"), f"nothing found\n{said}"),
        (("search", "--message-id", newest.said["message_id"]), said),
        (("show", "0" * 32), f"{said}no archive file holds this exchange; `swexchange archive search` finds ids\n"),
        (("prove", there, "--output", proof), said),
    ):
        done = CliRunner().invoke(cli, ["archive", *command], env={"SWX_ARCHIVE": str(tmp_path)})
        assert done.stderr == errors, command


def test_files_as_they_are_written_are_searched() -> None:
    everything(GOLDEN)


@pytest.mark.parametrize("member", ["archive.json", "checkpoint", "details"])
def test_a_small_file_that_unpacks_to_a_huge_one_is_damaged(tmp_path: Path, member: str) -> None:
    path = tmp_path / FIRST.name
    with zipfile.ZipFile(FIRST) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in source.namelist():
            if name != member:
                bomb.writestr(name, source.read(name))
        with bomb.open(member, "w") as stream:
            stream.write((2**32 - 1).to_bytes(4))
            for _ in range(257):
                stream.write(bytes(1 << 20))
    with pytest.raises(Damaged, match="too many"):
        list(ArchiveFile(path).records(PARTS))
