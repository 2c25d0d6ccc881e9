"""schemas: what must not be loaded, and how the fault names file, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from swexchange.errors import ConfigFault
from swexchange.schemas import compiled
from tests.unit.xsd_writing import element, include, pattern, put, schema, short


def fault(root: Path, *documents: str) -> ConfigFault:
    """The fault of loading the documents."""
    with pytest.raises(ConfigFault) as raised:
        compiled.load(root, documents)
    assert raised.value.do, "a fault says what to do"
    return raised.value


# -- references


@pytest.mark.parametrize(
    ("reference", "what"),
    [
        (include("missing.xsd"), "there is no schema document f/1/missing.xsd"),
        (include("samples"), "there is no schema document f/1/samples"),
        ('<xs:import namespace="urn:b" schemaLocation="附件.xsd"/>', "there is no schema document f/1/附件.xsd"),
        ('<xs:import namespace="urn:b" schemaLocation="http://example.org/b.xsd"/>', "nothing is fetched"),
        (include("https://example.org/b.xsd"), "nothing is fetched"),
        (include("file:///etc/passwd"), "nothing is fetched"),
        (include("/etc/passwd"), "nothing is fetched"),
        (include("C:\\b.xsd"), "nothing is fetched"),
        (include("\\\\server\\b.xsd"), "nothing is fetched"),
        (include("../../../../etc/passwd"), "leads out of the schemas folder"),
        (include("%2e%2e/../../outside.xsd"), "leads out of the schemas folder"),
        ('<xs:redefine schemaLocation="../../../outside.xsd"/>', "leads out of the schemas folder"),
        (include("link.xsd"), "leads out of the schemas folder"),
        ("<xs:include/>", "without schemaLocation"),
        ('<xs:import namespace="urn:nobody"/>', "no document of the folder has the namespace urn:nobody"),
        ('<xs:import namespace="urn:two"/>', "f/1/two1.xsd, f/1/two2.xsd has the namespace urn:two"),
        ('<xs:import namespace="urn:two" schemaLocation="b.xsd"/>', "f/1/b.xsd is of namespace urn:b, not of urn:two"),
        ('<xs:import schemaLocation="b.xsd"/>', "f/1/b.xsd is of namespace urn:b, not of none"),
    ],
)
def test_a_reference_that_cannot_be_resolved_inside_is_a_fault_at_its_line(
    tmp_path: Path, reference: str, what: str
) -> None:
    """libxml2 would skip an import in silence and accept more than the schema's author meant."""
    put(tmp_path, {"outside.xsd": schema(element("Outside"), "urn:a")})
    root = put(
        tmp_path / "schemas",
        {
            "f/1/a.xsd": schema(f"\n{reference}\n{element('A')}", "urn:a"),
            "f/1/b.xsd": schema(element("B"), "urn:b"),
            "f/1/two1.xsd": schema(element("T"), "urn:two"),
            "f/1/two2.xsd": schema(element("T"), "urn:two"),
            "f/1/samples/x.xml": "<x/>",
        },
    )
    if "link.xsd" in reference:
        (root / "f/1/link.xsd").symlink_to(tmp_path / "outside.xsd")
    found = fault(root, "f/1/a.xsd")
    assert what in found.what
    assert found.where == "f/1/a.xsd:3"


@pytest.mark.parametrize("name", ["missing.xsd", "../outside.xsd", "/etc/passwd", "http://example.org/a.xsd", ""])
def test_a_document_that_is_not_in_the_folder_is_a_fault(tmp_path: Path, name: str) -> None:
    """Names come from routes.yaml; they are resolved as strictly as references are."""
    put(tmp_path, {"outside.xsd": schema(element("A"))})
    root = put(tmp_path / "schemas", {"a.xsd": schema(element("A"))})
    fault(root, name)


def test_a_shared_document_of_another_folder_may_be_imported(tmp_path: Path) -> None:
    """Up and down is allowed as long as it stays inside the schemas folder."""
    put(
        tmp_path,
        {
            "f/1/a.xsd": schema(
                '<xs:import namespace="urn:s" schemaLocation="../../s/1/s.xsd"/>' + element("A"), "urn:a"
            ),
            "s/1/s.xsd": schema(element("S"), "urn:s"),
        },
    )
    assert compiled.load(tmp_path, ["f/1/a.xsd"]).roots == {"{urn:a}A", "{urn:s}S"}


# -- documents


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not XML"),
        ("<xs:schema", "not XML"),
        ('<!DOCTYPE x [<!ENTITY e "x">]>' + schema(element("A")), "DOCTYPE"),
        ('<!DOCTYPE x SYSTEM "http://example.org/x.dtd">' + schema(element("A")), "DOCTYPE"),
        ("<html/>", "the root is html, not xs:schema"),
        (schema(""), "no global element"),
        (schema(short("T")), "no global element"),
        (schema(element("A", of="xs:nothing")), "xs:nothing"),
        (schema(element("A", of="undefined")), "undefined"),
        (schema(element("A") + element("A", of="xs:int")), "A"),
        (schema("<xs:elemant name='A'/>" + element("A")), "The content is not valid"),
    ],
)
def test_a_document_that_is_no_sound_schema_is_a_fault(tmp_path: Path, text: str, what: str) -> None:
    """Every fault names the file."""
    put(tmp_path, {"f/1/坏.xsd": text})
    found = fault(tmp_path, "f/1/坏.xsd")
    assert what in found.what
    assert found.where.startswith("f/1/坏.xsd")


def test_a_compile_error_is_reported_at_file_and_line_of_the_admin(tmp_path: Path) -> None:
    """Not where it stands in the text that the engine was given."""
    included = schema(
        "<xs:annotation><xs:documentation>two\nlines</xs:documentation></xs:annotation>\n<!-- a comment\n-->\n"
        + '<xs:element\n  name="B"\n  type="t:Missing"/>',
        "urn:a",
    )
    put(
        tmp_path,
        {"报文.xsd": schema(include("类型.xsd") + element("A"), "urn:a"), "类型.xsd": included},
    )
    line = included.split('name="B"')[0].count("\n") + 2
    assert fault(tmp_path, "报文.xsd").where == f"类型.xsd:{line}"


def test_an_unreadable_document_is_a_fault(tmp_path: Path) -> None:
    """A folder, or nothing at all, where a document should be."""
    (tmp_path / "a.xsd").mkdir()
    assert "there is no schema document a.xsd" in fault(tmp_path, "a.xsd").what


def test_two_documents_that_define_the_same_component_are_a_fault(tmp_path: Path) -> None:
    """Which of the two would be in force is not left to an engine."""
    put(tmp_path, {"a.xsd": schema(element("A") + short("T")), "b.xsd": schema(element("B") + short("T", 9))})
    found = fault(tmp_path, "a.xsd", "b.xsd")
    assert (found.what, found.where) == ("type T is also defined in b.xsd:2", "a.xsd:2")


# -- what an engine would ignore, misjudge or choke on


@pytest.mark.parametrize("value", ["(a+)+", "(.*a){12}b", "x(a|b*)*"])
def test_a_pattern_that_can_explode_is_a_fault_at_its_line(tmp_path: Path, value: str) -> None:
    """28 letters keep xmlschema busy for seconds, and libxml2 gives up with an internal error."""
    put(tmp_path, {"a.xsd": schema(element("A") + "\n\n" + pattern("B", value))})
    found = fault(tmp_path, "a.xsd")
    assert "repeats inside" in found.what
    assert found.where == "a.xsd:4"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (pattern("A", r"\P{Lu}+"), r"\P{Lu}"),
        (pattern("A", r"[\c]+"), r"\c"),
        (pattern("A", r"\p{L}+"), r"\p{L}"),
        (pattern("A", "[a-z-[^aeiou]]"), "class subtraction"),
        (element("A", of="xs:IDREF"), "xs:IDREF"),
        (element("A", element("B"), after='<xs:attribute name="r" type="xs:IDREFS"/>'), "xs:IDREFS"),
        ('<xs:complexType name="M" mixed="true"/><xs:element name="A" type="M" fixed="x"/>', "mixed content"),
        (
            '<xs:attribute name="a"/>' + element("A", element("B"), after='<xs:attribute ref="a" fixed="1"/>'),
            "attribute reference",
        ),
    ],
)
def test_what_libxml2_misjudges_is_a_fault(tmp_path: Path, body: str, what: str) -> None:
    """Known wrong verdicts of the W3C suite, and letters that do not hold the Chinese ones."""
    put(tmp_path, {"a.xsd": schema(body)})
    found = fault(tmp_path, "a.xsd")
    assert what in found.what
    assert "minVersion" in found.do


def test_what_libxml2_misjudges_is_allowed_where_it_does_not_judge(tmp_path: Path) -> None:
    """Declared as XSD 1.1, the slow engine judges."""
    put(tmp_path, {"a.xsd": schema(pattern("A", r"\p{L}+"), attributes='vc:minVersion="1.1"')})
    assert compiled.load(tmp_path, ["a.xsd"]).version == "1.1"


@pytest.mark.parametrize(
    "attributes",
    ['vc:minVersion="1.2"', 'vc:maxVersion="1.0"', 'vc:typeAvailable="xs:x"', 'vc:facetUnavailable="xs:x"'],
)
def test_parts_that_a_version_would_make_vanish_are_a_fault(tmp_path: Path, attributes: str) -> None:
    """A schema must not get weaker by conditional inclusion."""
    put(tmp_path, {"a.xsd": schema(element("A") + element("B").replace("/>", f" {attributes}/>"))})
    assert "vanish" in fault(tmp_path, "a.xsd").what


@pytest.mark.parametrize(
    "body",
    [
        element("A").replace("/>", '><xs:alternative test="@x" type="xs:int"/></xs:element>'),
        '<xs:element name="A"><xs:complexType><xs:sequence/><xs:assert test="true()"/></xs:complexType></xs:element>',
        '<xs:element name="A"><xs:complexType><xs:openContent><xs:any/></xs:openContent></xs:complexType></xs:element>',
        element("A", '<xs:any notQName="B"/>'),
    ],
)
def test_a_schema_of_xsd_11_is_recognised_and_not_given_to_libxml2(tmp_path: Path, body: str) -> None:
    """Also when it does not declare its version."""
    bundle = compiled.load(put(tmp_path, {"a.xsd": schema(body)}), ["a.xsd"])
    assert (bundle.version, bundle.schema) == ("1.1", None)


def test_one_document_of_xsd_11_makes_the_whole_set_11(tmp_path: Path) -> None:
    """An include in 1.1 cannot be judged by an engine for 1.0."""
    inner = schema(short("T"), attributes='vc:minVersion="1.1"')
    put(tmp_path, {"a.xsd": schema(include("b.xsd") + element("A", of="T")), "b.xsd": inner})
    assert compiled.load(tmp_path, ["a.xsd"]).version == "1.1"
