"""The rules that the daemon takes are the very ones that were tested."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swexchange.cli import wiring
from swexchange.core.rulebook import Rulebook
from swexchange.errors import RulesInvalid
from swexchange.rules.load import load
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
