"""How a command ends: faults and Ctrl-C become one line and a documented exit code."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from swexchange.cli import exits
from swexchange.cli.root import FaultyGroup
from swexchange.errors import BrokerLost, Busy, ConfigFault, RulesInvalid, StoreDown


def interrupted() -> None:
    """As a driver that is interrupted in its wait fails when its transaction is rolled back."""
    try:
        raise KeyboardInterrupt
    finally:
        raise StoreDown("another command is already in progress")


def fail(fault: Exception | type[BaseException]) -> None:
    raise fault


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (StoreDown("no answer", where="db", do="Look"), exits.UNAVAILABLE, "db: no answer. Look\n"),
        (BrokerLost("refused"), exits.UNAVAILABLE, "refused\n"),
        (Busy("somebody else"), exits.UNAVAILABLE, "somebody else\n"),
        (ConfigFault("wrong"), exits.USAGE, "wrong\n"),
        (RulesInvalid([ConfigFault("one"), ConfigFault("two")]), exits.USAGE, "one\ntwo\n"),
        (KeyboardInterrupt, exits.STOPPED, "stopped\n"),
        (None, exits.STOPPED, "stopped\n"),
    ],
)
def test_each_end_has_its_code(fault: Exception | type[BaseException] | None, code: int, said: str) -> None:
    group = FaultyGroup("group")
    group.add_command(click.Command("end", callback=lambda: fail(fault) if fault else interrupted()))
    done = CliRunner().invoke(group, ["end"])
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", said)
