"""What in a schema document an engine would ignore, misjudge or choke on.

Each check yields complaints; a schema with one must not be used, because it would be weaker,
slower or stricter than it reads. Checks one document alone: what spans several is in `schemas`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lxml import etree

from swexchange.core.pattern import explosive_group
from swexchange.core.xsd import VERSIONING, XSD, Document, children, descendants, qualified

_OR_11 = 'or put vc:minVersion="1.1" on xs:schema to have the slow engine judge by it'
_OTHERWISE = f"Write it otherwise, {_OR_11}"
_LIST = f"List the characters instead, {_OR_11}"
_ESCAPES = re.compile(r"\\(?:[pP]\{\w+\}|.)", re.DOTALL)
_MISJUDGED_ESCAPES = re.compile(r"\\(?:P.*|[cC]|p\{Lo?\})")  # \p{L} and \p{Lo} do not hold the Chinese characters
_NEGATED_SUBTRACTION = re.compile(r"\[\^[^\[\]]*-\[|-\[\^")
_REFERENCE_TYPES = ("IDREF", "IDREFS", "ENTITY", "ENTITIES")


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong in a schema document, where, and how to mend it."""

    line: int
    what: str
    do: str


def complaints(document: Document, version: str) -> Iterator[Complaint]:
    """What stands against using `document` in a set that is judged as XSD `version`."""
    yield from _conditional(document.root)
    yield from _explosive(document.root)
    if version == "1.0":
        yield from _misjudged_patterns(document.root)
        yield from _misjudged_types(document.root)
        yield from _misjudged_fixed_values(document.root)


def _conditional(root: etree._Element) -> Iterator[Complaint]:
    for element in root.iter("*"):
        for name, value in element.attrib.items():
            if name.startswith(f"{{{VERSIONING}}}") and not _is_supported(name, value):
                what = f'vc:{etree.QName(name).localname}="{value}" would make parts of the schema vanish'
                yield Complaint(element.sourceline or 0, what, "Keep the parts you need and remove the attribute")


def _is_supported(name: str, value: str) -> bool:
    local = etree.QName(name).localname
    return (local == "minVersion" and value in ("1.0", "1.1")) or (local == "maxVersion" and value == "1.1")


class _Pattern(NamedTuple):
    line: int
    text: str


def _patterns(root: etree._Element) -> Iterator[_Pattern]:
    for facet in descendants(root, "pattern"):
        yield _Pattern(facet.sourceline or 0, facet.get("value", ""))


def _explosive(root: etree._Element) -> Iterator[Complaint]:
    for line, text in _patterns(root):
        if group := explosive_group(text):
            what = f"pattern {text!r}: in {group!r} a repeated group repeats inside, which can take forever to match"
            yield Complaint(line, what, "Repeat single character classes only, and bound the length with xs:maxLength")


def _misjudged_patterns(root: etree._Element) -> Iterator[Complaint]:
    for line, text in _patterns(root):
        if escapes := [e for e in _ESCAPES.findall(text) if _MISJUDGED_ESCAPES.fullmatch(e)]:
            what = f"pattern {text!r}: libxml2 misjudges {escapes[0]}"
            yield Complaint(line, what, _LIST)
        if _NEGATED_SUBTRACTION.search(text):
            what = f"pattern {text!r}: libxml2 misjudges a class subtraction with a negated class"
            yield Complaint(line, what, _LIST)


def _misjudged_types(root: etree._Element) -> Iterator[Complaint]:
    for element in root.iter("*"):
        for attribute in ("type", "base", "itemType", "memberTypes"):
            for name in element.get(attribute, "").split():
                namespace, local = qualified(element, name)
                if namespace == XSD and local in _REFERENCE_TYPES:
                    yield Complaint(element.sourceline or 0, f"libxml2 does not check xs:{local}", _OTHERWISE)


def _misjudged_fixed_values(root: etree._Element) -> Iterator[Complaint]:
    mixed = {t.get("name") for t in children(root, "complexType") if _is_mixed(t)}
    for declaration in descendants(root, "attribute", "element"):
        if declaration.get("fixed") is None:
            continue
        if declaration.tag == f"{{{XSD}}}attribute":
            if declaration.get("ref"):
                yield Complaint(
                    declaration.sourceline or 0,
                    "libxml2 misjudges a fixed value on an attribute reference",
                    _OTHERWISE,
                )
        elif _has_mixed_content(declaration, mixed):
            yield Complaint(declaration.sourceline or 0, "libxml2 misjudges a fixed value of mixed content", _OTHERWISE)


def _has_mixed_content(element: etree._Element, mixed: set[str | None]) -> bool:
    if written := element.get("type"):
        return qualified(element, written)[1] in mixed
    return any(_is_mixed(t) for t in children(element, "complexType"))


def _is_mixed(complex_type: etree._Element) -> bool:
    contents = [complex_type, *children(complex_type, "complexContent")]
    return any(content.get("mixed") in ("true", "1") for content in contents)
