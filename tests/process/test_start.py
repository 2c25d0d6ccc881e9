"""The second start of a daemon: what its schemas were found to be is not found out again, and nothing is weaker."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from swexchange.broker.topology import receipts
from swexchange.core.parse import parse
from tests import world
from tests.bench import processes
from tests.process.house import INTEGRATOR, ROOT, Daemon, House

EXPLAINED = "found Type, expected IEFlag"  # libxml2 would say: This element is not expected. Expected is one of...
TYPE = '<xs:complexType name="DecHeadType">'
LENIENT = """<xs:complexType name="Narrow"><xs:sequence><xs:element name="a"/></xs:sequence></xs:complexType>
  <xs:complexType name="Wider"><xs:complexContent><xs:restriction base="dec:Narrow">
    <xs:sequence><xs:element name="a" maxOccurs="9"/></xs:sequence>
  </xs:restriction></xs:complexContent></xs:complexType>
"""


@pytest.fixture
def again(home: House, tmp_path: Path) -> tuple[House, Daemon]:
    """A house with schemas of its own whose daemon is started for the second time, and that daemon."""
    shutil.copytree(ROOT / "schemas", tmp_path / "own")
    environment = {"SWX_SCHEMAS": str(tmp_path / "own"), "SWX_CACHE": str(tmp_path / "cache")}
    assert home.daemon(environment=environment).stop() == 0
    return home, home.daemon(environment=environment)


def _explainers(daemon: Daemon) -> list[int]:
    children = processes.children(daemon.process.pid)
    return [child for child in children if "explainer_child" in processes.command(child)]


def _refused(home: House, number: str) -> str:
    """What the sender of a declaration without its IEFlag is told, without its code's own words."""
    wrong = world.declaration(number).replace(b"<IEFlag>I</IEFlag>", b"")
    home.send([home.signed(world.dxp_msg(wrong, number, sender=INTEGRATOR))])
    (receipt,) = home.collect(receipts(INTEGRATOR), 1)
    assert world.receipt_code(receipt.body) == "0002"
    (info,) = world.texts(parse(receipt.body, world.LIMIT).root, "ResponseInfo")
    return info.rpartition(": ")[2]


def test_the_slow_engine_starts_with_the_first_refusal_and_explains_it(again: tuple[House, Daemon]) -> None:
    """No child until then; the first receipt is in xmlschema's words, as the second."""
    home, daemon = again
    home.send([home.declaration("START-1")])
    home.collect(receipts(INTEGRATOR), 1)
    assert _explainers(daemon) == []
    first = _refused(home, "START-2")
    assert len(_explainers(daemon)) == 1
    assert [first, _refused(home, "START-3")] == [EXPLAINED, EXPLAINED]


def test_a_reload_still_refuses_what_xmlschema_cannot_compile(again: tuple[House, Daemon], tmp_path: Path) -> None:
    """A fault that libxml2 lets pass: refused with file and line, however well all else is known; traffic goes on."""
    home, daemon = again
    schema = next(path for path in (tmp_path / "own" / "dec").rglob("*.xsd") if TYPE in path.read_text("utf-8"))
    good = schema.read_text("utf-8")
    schema.write_text(good.replace(TYPE, LENIENT + TYPE), "utf-8")
    daemon.process.send_signal(signal.SIGHUP)
    home.send([home.declaration("RELOAD-1")])  # something to look at the rules for
    daemon.wait_for("rules refused, the old ones stay")
    (refused,) = (event for event in daemon.log() if event["event"] == "rules refused, the old ones stay")
    assert f"{schema.relative_to(tmp_path / 'own')}:" in str(refused["what"])
    home.collect(receipts(INTEGRATOR), 1)
    assert _refused(home, "RELOAD-2") == EXPLAINED
