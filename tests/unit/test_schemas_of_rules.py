"""schemas.Schemas: the schemas of one load of the rules, and what the slow engine gets of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from swexchange.core.schema import Bundle, Reason
from swexchange.errors import ConfigFault
from swexchange.schemas.compiled import Schemas
from tests.unit.xsd_writing import element, extended, include, put, schema, short, tree


class SlowEngine:
    """Remembers what it was given; answers with the digest that it was asked by."""

    def __init__(self) -> None:
        self.bundles: Sequence[Bundle] = ()
        self.refuses = False

    def compile(self, bundles: Sequence[Bundle]) -> None:
        if self.refuses:
            raise ConfigFault("does not compile")
        self.bundles = bundles

    def explain(self, digest: bytes, document: bytes, cap: int) -> list[Reason]:
        return [Reason(digest.hex(), 0, 0)]

    def judge(self, digest: bytes, document: bytes, cap: int) -> list[Reason]:
        return [Reason(f"judged by {digest.hex()}", 0, 0)]


def test_a_folder_makes_one_bundle_for_the_slow_engine(tmp_path: Path) -> None:
    """Its schemas are big; the types of a folder share one."""
    put(
        tmp_path,
        {f"f/1/{n}.xsd": schema(include("types.xsd") + element(n, of="t:T"), "urn:f") for n in "ABC"},
    )
    put(tmp_path, {"f/1/types.xsd": schema(short("T")), "f/2/A.xsd": schema(element("A", of="xs:int"))})
    engine = SlowEngine()
    schemas = Schemas(tmp_path, engine)
    checks = {name: schemas.edition("f/1", [f"{name}.xsd"]) for name in "ABC"}
    newer = schemas.edition("f/2", ["A.xsd"])
    schemas.compile()
    assert [b.documents for b in engine.bundles] == [("f/1/A.xsd", "f/1/B.xsd", "f/1/C.xsd"), ("f/2/A.xsd",)]
    assert engine.bundles[0].schema is not None, "they share the fast engine's schema too"
    for name, check in checks.items():
        (found,) = check(tree(f'<{name} xmlns="urn:f">abcd</{name}>'), 5)
        assert found.detail == engine.bundles[0].digest.hex()
    assert newer(tree("<A>x</A>"), 5)[0].detail == engine.bundles[1].digest.hex()


def test_each_type_is_judged_by_its_own_documents_alone(tmp_path: Path) -> None:
    """Whatever else is named in the folder, as a root, by a wildcard, by xsi:type or as a substitute."""
    wider = extended("W", "t:T", '<xs:attribute name="w"/>')
    put(
        tmp_path,
        {
            "f/1/T.xsd": schema(short("T") + element("Head", of="t:T"), "urn:f"),
            "f/1/A.xsd": schema(include("T.xsd") + element("A", '<xs:element ref="t:Head"/>'), "urn:f"),
            "f/1/B.xsd": schema(include("T.xsd") + element("B"), "urn:f"),
            "f/1/W.xsd": schema(include("T.xsd") + wider + element("C"), "urn:f"),
            "f/1/S.xsd": schema(
                '<xs:include schemaLocation="T.xsd"/><xs:element name="S" type="t:T" substitutionGroup="t:Head"/>',
                "urn:f",
            ),
        },
    )
    typed = (
        '<A xmlns="urn:f"><Head xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="W" w="1">x</Head></A>'
    )
    for others in (["B"], ["W"], ["S"], ["B", "W", "S"]):
        schemas = Schemas(tmp_path, SlowEngine())
        check = schemas.edition("f/1", ["A.xsd"])
        for other in others:
            schemas.edition("f/1", [f"{other}.xsd"])
        schemas.compile()
        assert check(tree('<A xmlns="urn:f"><Head>x</Head></A>'), 5) == ()
        assert check(tree('<B xmlns="urn:f"/>'), 5) != ()
        assert check(tree('<A xmlns="urn:f"><S>x</S></A>'), 5) != ()
        assert check(tree(typed), 5) != ()


def test_a_wildcard_of_an_imported_document_does_not_see_the_types_of_the_folder(tmp_path: Path) -> None:
    """ds:Object is such a one; what it lets in is not judged by whatever else the rules name."""
    imported = '<xs:import namespace="urn:x" schemaLocation="../../x/1/X.xsd"/>'
    content = '<xs:element xmlns:x="urn:x" ref="x:Any"/>'
    put(
        tmp_path,
        {
            "x/1/X.xsd": schema(element("Any", '<xs:any processContents="lax"/>'), "urn:x"),
            "f/1/A.xsd": schema(imported + element("A", content), "urn:f"),
            "f/1/B.xsd": schema(element("B", of="xs:int"), "urn:f"),
        },
    )
    schemas = Schemas(tmp_path, SlowEngine())
    check = schemas.edition("f/1", ["A.xsd"])
    schemas.edition("f/1", ["B.xsd"])
    schemas.compile()
    assert check(tree('<A xmlns="urn:f"><Any xmlns="urn:x"><B xmlns="urn:f">x</B></Any></A>'), 5) == ()


def test_a_type_may_name_documents_beside_its_own(tmp_path: Path) -> None:
    """Then xsi:type reaches into them."""
    wider = extended("W", "xs:string", '<xs:attribute name="w"/>')
    put(tmp_path, {"f/1/A.xsd": schema(element("A"), "urn:f"), "f/1/W.xsd": schema(wider + element("C"), "urn:f")})
    schemas = Schemas(tmp_path, SlowEngine())
    alone = schemas.edition("f/1", ["A.xsd"])
    check = schemas.edition("f/1", ["A.xsd", "W.xsd"])
    schemas.compile()
    document = '<A xmlns="urn:f" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="W" w="1">x</A>'
    assert check(tree(document), 5) == ()
    assert alone(tree(document), 5) != ()


def test_documents_that_contradict_each_other_are_kept_apart(tmp_path: Path) -> None:
    """Real standards define the same type differently in two messages."""
    put(tmp_path, {f"f/1/{n}.xsd": schema(short("T", i) + element(n, of="T")) for i, n in enumerate("ABC")})
    put(tmp_path, {"f/1/D.xsd": schema(element("D"))})
    engine = SlowEngine()
    schemas = Schemas(tmp_path, engine)
    for name in "ABCD":
        schemas.edition("f/1", [f"{name}.xsd"])
    schemas.compile()
    assert [b.documents for b in engine.bundles] == [("f/1/A.xsd", "f/1/D.xsd"), ("f/1/B.xsd",), ("f/1/C.xsd",)]


def test_documents_of_xsd_11_are_judged_by_the_slow_engine_and_do_not_drag_others_along(tmp_path: Path) -> None:
    """In one folder, each version has a bundle of its own."""
    new = schema(element("B"), attributes='vc:minVersion="1.1"')
    put(tmp_path, {"f/1/A.xsd": schema(element("A")), "f/1/B.xsd": new})
    engine = SlowEngine()
    schemas = Schemas(tmp_path, engine)
    old_check = schemas.edition("f/1", ["A.xsd"])
    check = schemas.edition("f/1", ["B.xsd"])
    schemas.compile()
    assert old_check(tree("<A/>"), 5) == ()
    assert [b.version for b in engine.bundles] == ["1.0", "1.1"]
    assert check(tree("<B/>"), 5)[0].detail == f"judged by {engine.bundles[1].digest.hex()}"


def test_the_documents_used_are_all_that_the_named_ones_refer_to(tmp_path: Path) -> None:
    """Byte for byte; what nobody refers to is none of them."""
    files = {
        "f/1/A.xsd": schema(include("B.xsd") + element("A")),
        "f/1/B.xsd": schema(short("T")),
        "f/1/C.xsd": schema(element("C")),
    }
    put(tmp_path, files)
    schemas = Schemas(tmp_path, SlowEngine())
    assert schemas.documents() == {}
    schemas.edition("f/1", ["A.xsd"])
    assert schemas.documents() == {name: (tmp_path / name).read_bytes() for name in ("f/1/A.xsd", "f/1/B.xsd")}


def test_faults_of_either_engine_reach_the_loader(tmp_path: Path) -> None:
    """What can be seen in the files at once, the rest from `compile`."""
    put(tmp_path, {"f/1/A.xsd": schema(element("A")), "f/1/B.xsd": schema(element("B", of="nope"))})
    engine = SlowEngine()
    engine.refuses = True
    schemas = Schemas(tmp_path, engine)
    with pytest.raises(ConfigFault, match=r"no schema document f/1/C\.xsd"):
        schemas.edition("f/1", ["C.xsd"])
    schemas.edition("f/1", ["A.xsd"])
    with pytest.raises(ConfigFault, match="does not compile"):
        schemas.compile()
    schemas.edition("f/1", ["B.xsd"])
    with pytest.raises(ConfigFault, match="nope"):
        schemas.compile()
