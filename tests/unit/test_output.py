"""What commands print of others' texts rules no terminal: neither as text nor as JSON."""

from __future__ import annotations

import json

import pytest

from swexchange.cli.output import emit, say, table

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
