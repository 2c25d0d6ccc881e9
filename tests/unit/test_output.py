"""What commands print of others' texts rules no terminal: neither as text nor as JSON."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest

from swexchange.cli.output import emit, say, table, write_file
from swexchange.errors import ConfigFault

# C0 and C1 controls, line ends, right-to-left overrides, a lone surrogate; and what must stay as it is.
HOSTILE = "a\x1b[2K\r\n\x9b2J\u202e\u2066\u2028\ufeff\x7f\ud800 货物\U0001f600"


def test_texts_are_one_safe_line(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    table([("name", HOSTILE)])
    first, second = capsys.readouterr().out.removesuffix("\n").split("\n")
    assert first.isprintable()
    assert second.isprintable()
    assert first.endswith("货物\U0001f600")


def test_json_is_safe_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"name": HOSTILE, HOSTILE: ["\\u009b", '"']}
    emit(told, as_json=True, as_text=lambda: None)
    printed = capsys.readouterr().out
    assert json.loads(printed) == told
    assert all(line.isprintable() for line in printed.removesuffix("\n").split("\n"))
    assert "货物" in printed


def test_a_file_that_is_cut_off_is_as_it_was(tmp_path: Path) -> None:
    """What somebody has there may be the only good one; through a link it is the link's target that is written."""
    there, link = tmp_path / "evidence.zip", tmp_path / "link.zip"
    there.write_bytes(b"good")
    link.symlink_to(there)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ConfigFault, match="File too large"):
            write_file(link, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert there.read_bytes() == b"good"
    write_file(link, b"better")
    assert link.is_symlink()
    assert there.read_bytes() == b"better"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evidence.zip", "link.zip"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_file(tmp_path / "pipe", b"evidence")
    assert os.read(reader, 100) == b"evidence"
    os.close(reader)
