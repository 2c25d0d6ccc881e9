"""The manifest of rules: whoever has it can compute their digest, and check each file against it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from swexchange import yamlfile
from swexchange.core.rules_manifest import TITLE, digest_of, manifest, schemas_of
from swexchange.rules.load import load
from swexchange.schemas.compiled import Schemas
from tests.unit.test_schemas_of_rules import SlowEngine

ROOT = Path(__file__).parents[2]


def test_it_is_what_sha256sum_writes(tmp_path: Path) -> None:
    """Sorted by name, behind a title, so that anybody can make it again."""
    files = {"b/1/Z.xsd": b"z", "a/1/货.xsd": b"a"}
    text = manifest(b"routes", files)
    assert text.splitlines()[0] == TITLE
    assert [line[66:] for line in text.splitlines()[1:]] == ["routes.yaml", "schemas/a/1/货.xsd", "schemas/b/1/Z.xsd"]
    for name, content in {
        "routes.yaml": b"routes",
        **{f"schemas/{name}": file for name, file in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(["sha256sum", "-c"], input=text.encode(), cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert schemas_of(text) == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert digest_of(text) == hashlib.sha256(text.encode()).hexdigest()


def test_what_is_no_manifest_names_nothing() -> None:
    assert schemas_of("") == schemas_of("swexchange-rules/v9\n00  schemas/a\n") == {}


def loaded(routes: bytes, schemas: Path, folder: Path) -> tuple[str, str]:
    """Manifest and digest of the rules of a routes.yaml."""
    path = folder / "whatever.yaml"
    path.write_bytes(routes)
    rules = load(yamlfile.read(path), Schemas(schemas, SlowEngine()), None)
    return rules.manifest, rules.digest


def test_the_digest_of_rules_changes_with_routes_keys_and_every_schema_used(tmp_path: Path) -> None:
    """And with nothing else: not by a schema that no type names, and not by where the files lie."""
    routes, schemas = (ROOT / "routes.yaml").read_bytes(), tmp_path / "s"
    shutil.copytree(ROOT / "schemas", schemas)
    text, digest = loaded(routes, schemas, tmp_path)
    assert digest == digest_of(text) == loaded(routes, ROOT / "schemas", tmp_path)[1]
    named = schemas_of(text)
    assert {"dec/4.9.7/DecMessage.xsd", "dec/4.9.7/dec-types.xsd", "xmldsig/1.1/xmldsig.xsd"} <= named.keys()
    assert "dxp/2018/DxpRep.xsd" not in named
    assert loaded(routes + b"# keys stand in this file too\n", schemas, tmp_path)[1] != digest
    for name, changes in (("xmldsig/1.1/xmldsig.xsd", True), ("dxp/2018/DxpRep.xsd", False)):
        content = (schemas / name).read_bytes()
        (schemas / name).write_bytes(content + b"\n")
        assert (loaded(routes, schemas, tmp_path)[1] != digest) == changes, name
        (schemas / name).write_bytes(content)
