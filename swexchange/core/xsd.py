"""What one schema document says: its namespace, references, global components, wildcards, version.

Reads a parsed document. Resolves no reference (see `schemas`) and finds no fault (see `xsd_check`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lxml import etree

XSD = "http://www.w3.org/2001/XMLSchema"
VERSIONING = "http://www.w3.org/2007/XMLSchema-versioning"

TypeName = tuple[str, str]
"""(XSD, name) of a built-in type, ('', local name) of any other."""

REFERENCES = ("include", "import", "redefine", "override")
_COMPONENTS = ("element", "attribute", "simpleType", "complexType", "group", "attributeGroup", "notation")
_SORTS = {"simpleType": "type", "complexType": "type"}  # simple and complex types share one symbol space
_DATES = frozenset(["date", "time", "dateTime", "gYear", "gYearMonth", "gMonth", "gMonthDay", "gDay", "duration"])
_UNKNOWN = ("", "")
_ELEMENTS_OF_11 = frozenset(
    ["assert", "assertion", "alternative", "openContent", "defaultOpenContent", "override", "explicitTimezone"]
)
_ATTRIBUTES_OF_11 = frozenset(
    ["notQName", "notNamespace", "defaultAttributes", "defaultAttributesApply", "xpathDefaultNamespace", "inheritable"]
)


@dataclass(frozen=True, slots=True)
class Reference:
    """An xs:include, xs:import, xs:redefine or xs:override."""

    kind: str
    namespace: str  # of an import; '' = none
    location: str | None  # as written
    line: int


@dataclass(frozen=True, slots=True)
class Component:
    """A global declaration or definition."""

    sort: str  # its symbol space: element, attribute, type, group, attributeGroup, notation
    name: str
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One schema document."""

    root: etree._Element
    namespace: str  # targetNamespace; '' = none
    references: tuple[Reference, ...]
    components: tuple[Component, ...]
    wildcards: tuple[str, ...]  # xs:any/@namespace of each wildcard whose content is validated
    sees_others: bool  # lets in what it does not name: by wildcards, or elements that may hold anything
    reaches_others: bool  # can show up where it is not named: by xsi:type, or as a member of a substitution group
    version: str  # '1.0' or '1.1'
    typed: tuple[tuple[str, TypeName], ...]  # every declaration: its name, '@' before that of an attribute; its type
    derived: tuple[tuple[TypeName, TypeName], ...]  # every global type, and what it is derived from


def read(root: etree._Element) -> Document:
    """Reads an xs:schema element."""
    return Document(
        root,
        namespace=root.get("targetNamespace", ""),
        references=tuple(_reference(e) for e in children(root, *REFERENCES)),
        components=tuple(_component(e) for e in children(root, *_COMPONENTS)),
        wildcards=tuple(_wildcards(root)),
        sees_others=_sees_others(root),
        reaches_others=_reaches_others(root),
        version="1.1" if any(map(_is_of_11, root.iter("*"))) else "1.0",
        typed=tuple(_typed(root)),
        derived=tuple(_derived(root)),
    )


def children(parent: etree._Element, *names: str) -> Iterator[etree._Element]:
    """The XSD elements of these names right below `parent`."""
    return parent.iterchildren(*(f"{{{XSD}}}{name}" for name in names))


def descendants(root: etree._Element, *names: str) -> Iterator[etree._Element]:
    """The XSD elements of these names anywhere below `root`."""
    return root.iter(*(f"{{{XSD}}}{name}" for name in names))


def qualified(element: etree._Element, name: str) -> tuple[str, str]:
    """(namespace, local name) of a QName written in an attribute of `element`."""
    prefix, _, local = name.strip().rpartition(":")
    return element.nsmap.get(prefix or None) or "", local


def admits(wildcard: str, target: str, namespace: str) -> bool:
    """Whether an xs:any/@namespace, in a schema of namespace `target`, lets elements of `namespace` in."""
    if wildcard in ("##any", "##other"):
        return wildcard == "##any" or namespace not in ("", target)
    return (namespace or "##local") in wildcard.replace("##targetNamespace", target or "##local").split()


def date_names(documents: Iterable[Document]) -> frozenset[str]:
    """Names of elements, and '@names' of attributes, whose every declaration is of a date or time type."""
    documents = list(documents)
    date_types = _date_types(documents)
    typed = [pair for document in documents for pair in document.typed]
    others = {name for name, of in typed if of not in date_types}
    return frozenset(name for name, _ in typed if name not in others)


def _date_types(documents: Iterable[Document]) -> set[TypeName]:
    """Built-in date and time types, and the user's own that are derived from them wherever they are defined."""
    bases: dict[TypeName, set[TypeName]] = {}
    for document in documents:
        for name, base in document.derived:
            bases.setdefault(name, set()).add(base)
    found = {(XSD, name) for name in _DATES}
    while more := {name for name, of in bases.items() if name not in found and of <= found}:
        found |= more
    return found


def _typed(root: etree._Element) -> Iterator[tuple[str, TypeName]]:
    for declaration in descendants(root, "element", "attribute"):
        if name := declaration.get("name"):
            mark = "@" if _local(declaration) == "attribute" else ""
            yield sys.intern(mark + name), _type_of(declaration)


def _derived(root: etree._Element) -> Iterator[tuple[TypeName, TypeName]]:
    for definition in children(root, "simpleType", "complexType"):
        yield ("", definition.get("name", "")), _base_of(definition)


def _type_of(declaration: etree._Element) -> TypeName:
    if written := declaration.get("type"):
        return _type_name(declaration, written)
    inline = next(children(declaration, "simpleType", "complexType"), None)
    return _UNKNOWN if inline is None else _base_of(inline)


def _base_of(definition: etree._Element) -> TypeName:
    """The type that a simple type, or the text of a complex one, is derived from."""
    content = next(children(definition, "simpleContent"), definition)
    step = next(children(content, "restriction", "extension"), None)
    if step is None:
        return _UNKNOWN
    if base := step.get("base"):
        return _type_name(step, base)
    inline = next(children(step, "simpleType"), None)
    return _UNKNOWN if inline is None else _base_of(inline)


def _type_name(element: etree._Element, name: str) -> TypeName:
    namespace, local = qualified(element, name)
    return (XSD if namespace == XSD else "", local)


def _reference(element: etree._Element) -> Reference:
    location = element.get("schemaLocation")
    return Reference(_local(element), element.get("namespace", ""), location, element.sourceline or 0)


def _component(element: etree._Element) -> Component:
    kind = _local(element)
    return Component(_SORTS.get(kind, kind), element.get("name", ""), element.sourceline or 0)


def _wildcards(root: etree._Element) -> Iterator[str]:
    for wildcard in descendants(root, "any"):
        if wildcard.get("processContents") != "skip":
            yield wildcard.get("namespace", "##any")
    for element in descendants(root, "element"):
        if _is_untyped(element):
            yield "##any"


def _sees_others(root: etree._Element) -> bool:
    wildcards = descendants(root, "any", "anyAttribute")
    untyped = map(_is_untyped, descendants(root, "element"))
    return any(wildcard.get("processContents") != "skip" for wildcard in wildcards) or any(untyped)


def _reaches_others(root: etree._Element) -> bool:
    members = (element.get("substitutionGroup") for element in descendants(root, "element"))
    return any(members) or next(descendants(root, "extension"), None) is not None


def _is_untyped(element: etree._Element) -> bool:
    """Whether the element may hold anything, as one without a type does."""
    if element.get("ref") or element.get("substitutionGroup") or element.get("abstract") in ("true", "1"):
        return False
    if written := element.get("type"):
        return qualified(element, written) == (XSD, "anyType")
    return next(children(element, "simpleType", "complexType"), None) is None


def _is_of_11(element: etree._Element) -> bool:
    if element.get(f"{{{VERSIONING}}}minVersion", "1.0") != "1.0" or element.get(f"{{{VERSIONING}}}maxVersion"):
        return True
    if not str(element.tag).startswith(f"{{{XSD}}}"):
        return False
    return _local(element) in _ELEMENTS_OF_11 or not _ATTRIBUTES_OF_11.isdisjoint(element.attrib)


def _local(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]
