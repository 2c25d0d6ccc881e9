"""The project's own schemas against their samples, in both engines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
import yaml
from lxml import etree

from swexchange.core.rulebook import Check
from swexchange.errors import ConfigFault
from swexchange.schemas.compiled import Schemas
from swexchange.schemas.explainer import Explainer
from swexchange.schemas.files import SchemaFiles

ROOT = Path(__file__).parents[2] / "schemas"
SAMPLES = sorted(ROOT.glob("*/*/samples/*.xml"))
VALID = [path for path in SAMPLES if path.name.split(".")[1] == "valid"]
INVALID = [path for path in SAMPLES if path.name.split(".")[1] == "invalid"]
FAMILIES = {"ceb", "csm", "dec", "dxp", "manifest", "xmldsig"}


def label(path: Path) -> str:
    """family/edition/sample."""
    edition = path.parents[1]
    return f"{edition.parent.name}/{edition.name}/{path.stem}"


def document(sample: Path) -> Path:
    """The schema document that a sample is of; the shared one of XML Signature is named after its family."""
    edition = sample.parents[1]
    name = "xmldsig" if edition.parent.name == "xmldsig" else sample.name.split(".")[0]
    return edition / f"{name}.xsd"


@pytest.fixture(scope="module")
def explainer() -> Iterator[Explainer]:
    """One for all families."""
    with Explainer(deadline=60.0) as it:
        yield it


@pytest.fixture(scope="module")
def checks(explainer: Explainer) -> dict[Path, Check]:
    """The check of every document that has samples, compiled by both engines."""
    schemas = Schemas(ROOT, explainer)
    found = {}
    for path in sorted({document(sample) for sample in SAMPLES}):
        found[path] = schemas.edition(path.parent.relative_to(ROOT).as_posix(), [path.name])
    schemas.compile()
    return found


def test_every_family_has_samples_of_both_kinds() -> None:
    """The tests below are not empty for any family."""
    assert {path.parents[2].name for path in VALID} == FAMILIES
    assert {path.parents[2].name for path in INVALID} == FAMILIES
    assert {path.name.split(".")[1] for path in SAMPLES} == {"valid", "invalid"}


def test_every_document_with_a_root_element_has_samples() -> None:
    """No schema is published untried."""
    files = SchemaFiles(ROOT)
    tried = {document(sample) for sample in SAMPLES}
    for path in sorted(ROOT.glob("*/*/*.xsd")):
        if path not in tried:
            with pytest.raises(ConfigFault, match="no global element"):
                files.gather([path.relative_to(ROOT).as_posix()])


@pytest.mark.parametrize("sample", VALID, ids=label)
def test_a_valid_sample_passes_in_both_engines(checks: dict[Path, Check], explainer: Explainer, sample: Path) -> None:
    """libxml2 and xmlschema agree."""
    assert checks[document(sample)](etree.parse(sample), 5) == ()
    assert slow_reasons(explainer, sample) == []


@pytest.mark.parametrize("sample", INVALID, ids=label)
def test_an_invalid_sample_is_refused_at_the_expected_place(
    checks: dict[Path, Check], explainer: Explainer, sample: Path
) -> None:
    """Both engines refuse it, and the first finding has the path that expected.yaml names."""
    found = checks[document(sample)](etree.parse(sample), 5)
    assert found[0].code == "0002"
    assert found[0].path == expected(sample.parent)[sample.name]["path"]
    assert found[0].line > 1
    assert [f.detail for f in found] == slow_reasons(explainer, sample)
    assert checks[document(sample)](etree.parse(sample), 0)[0].path == found[0].path


@pytest.mark.parametrize(
    "folder",
    [folder for folder, _ in groupby(INVALID, key=lambda path: path.parent)],
    ids=lambda p: p.parent.as_posix(),
)
def test_expected_yaml_lists_the_invalid_samples_and_no_others(folder: Path) -> None:
    """A sample that was renamed does not drop out of the tests."""
    assert set(expected(folder)) == {path.name for path in INVALID if path.parent == folder}


def expected(folder: Path) -> dict[str, dict[str, str]]:
    """What expected.yaml says of a folder's invalid samples."""
    said: dict[str, dict[str, str]] = yaml.safe_load((folder / "expected.yaml").read_text("utf-8"))
    return said


def slow_reasons(explainer: Explainer, sample: Path) -> list[str]:
    """What xmlschema says of a sample, by the bundle of its folder."""
    folder = sample.parents[1].relative_to(ROOT).as_posix()
    digests = [b.digest for b in explainer.bundles if b.documents[0].startswith(f"{folder}/")]
    assert len(digests) == 1, "one slow schema per folder"
    reasons = explainer.explain(digests[0], sample.read_bytes(), 5)
    assert reasons is not None
    return [reason.detail for reason in reasons]
