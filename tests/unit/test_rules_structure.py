"""A routes.yaml of the wrong structure: each mistake in words, with its line and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from swexchange import yamlfile
from swexchange.rules.structure import problems

ROOT = Path(__file__).parent.parent.parent
GOOD = (ROOT / "routes.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new", "says", "do"),
    [
        ("\nroutes:", "\nrutes:", "the file: 'rutes' is no key of this place", "Did you mean routes?"),
        ("from: 2026-01-01", "from: 2O26-01-01", "'2O26-01-01' does not fit. Expected: A date", "routes-yaml.md"),
        ("\nmatch: ", "\nmatch: no", "match: 'no", "routes-yaml.md"),
        ("  - id: DXPENT", "  - id: DXP ENT", "Expected: 1 to 16 letters, digits, _ and -", "routes-yaml.md"),
        ("    sends:", "    sonds:", "'sonds' is no key of this place", "Did you mean sends? See"),
        (
            "    to: [receivers]",
            "    to: receivers",
            "to: 'receivers' does not fit. Expected: a list: [a, b]",
            "routes",
        ),
        ("    to: [receivers]", "    to:", "to: it is empty. Expected: a list: [a, b]", "routes-yaml.md"),
        ("when: {type: DecMessage}", "when: [a]", "Expected: a mapping, keys with values: {a: b}", "routes-yaml.md"),
        ("    to: [receivers]", "    to: [[a]]", "to.0: ['a'] does not fit. Expected: a text", "routes-yaml.md"),
    ],
)
def test_a_mistake_is_named_in_words_with_its_place(tmp_path: Path, old: str, new: str, says: str, do: str) -> None:
    """No pattern, no word of the schema language: what stands there, and what should."""
    assert old in GOOD
    path = tmp_path / "routes.yaml"
    path.write_text(GOOD.replace(old, new, 1), "utf-8")
    found = list(problems(yamlfile.read(path)))
    assert any(says in p.what and do in p.do for p in found), [str(p) for p in found]
    assert all(p.where.startswith(f"{path}:") and "^" not in p.what for p in found)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    """As it is while an editor has cut it and not yet written it."""
    path = tmp_path / "routes.yaml"
    path.write_text("# all gone\n", "utf-8")
    assert [p.what for p in problems(yamlfile.read(path))] == ["the file is empty"]


def test_the_rules_of_the_project_have_no_mistake() -> None:
    """The tests above see mistakes, not the file."""
    assert list(problems(yamlfile.read(ROOT / "routes.yaml"))) == []
