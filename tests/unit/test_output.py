"""What commands print of others' texts rules no terminal: neither as text nor as JSON."""

from __future__ import annotations

import errno
import json
import os
import resource
from pathlib import Path

import pytest
from click.testing import CliRunner

from swexchange.cli import cli, exits
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


def test_a_file_is_written_whole_with_its_folders(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write_file(tmp_path / "a" / "b", content)
        assert [(path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir()] == [("b", content)]


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(errno.ENOSPC, exits.UNAVAILABLE, "here: No space left on device\n"), (errno.EPIPE, 1, "")],
)
def test_trouble_with_a_file_is_one_line(
    number: int, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever did not expect it; and of a reader who has gone nothing is said."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "here")

    monkeypatch.setattr("swexchange.cli.keys.load_parties", fail)
    done = CliRunner().invoke(cli, ["keys", "list"])
    assert (done.exit_code, done.stderr) == (code, said)


@pytest.mark.parametrize("output", [["-o", "/dev/full"], ["-o", "none.xml/signed.xml"]])
def test_a_message_that_cannot_be_written_is_one_line(
    output: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m.xml", "none.xml"):
        Path(name).write_text("<m/>")
    runner = CliRunner()
    assert runner.invoke(cli, ["keys", "new", "k"]).exit_code == 0
    done = runner.invoke(cli, ["sign", "m.xml", "--key", "k", *output])
    assert (done.exit_code, done.stderr.startswith(f"cannot write {output[1]}: ")) == (exits.USAGE, True)


def test_a_time_that_is_none_is_told_with_what_may_be_written() -> None:
    """A day, a time, or how long ago: all three."""
    done = CliRunner().invoke(cli, ["routes", "explain", "message.xml", "--at", "yesterday"])
    assert done.exit_code == exits.USAGE
    assert "'yesterday' is not a day (2026-11-24), a time (" in done.output
    assert "or how long ago (7d, 12h, 30m)" in done.output
