"""core.reasons: a refusal in plain words, as it comes out of both engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swexchange.core.schema import Reason
from swexchange.schemas.explainer import Explainer
from tests.unit.xsd_writing import element, load, short, simple, tree, validator


@pytest.fixture(scope="module")
def explainer() -> Iterator[Explainer]:
    """A warm one."""
    with Explainer(deadline=60.0) as it:
        yield it


LIMITS = """<xs:totalDigits value="5"/><xs:fractionDigits value="2"/>
    <xs:minInclusive value="1"/><xs:maxExclusive value="900"/>"""
CONTENT = f"""
  {short("Name")}
  {simple("Amount", LIMITS, "xs:decimal")}
  {simple("Code", '<xs:enumeration value="I"/><xs:enumeration value="E"/>')}
  {simple("Id", '<xs:length value="2"/>')}
  {simple("Digits", '<xs:pattern value="[0-9]+"/>')}
  <xs:element name="M"><xs:complexType><xs:sequence>
    <xs:element name="Row" maxOccurs="2"><xs:complexType><xs:sequence>
      <xs:element name="Name" type="t:Name"/>
      <xs:element name="Amount" type="t:Amount" minOccurs="0"/>
      <xs:element name="Code" type="t:Code" minOccurs="0"/>
      <xs:element name="Digits" type="t:Digits" minOccurs="0"/>
      <xs:element name="Count" type="xs:unsignedByte" minOccurs="0"/>
      <xs:element name="Day" type="xs:date" minOccurs="0"/>
      <xs:element name="Blob" type="xs:base64Binary" minOccurs="0"/>
    </xs:sequence><xs:attribute name="id" type="t:Id" use="required"/></xs:complexType></xs:element>
    <xs:choice><xs:element name="X"/><xs:element name="Y"/></xs:choice>
  </xs:sequence></xs:complexType>
  <xs:unique name="ids"><xs:selector xpath="t:Row"/><xs:field xpath="@id"/></xs:unique></xs:element>"""


def row(content: str = "", attributes: str = 'id="ab"') -> str:
    """One row of the document M."""
    return f"<Row {attributes}>{content}</Row>"


def named(content: str) -> str:
    """A row with its name and more."""
    return row(f"<Name>a</Name>{content}")


@pytest.mark.parametrize(
    ("content", "path", "detail"),
    [
        (row("<Name>abcd</Name>"), "/M/Row/Name", "'abcd' is 4 long, at most 3 allowed"),
        (row("<Name>a</Name>", 'id="abc"'), "/M/Row", "attribute id 'abc' is 3 long, 2 expected"),
        (row("<Name>a</Name>", ""), "/M/Row", "missing required attribute 'id'"),
        (row("<Name>a</Name>", 'id="ab" no="1"'), "/M/Row", "'no' attribute not allowed for element"),
        (row(), "/M/Row", "Name is missing"),
        (row("<Amount>1</Amount>"), "/M/Row", "found Amount, expected Name"),
        (row("<Nam>a</Nam>"), "/M/Row", "Nam is not known here, expected Name"),
        (row('<Name xmlns=""/>'), "/M/Row", "Name of no namespace is not known here, expected Name of urn:m"),
        (named("<Name>b</Name>"), "/M/Row", "Name may occur only once"),
        (row("<Name/>", 'id="aa"') + row("<Name/>", 'id="bb"') + named(""), "/M", "Row may occur 2 times at most"),
        (named("text"), "/M/Row", "character data between child elements not allowed"),
        (named("<Amount>900</Amount>"), "/M/Row/Amount", "'900' is not less than 900"),
        (named("<Amount>0.5</Amount>"), "/M/Row/Amount", "'0.5' is less than 1"),
        (named("<Amount>1000.01</Amount>"), "/M/Row/Amount", "'1000.01' has more than 5 digits"),
        (named("<Amount>1.001</Amount>"), "/M/Row/Amount", "'1.001' has more than 2 decimals"),
        (named("<Amount>1,5</Amount>"), "/M/Row/Amount", "'1,5' is not a valid decimal"),
        (named("<Code>X</Code>"), "/M/Row/Code", "'X' is not one of I, E"),
        (named("<Digits>1x</Digits>"), "/M/Row/Digits", "'1x' does not match the pattern [0-9]+"),
        (named("<Count>256</Count>"), "/M/Row/Count", "'256' is refused: value must be 0 <= x < 256"),
        (named("<Day>2024-13-01</Day>"), "/M/Row/Day", "'2024-13-01' is not a valid date"),
        (named("<Blob>AAA</Blob>"), "/M/Row/Blob", "'AAA' is not a valid base64Binary"),
        (named("") + named(""), "/M/Row[2]", "duplicated value ('ab',) for ids"),
        (named("") + "<Z/>", "/M", "Z is not known here, expected X, Y"),
        ("<X/>", "/M", "found X, expected Row"),
    ],
)
def test_a_finding_says_what_was_found_and_what_was_expected(
    tmp_path: Path, explainer: Explainer, content: str, path: str, detail: str
) -> None:
    """Short, plain, at the element where the fault is, and in the words of the document."""
    bundle = load(tmp_path, CONTENT, "urn:m")
    explainer.compile([bundle])
    found = validator(bundle, explainer).findings(tree(f'<M xmlns="urn:m">{content}<X/></M>'), 5)
    assert (found[0].path, found[0].detail) == (path, detail)


def test_missing_alternatives_are_all_named(tmp_path: Path, explainer: Explainer) -> None:
    """Where one of several elements is missing."""
    bundle = load(tmp_path, CONTENT, "urn:m")
    explainer.compile([bundle])
    (found,) = validator(bundle, explainer).findings(tree(f'<M xmlns="urn:m">{named("")}</M>'), 5)
    assert (found.path, found.detail) == ("/M", "one of X, Y is missing")


def test_values_and_reasons_are_kept_short_and_on_one_line(tmp_path: Path, explainer: Explainer) -> None:
    """A hundred kilobytes or a line break in a value does not get into a receipt."""
    bundle = load(tmp_path, element("A", of="xs:int"))
    explainer.compile([bundle])
    (reason,) = explainer.explain(bundle.digest, f"<A>{'x' * 100_000}\ny</A>".encode(), 5) or []
    assert reason.detail == f"'{'x' * 39}…' is not a valid int"


def test_an_unknown_root_is_explained(tmp_path: Path, explainer: Explainer) -> None:
    """As a fault of the root."""
    bundle = load(tmp_path, element("A"), "urn:a")
    explainer.compile([bundle])
    assert explainer.explain(bundle.digest, b'<B xmlns="urn:a"/>', 5) == [
        Reason("'B' is not an element of the schema", 0, 0)
    ]


def test_comments_and_processing_instructions_do_not_split_values(tmp_path: Path, explainer: Explainer) -> None:
    """xmlschema would refuse the value for them."""
    bundle = load(tmp_path, element("A", of="xs:int"))
    explainer.compile([bundle])
    assert explainer.explain(bundle.digest, b"<A>1<!-- x -->2<?y?></A>", 5) == []


def test_the_validator_gives_path_line_and_reason_of_the_document(tmp_path: Path, explainer: Explainer) -> None:
    """Both engines together, over a document whose start tags span lines."""
    bundle = load(tmp_path, CONTENT, "urn:m")
    explainer.compile([bundle])
    document = '<M\n xmlns="urn:m"\n>\n<Row id="aa"><Name/></Row>\n<Row\n  id="bb">\n<Name>abcd</Name></Row><X/></M>'
    (found,) = validator(bundle, explainer).findings(tree(document), 5)
    assert (found.code, found.path, found.line) == ("0002", "/M/Row[2]/Name", 7)
    assert found.detail == "'abcd' is 4 long, at most 3 allowed"
