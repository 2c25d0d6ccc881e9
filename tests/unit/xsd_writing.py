"""Writes small schemas for the tests of the schema engine, and loads them."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from swexchange.core.schema import Bundle, Validator
from swexchange.schemas import compiled
from swexchange.schemas.explainer import Explainer

_HEAD = 'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:vc="http://www.w3.org/2007/XMLSchema-versioning"'


def schema(body: str, target: str = "", attributes: str = "") -> str:
    """A schema document; `t:` is the prefix of its namespace."""
    of = f'targetNamespace="{target}" xmlns:t="{target}"' if target else ""
    return f'<xs:schema {_HEAD} {of} elementFormDefault="qualified" {attributes}>\n{body}\n</xs:schema>'


def include(location: str) -> str:
    """An xs:include."""
    return f'<xs:include schemaLocation="{location}"/>'


def element(name: str, content: str = "", of: str = "xs:string", after: str = "") -> str:
    """An element: of a sequence of `content` and what stands `after` it, or of a type."""
    if not content:
        return f'<xs:element name="{name}" type="{of}"/>'
    inner = f"<xs:complexType><xs:sequence>{content}</xs:sequence>{after}</xs:complexType>"
    return f'<xs:element name="{name}">{inner}</xs:element>'


def simple(name: str, facets: str, base: str = "xs:string") -> str:
    """A simple type; without a name, a local one."""
    named = f'name="{name}"' if name else ""
    return f'<xs:simpleType {named}><xs:restriction base="{base}">{facets}</xs:restriction></xs:simpleType>'


def short(name: str, longest: int = 3) -> str:
    """A simple type of at most so many characters."""
    return simple(name, f'<xs:maxLength value="{longest}"/>')


def pattern(name: str, value: str) -> str:
    """A global element whose text follows a pattern."""
    of = simple("", f'<xs:pattern value="{value}"/>')
    return f'<xs:element name="{name}">{of}</xs:element>'


def extended(name: str, base: str, attribute: str) -> str:
    """A complex type: a simple one with an attribute."""
    added = f'<xs:extension base="{base}">{attribute}</xs:extension>'
    return f'<xs:complexType name="{name}"><xs:simpleContent>{added}</xs:simpleContent></xs:complexType>'


def put(folder: Path, files: dict[str, str]) -> Path:
    """Write the files below a folder and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def tree(document: str | bytes) -> etree._ElementTree:
    """A parsed document."""
    return etree.ElementTree(etree.fromstring(document))


def load(folder: Path, body: str, target: str = "", attributes: str = "") -> Bundle:
    """The bundle of one document."""
    return compiled.load(put(folder, {"a.xsd": schema(body, target, attributes)}), ["a.xsd"])


def validator(bundle: Bundle, explainer: Explainer) -> Validator:
    """libxml2 and the slow engine together, as `Schemas` joins them."""
    ask = explainer.judge if bundle.version == "1.1" else explainer.explain
    return Validator(bundle, lambda document, cap: ask(bundle.digest, document, cap))
