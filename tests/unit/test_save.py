"""What `receive --save` writes: each message into a file of its own, whatever its publisher calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from swexchange.broker.client import Received
from swexchange.cli.traffic import _save
from swexchange.errors import ConfigFault

IDS = (
    "a",
    "a/b",
    "a_b",
    "a.b",
    "a%2Fb",
    "../../etc/passwd",
    "..",
    ".",
    "\x00",
    "报关单",
    "x" * 120,
    "x" * 200,
    "x" * 201,
    "é" * 127,
)


def received(message_id: str, body: bytes) -> Received:
    return Received(1, body, False, message_id, "DecMessage", "", "", 0, "")


def test_no_two_ids_share_a_file_and_none_leaves_the_folder(tmp_path: Path) -> None:
    """However alike they are."""
    paths = [Path(_save(received(one, one.encode()), tmp_path / "in")) for one in IDS]
    assert len(set(paths)) == len(IDS)
    assert set((tmp_path / "in").iterdir()) == set(paths)
    assert [path.read_bytes() for path in paths] == [one.encode() for one in IDS]


def test_a_name_made_to_be_another_ids_is_its_own(tmp_path: Path) -> None:
    """An id that is the file name of a long one."""
    path = Path(_save(received("x" * 200, b"long"), tmp_path))
    assert Path(_save(received(path.stem, b"other"), tmp_path)) != path
    assert path.read_bytes() == b"long"


@pytest.mark.parametrize("message_id", ["M1", ""])
def test_an_id_given_twice_overwrites_nothing(tmp_path: Path, message_id: str) -> None:
    """Other bytes go into another file; the same bytes, delivered again, into none."""
    first, second, again = (_save(received(message_id, body), tmp_path) for body in (b"one", b"two", b"one"))
    assert _save(received(message_id, b"two"), tmp_path) == second
    assert first == again != second
    assert (Path(first).read_bytes(), Path(second).read_bytes()) == (b"one", b"two")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """And so is a link that leads nowhere: what is not saved is never taken from the queue."""
    (tmp_path / "in").write_bytes(b"a file")
    (tmp_path / "M1.xml").symlink_to(tmp_path / "nowhere")
    for folder in (tmp_path / "in", tmp_path):
        with pytest.raises(ConfigFault, match=r"message stays in the queue"):
            _save(received("M1", b"one"), folder)
