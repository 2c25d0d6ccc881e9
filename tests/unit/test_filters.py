"""Options that choose exchanges, by hand and from the file of named filters."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from swexchange.cli.filters import filter_options
from swexchange.clock import utc_now
from swexchange.core.model import BusinessKey
from swexchange.core.search import State
from swexchange.errors import ConfigFault
from swexchange.settings import Settings
from swexchange.store import Filter

FILE = """
lost:
  receiver: DXPEDCDEC0000001
  since: 2026-11-24T08:00:00
  key: EntryId=530420261000000017
two:
  exchange: [aa, bb]
one:
  exchange: aa
wrong-name:
  sendr: X
wrong-value:
  since: nonsense
wrong-shape:
  sender: [X]
stuck:
  state: queued
wrong-state:
  state: stuck
empty:
"""


def chosen(folder: Path, *arguments: str) -> Filter:
    """The filter that a command gets for these arguments."""
    found: list[Filter] = []

    @click.command()
    @filter_options
    @click.option("--limit", default=50)
    def command(wanted: Filter, limit: int) -> None:
        assert limit == 50
        found.append(wanted)

    path = folder / "filters.yaml"
    path.write_text(FILE, "utf-8")
    CliRunner().invoke(command, arguments, obj=Settings(filters=str(path)), catch_exceptions=False)
    (wanted,) = found or [Filter(message_id="usage error")]
    return wanted


def test_nothing_given_is_everything(tmp_path: Path) -> None:
    """No option, no condition."""
    assert chosen(tmp_path) == Filter()


def test_a_named_filter_is_its_options(tmp_path: Path) -> None:
    """As if they had been given by hand; a key and lists too."""
    wanted = chosen(tmp_path, "--filter", "lost")
    assert (wanted.receiver, wanted.key) == ("DXPEDCDEC0000001", BusinessKey("EntryId", "530420261000000017"))
    assert wanted.since is not None
    assert wanted.since.isoformat() == "2026-11-24T08:00:00+08:00"
    assert chosen(tmp_path, "--filter", "two").exchanges == ("aa", "bb")
    assert chosen(tmp_path, "--filter", "one").exchanges == ("aa",)


def test_what_is_given_by_hand_wins(tmp_path: Path) -> None:
    """Wherever it stands in the line."""
    for line in (("--receiver", "Y", "--filter", "lost"), ("--filter", "lost", "--receiver", "Y")):
        wanted = chosen(tmp_path, *line)
        assert (wanted.receiver, wanted.key is not None) == ("Y", True)


def test_how_long_ago(tmp_path: Path) -> None:
    """A number with d, h or m counts back from now."""
    since = chosen(tmp_path, "--since", "7d").since
    assert since is not None
    assert abs(utc_now() - timedelta(days=7) - since) < timedelta(minutes=1)
    assert chosen(tmp_path, "--since", "7w").message_id == "usage error"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "there is no filter none"),
        ("empty", "there is no filter empty"),
        ("wrong-name", "filters have no sendr"),
        ("wrong-shape", "sender must be text"),
    ],
)
def test_a_wrong_filter_is_told_with_its_line(tmp_path: Path, name: str, said: str) -> None:
    """Unknown names and shapes; nothing is searched by half a filter."""
    with pytest.raises(ConfigFault, match=said) as raised:
        chosen(tmp_path, "--filter", name)
    assert "filters.yaml" in raised.value.where


def test_a_state_is_one_of_those_that_show_names(tmp_path: Path) -> None:
    """By hand and in the file alike."""
    assert chosen(tmp_path, "--state", "dropped") == Filter(state=State.DROPPED)
    assert chosen(tmp_path, "--filter", "stuck") == Filter(state=State.QUEUED)
    assert chosen(tmp_path, "--state", "stuck").message_id == "usage error"
    assert chosen(tmp_path, "--filter", "wrong-state").message_id == "usage error"


def test_a_wrong_value_is_a_usage_error(tmp_path: Path) -> None:
    """As if it had been given by hand."""
    assert chosen(tmp_path, "--filter", "wrong-value").message_id == "usage error"
