"""schemas and core.schema: what is compiled together, and libxml2's verdict over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from lxml import etree

from swexchange.core.model import Finding
from swexchange.core.schema import Reason, Validator
from swexchange.errors import ConfigFault
from swexchange.schemas import compiled
from tests.unit.xsd_writing import element, extended, include, pattern, put, schema, short, simple, tree


class Explaining:
    """A slow engine that gives a fixed answer and counts how often it was asked."""

    def __init__(self, answer: Sequence[Reason] | None = None) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self, document: bytes, cap: int) -> Sequence[Reason] | None:
        self.asked += 1
        self.document, self.cap = document, cap
        return self.answer


def findings(root: Path, documents: Sequence[str], document: str, cap: int = 5) -> tuple[Finding, ...]:
    """What libxml2 alone finds in a document."""
    return Validator(compiled.load(root, documents), Explaining()).findings(tree(document), cap)


# -- verdict and explanation


def test_a_valid_document_has_no_findings_and_the_slow_engine_is_not_asked(tmp_path: Path) -> None:
    """The fast path is libxml2 alone."""
    put(tmp_path, {"a.xsd": schema(element("A", of="xs:int"))})
    slow = Explaining()
    assert Validator(compiled.load(tmp_path, ["a.xsd"]), slow).findings(tree("<A>5</A>"), 5) == ()
    assert slow.asked == 0


def test_a_refused_document_is_explained_with_the_line_of_its_own_text(tmp_path: Path) -> None:
    """The reason comes from the slow engine, the line from the document as it was parsed."""
    put(tmp_path, {"a.xsd": schema(element("A", element("B", element("C", of="xs:int"))))})
    slow = Explaining([Reason("'x' is not a valid int", 1, 2)])
    found = Validator(compiled.load(tmp_path, ["a.xsd"]), slow).findings(tree("<A\n  >\n<B>\n<C>x</C></B></A>"), 3)
    assert found == (Finding("0002", "'x' is not a valid int", "/A/B", 4),)
    assert slow.cap == 3


@pytest.mark.parametrize("answer", [None, []])
def test_the_slow_engine_never_overrules_a_refusal(tmp_path: Path, answer: list[Reason] | None) -> None:
    """Without an answer, or with the answer that all is well, libxml2's own words are given."""
    put(tmp_path, {"a.xsd": schema(element("A", element("B", of="xs:decimal")), "urn:a")})
    validator = Validator(compiled.load(tmp_path, ["a.xsd"]), Explaining(answer))
    (found,) = validator.findings(tree('<A xmlns="urn:a">\n<B>1_0</B></A>'), 5)
    assert (found.code, found.path, found.line) == ("0002", "/A/B", 2)
    assert found.detail == "Element 'B': '1_0' is not a valid value of the atomic type 'xs:decimal'."


def test_cap_zero_asks_for_the_verdict_alone(tmp_path: Path) -> None:
    """Whoever only wants to know whether a document is valid does not pay for reasons."""
    put(tmp_path, {"a.xsd": schema(element("A", of="xs:int"))})
    slow = Explaining([Reason("x", 0, 0)])
    assert len(Validator(compiled.load(tmp_path, ["a.xsd"]), slow).findings(tree("<A>x</A>"), 0)) == 1
    assert slow.asked == 0


def test_no_more_findings_than_the_cap(tmp_path: Path) -> None:
    """A document with thousands of faults costs and says no more than was asked for."""
    put(tmp_path, {"a.xsd": schema(element("A", '<xs:element name="B" type="xs:int" maxOccurs="unbounded"/>'))})
    found = findings(tmp_path, ["a.xsd"], f"<A>{'<B>x</B>' * 5000}</A>", cap=3)
    assert [f.path for f in found] == ["/A/B", "/A/B[2]", "/A/B[3]"]


def test_a_long_value_is_not_quoted_in_full(tmp_path: Path) -> None:
    """libxml2 would put a megabyte into a receipt."""
    put(tmp_path, {"a.xsd": schema(element("A", of="xs:int"))})
    (found,) = findings(tmp_path, ["a.xsd"], f"<A>{'x' * 10_000}</A>")
    assert found.detail == f"Element 'A': '{'x' * 39}…' is not a valid value of the atomic type 'xs:int'."
    (found,) = findings(tmp_path, ["a.xsd"], f"<A>{'x' * 1_000_000}</A>")
    assert len(found.detail) == 200


def test_the_path_of_an_element_that_must_not_be_there_is_that_of_its_parent(tmp_path: Path) -> None:
    """libxml2's path is brought into the form of the slow engine; the line is the intruder's."""
    put(tmp_path, {"a.xsd": schema(element("A", element("B") + element("C", element("D"))), "urn:a")})
    (found,) = findings(tmp_path, ["a.xsd"], '<p:A xmlns:p="urn:a"><p:B/><p:C>\n<p:E/></p:C></p:A>')
    assert (found.path, found.line) == ("/A/C", 2)
    (found,) = findings(tmp_path, ["a.xsd"], '<A xmlns="urn:a"><B/></A>')
    assert (found.path, found.detail) == ("/A", "Element 'A': Missing child element(s). Expected is ( C ).")


def test_a_validation_that_libxml2_cannot_complete_is_neither_verdict_nor_crash(tmp_path: Path) -> None:
    """An internal error becomes code 4007."""
    bundle = compiled.load(put(tmp_path, {"a.xsd": schema(element("A"))}), ["a.xsd"])

    class Broken:
        def validate(self, _: object) -> bool:
            raise etree.XMLSchemaValidateError("Internal error in XML Schema validation.")

    object.__setattr__(bundle, "schema", Broken())
    (found,) = Validator(bundle, Explaining()).findings(tree("<A/>"), 5)
    assert found.code == "4007"


def test_blanks_around_dates_and_times_are_no_fault(tmp_path: Path) -> None:
    """libxml2 wrongly refuses them in elements and attributes, also where the type is derived."""
    day = simple("Day", '<xs:minInclusive value="2000-01-01"/>', "xs:date")
    types = day + extended("Timed", "xs:time", '<xs:attribute name="on" type="t:Day"/>')
    content = element("d", of="t:Day") + element("t", of="t:Timed") + element("s", of="xs:string")
    put(tmp_path, {"a.xsd": schema(types + element("A", content), "urn:a")})
    document = '<A xmlns="urn:a"><d>\n 2024-05-06 </d><t on=" 2024-05-06 "> 10:00:00\t</t><s> x </s></A>'
    assert findings(tmp_path, ["a.xsd"], document) == ()
    assert len(findings(tmp_path, ["a.xsd"], document.replace("2024-05-06 <", "1999-05-06 <"))) == 1
    assert len(findings(tmp_path, ["a.xsd"], document.replace("2024-05-06 <", "2024-05-06\u00a0<"))) == 1


def test_blanks_are_a_fault_where_the_name_is_not_always_a_date(tmp_path: Path) -> None:
    """A name that is a date here and a string there gets no exception: nothing is accepted by guessing."""
    ten = simple("", '<xs:length value="10"/>')
    strict = f'<xs:element name="d">{ten}</xs:element>'
    put(tmp_path, {"a.xsd": schema(element("A", element("B", strict) + element("C", element("d", of="xs:date"))))})
    assert findings(tmp_path, ["a.xsd"], "<A><B><d>2024-05-06</d></B><C><d>2024-05-06</d></C></A>") == ()
    assert findings(tmp_path, ["a.xsd"], "<A><B><d> 2024-05-06</d></B><C><d>2024-05-06</d></C></A>") != ()
    assert findings(tmp_path, ["a.xsd"], "<A><B><d>2024-05-06</d></B><C><d> 2024-05-06</d></C></A>") != ()


# -- what is compiled together


def test_chinese_file_names_work_in_includes_and_imports(tmp_path: Path) -> None:
    """libxml2 would fail on such an include and silently skip such an import."""
    content = element("x", of="t:T") + '<xs:element xmlns:b="urn:b" ref="b:B"/><xs:any minOccurs="0"/>'
    quoted = '<xs:import namespace="urn:b" schemaLocation="%E9%99%84%E4%BB%B6.xsd"/>'
    put(
        tmp_path,
        {
            "报文.xsd": schema(include("类型.xsd") + quoted + element("A", content), "urn:a"),
            "类型.xsd": schema(short("T"), "urn:a"),
            "附件.xsd": schema(short("T", 2) + element("B", of="t:T") + element("C", of="xs:int"), "urn:b"),
        },
    )
    document = '<A xmlns="urn:a"><x>abc</x><B xmlns="urn:b">ab</B><C xmlns="urn:b">5</C></A>'
    assert findings(tmp_path, ["报文.xsd"], document) == ()
    assert [f.path for f in findings(tmp_path, ["报文.xsd"], document.replace("abc", "abcd"))] == ["/A/x"]
    assert [f.path for f in findings(tmp_path, ["报文.xsd"], document.replace(">5<", ">x<"))] == ["/A/C"]


def test_one_file_may_be_included_into_two_namespaces(tmp_path: Path) -> None:
    """A chameleon takes the namespace of each document that includes it."""
    put(
        tmp_path,
        {
            "a.xsd": schema(include("types.xsd") + element("A", of="t:T"), "urn:a"),
            "b.xsd": schema(include("types.xsd") + element("B", of="t:T"), "urn:b"),
            "types.xsd": schema(short("T") + element("Shared", of="T")),
        },
    )
    both = ["a.xsd", "b.xsd"]
    for document in ('<A xmlns="urn:a">abc</A>', '<B xmlns="urn:b">abc</B>', '<Shared xmlns="urn:b">abc</Shared>'):
        assert findings(tmp_path, both, document) == ()
        assert findings(tmp_path, both, document.replace("abc", "abcd")) != ()
    assert findings(tmp_path, both, "<Shared>abc</Shared>") != ()


def test_circular_includes_and_imports_end(tmp_path: Path) -> None:
    """Documents may refer to each other in circles, within a namespace and across two."""
    put(
        tmp_path,
        {
            "a1.xsd": schema(
                '<xs:include schemaLocation="a2.xsd"/><xs:import namespace="urn:b" schemaLocation="b.xsd"/>'
                + element("A1", '<xs:element ref="t:A2"/><xs:element xmlns:b="urn:b" ref="b:B"/>'),
                "urn:a",
            ),
            "a2.xsd": schema(include("./a1.xsd") + element("A2", of="xs:int"), "urn:a"),
            "b.xsd": schema(
                '<xs:import namespace="urn:a" schemaLocation="a2.xsd"/>'
                + element("B", '<xs:element xmlns:a="urn:a" ref="a:A2"/>'),
                "urn:b",
            ),
        },
    )
    document = '<A1 xmlns="urn:a"><A2>1</A2><B xmlns="urn:b"><A2 xmlns="urn:a">2</A2></B></A1>'
    assert findings(tmp_path, ["a1.xsd"], document) == ()
    assert [f.path for f in findings(tmp_path, ["a1.xsd"], document.replace(">2<", ">x<"))] == ["/A1/B/A2"]


def test_several_documents_of_one_namespace_are_all_known(tmp_path: Path) -> None:
    """An engine that meets a namespace a second time must not skip the second document."""
    files = {f"m{i}.xsd": schema(element(f"M{i}", of="xs:int"), "urn:m") for i in range(5)}
    files["other.xsd"] = schema(
        '<xs:import namespace="urn:m" schemaLocation="m1.xsd"/><xs:import namespace="urn:m" schemaLocation="m2.xsd"/>'
        + element("O", '<xs:element xmlns:m="urn:m" ref="m:M2"/>'),
        "urn:o",
    )
    assert findings(put(tmp_path, files), ["other.xsd"], '<O xmlns="urn:o"><M2 xmlns="urn:m">5</M2></O>') == ()
    bundle = compiled.load(tmp_path, list(files))
    assert bundle.roots == {f"{{urn:m}}M{i}" for i in range(5)} | {"{urn:o}O"}
    for i in range(5):
        assert findings(tmp_path, list(files), f'<M{i} xmlns="urn:m">x</M{i}>')[0].detail.endswith("'xs:int'.")


def test_a_document_that_libxml2_left_out_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells nobody of an import that it skipped; here the driver does not import at all."""
    monkeypatch.setattr("swexchange.core.schema_set._driver", lambda _: schema("").encode())
    put(tmp_path, {"a.xsd": schema(element("A"), "urn:a")})
    with pytest.raises(ConfigFault, match=r"left out the element \{urn:a\}A"):
        compiled.load(tmp_path, ["a.xsd"])


def test_a_redefined_type_is_compiled(tmp_path: Path) -> None:
    """xs:redefine is followed like an include, and its new definition is in force."""
    changed = (
        '<xs:simpleType name="T"><xs:restriction base="t:T"><xs:maxLength value="1"/></xs:restriction></xs:simpleType>'
    )
    put(
        tmp_path,
        {
            "旧.xsd": schema(short("T"), "urn:a"),
            "a.xsd": schema(
                f'<xs:redefine schemaLocation="旧.xsd">{changed}</xs:redefine>' + element("A", of="t:T"), "urn:a"
            ),
        },
    )
    assert findings(tmp_path, ["a.xsd"], '<A xmlns="urn:a">a</A>') == ()
    assert findings(tmp_path, ["a.xsd"], '<A xmlns="urn:a">ab</A>') != ()


def test_an_import_without_location_finds_the_one_document_of_its_namespace(tmp_path: Path) -> None:
    """Which is what a Chinese standard's authors meant, and neither engine would do."""
    put(
        tmp_path,
        {
            "f/1/a.xsd": schema(
                '<xs:import namespace="urn:b"/>' + element("A", '<xs:element xmlns:b="urn:b" ref="b:B"/>'), "urn:a"
            ),
            "f/1/b.xsd": schema(element("B", of="xs:int"), "urn:b"),
        },
    )
    assert findings(tmp_path, ["f/1/a.xsd"], '<A xmlns="urn:a"><B xmlns="urn:b">5</B></A>') == ()
    assert findings(tmp_path, ["f/1/a.xsd"], '<A xmlns="urn:a"><B xmlns="urn:b">x</B></A>') != ()


@pytest.mark.parametrize(
    "content",
    [
        '<xs:any processContents="lax"/>',
        '<xs:any namespace="##other"/>',
        '<xs:element name="Any"/>',
        '<xs:any namespace="urn:c urn:b"/>',
    ],
)
def test_the_content_of_an_envelope_is_validated_by_the_documents_of_its_folder(tmp_path: Path, content: str) -> None:
    """Nobody has to name them, and lax does not mean unseen."""
    put(
        tmp_path,
        {
            "f/1/信封.xsd": schema(element("Envelope", content), "urn:e"),
            "f/1/正文.xsd": schema(element("Body", of="xs:int"), "urn:b"),
            "f/2/other.xsd": schema(element("Body", of="xs:date"), "urn:b"),
        },
    )
    inner = '<Body xmlns="urn:b">5</Body>'
    inner = f"<Any>{inner}</Any>" if "Any" in content else inner
    document = f'<Envelope xmlns="urn:e">{inner}</Envelope>'
    assert findings(tmp_path, ["f/1/信封.xsd"], document) == ()
    assert len(findings(tmp_path, ["f/1/信封.xsd"], document.replace(">5<", ">x<"))) == 1


def test_a_skipping_wildcard_brings_in_nothing(tmp_path: Path) -> None:
    """processContents="skip" says that nobody looks; the folder's other documents stay out."""
    put(
        tmp_path,
        {
            "e.xsd": schema(element("E", '<xs:any processContents="skip"/>'), "urn:e"),
            "b.xsd": schema(element("B", of="xs:int"), "urn:b"),
        },
    )
    assert compiled.load(tmp_path, ["e.xsd"]).roots == {"{urn:e}E"}
    assert findings(tmp_path, ["e.xsd"], '<E xmlns="urn:e"><B xmlns="urn:b">x</B></E>') == ()


def test_documents_in_other_encodings_are_read(tmp_path: Path) -> None:
    """Standards of the field are published in GB2312 too."""
    text = '<?xml version="1.0" encoding="GB2312"?>' + schema(element("进口"))
    (tmp_path / "a.xsd").write_bytes(text.encode("gb2312"))
    assert findings(tmp_path, ["a.xsd"], "<进口>x</进口>") == ()


# -- digest


def test_the_digest_changes_with_every_byte_and_name_and_with_nothing_else(tmp_path: Path) -> None:
    """It pins names and bytes of all files, in whatever order they were named or read."""
    one = put(
        tmp_path / "1",
        {"a.xsd": schema(include("b.xsd") + element("A")), "b.xsd": schema(element("B"))},
    )
    same = put(
        tmp_path / "2",
        {
            "b.xsd": schema(element("B")),
            "a.xsd": schema(include("b.xsd") + element("A")),
            "unused.xsd": "x",
        },
    )
    other = put(
        tmp_path / "3",
        {"a.xsd": schema(include("b.xsd") + element("A")), "b.xsd": schema(element("B")) + "\n"},
    )
    digest = compiled.load(one, ["a.xsd"]).digest
    assert len(digest) == 32
    assert compiled.load(same, ["a.xsd"]).digest == digest
    assert compiled.load(other, ["a.xsd"]).digest != digest
    assert compiled.load(one, ["b.xsd"]).digest != digest


def test_patterns_decide_as_written(tmp_path: Path) -> None:
    """The guards against patterns do not touch those that pass them."""
    put(tmp_path, {"a.xsd": schema(pattern("A", "[0-9]{3}(-[A-Z]{2})?"))})
    assert findings(tmp_path, ["a.xsd"], "<A>123-AB</A>") == ()
    assert findings(tmp_path, ["a.xsd"], "<A>123-A</A>") != ()
