"""What belongs to a backup beside the database, and that each file goes back to where it came from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from swexchange.cli.backup_files import is_secret, sources, target
from swexchange.errors import ConfigFault
from swexchange.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A machine whose schemas folder is a link, with a test's sample beside the rules and another among the schemas."""
    files = {
        "routes.yaml": "tests:\n  - file: samples/a.xml\n  - file: schemas/f/1/b.xml\n  - file: ../c.xml\n",
        "filters.yaml": "{}",
        "samples/a.xml": "a",
        "opt/schemas/f/1/b.xml": "b",
        "opt/schemas/f/1/f.xsd": "f",
        "keys/k.key": "k",
        "keys/upstream-province.url": "u",
    }
    for name, content in files.items():
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "here" / "schemas").symlink_to(tmp_path / "here" / "opt" / "schemas")
    return at(tmp_path / "here")


def at(folder: Path) -> Settings:
    names = {"schemas": "schemas", "keys": "keys", "audit_head": "audit.head"}
    places = Settings(routes=str(folder / "routes.yaml"), filters=str(folder / "filters.yaml"))
    return replace(places, **{name: str(folder / place) for name, place in names.items()})  # type: ignore[arg-type]


RULES = {"routes.yaml", "filters.yaml", "schemas/f/1/b.xml", "schemas/f/1/f.xsd", "samples/samples/a.xml"}
SECRETS = {"keys/k.key", "keys/upstream-province.url"}


@pytest.mark.parametrize("private_keys", [False, True])
def test_everything_is_in_it_once(settings: Settings, private_keys: bool) -> None:
    """Rules, what their tests need, schemas; secrets when asked for. What leads out of the folder is left out."""
    found = [name for name, _ in sources(settings, private_keys=private_keys)]
    assert sorted(found) == sorted(RULES | (SECRETS if private_keys else set()))
    assert {name for name in found if is_secret(name)} == (SECRETS if private_keys else set())


def test_a_folder_that_is_a_link_is_in_it(settings: Settings) -> None:
    """The daemon reads schemas by it: without them it would not start after a restore."""
    (Path(settings.schemas) / "f" / "now").symlink_to("1")
    found = {name for name, _ in sources(settings, private_keys=False)}
    assert found == {*RULES, "schemas/f/now/b.xml", "schemas/f/now/f.xsd"}


def test_a_folder_that_cannot_be_read_is_not_empty(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a backup would lack its files and call itself whole."""
    real = os.scandir

    def refused(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("/f/1"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        list(sources(settings, private_keys=False))


def test_every_file_goes_where_it_came_from(settings: Settings, tmp_path: Path) -> None:
    """Under the settings of another machine, at the same place."""
    for name, path in sources(settings, private_keys=True):
        found = target(at(tmp_path / "there"), name)
        assert found is not None
        assert (tmp_path / "here" / found.relative_to(tmp_path / "there")).read_bytes() == path.read_bytes()


def test_what_only_proves_something_goes_nowhere(settings: Settings) -> None:
    assert [target(settings, name) for name in ("database.db", "audit.vkey", "witnesses.vkey", "manifest.json")] == [
        None
    ] * 4
    assert str(target(settings, "audit.head")) == settings.audit_head


@pytest.mark.parametrize("content", ["{", "tests: 7", "tests: [7]", "[]", ""])
def test_wrong_rules_are_backed_up_as_they_are(settings: Settings, content: str) -> None:
    """The daemon goes on with the old ones; the backup must not fail for it."""
    Path(settings.routes).write_text(content)
    assert "routes.yaml" in dict(sources(settings, private_keys=False))


def test_a_missing_folder_is_an_error(settings: Settings, tmp_path: Path) -> None:
    """An empty place would look like a backup without schemas."""
    with pytest.raises(ConfigFault, match="no such folder"):
        dict(sources(replace(settings, schemas=str(tmp_path / "gone")), private_keys=False))
