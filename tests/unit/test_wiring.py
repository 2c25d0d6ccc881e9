"""The rules that the daemon takes are the very ones that were tested."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swexchange.cli import wiring
from swexchange.cli.evidence import schemas_in
from swexchange.cli.wiring_store import free_disk
from swexchange.core.rulebook import Rulebook
from swexchange.errors import ConfigFault, Fault, RulesInvalid, StoreDown
from swexchange.rules.load import load
from swexchange.rules.reload import AGAIN_AFTER, RulesFile
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from tests import own_rules, world

SENDER = "DXPENT0000012345"


def _settings(folder: Path, expected_code: str) -> Settings:
    """Rules with one test, which holds for the code 4202: no such type."""
    (folder / "sample.xml").write_text("<Unknown/>")
    content = own_rules.rules()
    content["types"] = [kind for kind in content["types"] if kind["id"] == "DecMessage"]
    content["routes"] = [route for route in content["routes"] if "when" not in route]
    for participant in content["participants"]:
        participant.pop("sends", None)
    content["tests"] = [
        {"name": "t", "file": "sample.xml", "sender": SENDER, "expect": {"outcome": "rejected", "code": expected_code}}
    ]
    own_rules.write(content, folder / "routes.yaml")
    if not (folder / "keys").exists():
        own_rules.write_private([content["platform"]], folder / "keys")
    return Settings(routes=str(folder / "routes.yaml"), keys=str(folder / "keys"), schemas=str(world.SCHEMAS))


def test_rules_without_keys_can_sign_nothing(tmp_path: Path) -> None:
    """What sends nothing needs no private key, and cannot have one; with the folder there is one."""
    settings = _settings(tmp_path, "4202")
    with closing(Explainer()) as explainer:
        loaded = [wiring.load_rules(settings, explainer, with_keys=given).platform for given in (False, True)]
    assert [platform.key is None for platform in loaded] == [True, False]


def test_an_edit_while_loading_is_not_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file changes between loading and testing, to one whose test fails: that one's turn is the next reload."""
    settings = _settings(tmp_path, "4202")

    def edited_meanwhile(*arguments: Any) -> Rulebook:
        rules = load(*arguments)
        _settings(tmp_path, "9999")
        return rules

    with closing(Explainer()) as explainer:
        wiring.tested_rules(settings, explainer)
        with monkeypatch.context() as patch:
            patch.setattr("swexchange.cli.wiring.load", edited_meanwhile)
            wiring.tested_rules(settings, explainer)
        with pytest.raises(RulesInvalid, match="expected 9999"):
            wiring.tested_rules(settings, explainer)


def test_rules_that_could_not_be_read_for_another_reason_are_read_again(tmp_path: Path) -> None:
    """As on a full disk: the old ones stay, it is told, and nobody has to touch the file. What is wrong stays wrong."""
    path, now, told = tmp_path / "routes.yaml", 0.0, list[Fault]()
    troubles: list[Fault] = []
    reads: list[float] = []

    def read() -> Rulebook:
        reads.append(now)
        if troubles:
            raise troubles.pop()
        return world.rulebook()

    path.touch()
    file = RulesFile(path, read, lambda _: None, told.append, lambda: now)
    first = file.current()
    for trouble, tries in ((Fault("full"), 2), (ConfigFault("wrong"), 1)):
        path.write_text(trouble.what)
        troubles, reads = [trouble], []
        for _ in range(3 * int(AGAIN_AFTER)):
            now += 1
            assert file.current() is first
        assert (told.pop(), told, len(reads)) == (trouble, [], tries)


def test_a_disk_that_cannot_be_looked_at_is_the_database_s_trouble(tmp_path: Path) -> None:
    """A folder that was unmounted ends no worker: it waits, as for a database that does not answer."""
    (tmp_path / "db").mkdir()
    look = free_disk(Settings(database_url=f"sqlite:///{tmp_path}/db/exchange.db"))
    assert look()
    (tmp_path / "db").rmdir()
    with pytest.raises(StoreDown, match="No such file"):
        look()


@pytest.mark.parametrize("name", ["none.xsd", "\0", "x" * 300, "circle", "../routes.yaml", "..", "folder"])
def test_a_schema_that_cannot_be_read_is_left_out_of_evidence(tmp_path: Path, name: str) -> None:
    """Its name comes from what is to be proved, which somebody may have written to."""
    schemas = tmp_path / "schemas"
    (schemas / "folder").mkdir(parents=True)
    (schemas / "circle").symlink_to("circle")
    (schemas / "one.xsd").write_bytes(b"one")
    (tmp_path / "routes.yaml").touch()
    read = schemas_in(Settings(schemas=str(schemas)))
    assert (read("one.xsd"), read(name)) == (b"one", None)
