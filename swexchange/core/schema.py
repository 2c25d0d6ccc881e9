"""Judges one document by one compiled set of schemas.

libxml2 decides and is asked alone as long as documents are valid; only a refused document is
shown to the slow engine, which says why and never overrules. A set written in XSD 1.1, which
libxml2 cannot read, is judged by the slow engine. Loads nothing and knows no files: see `schemas`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice

from lxml import etree

from swexchange.core import codes
from swexchange.core.model import Finding

LONGEST_VALUE = 40  # characters of a value that a finding quotes
LONGEST_DETAIL = 200

_XML_BLANKS = " \t\r\n"
_STEP = re.compile(r"/(?:[^/:\[]+:)?([^/\[*]+)")
_NAMESPACE = re.compile(r"\{[^{}]*\}")
_LONG_VALUE = re.compile(r"'([^']{39})[^']{61,}'")  # libxml2's own words between quotes are shorter than 100


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a document breaks its schema, as the slow engine puts it. Elements are counted from 0 in document order."""

    detail: str
    element: int  # whose value or content is wrong
    culprit: int  # where to look: the child that must not be there, else the same


Explain = Callable[[bytes, int], Sequence[Reason] | None]
"""The slow engine: document and most reasons in, reasons out; none = valid, None = no answer in time."""


@dataclass(frozen=True, slots=True)
class Source:
    """One schema document as the engines get it: in UTF-8, its references in ASCII names."""

    text: bytes
    origin: str  # the file it was read from, relative to the schemas folder
    lines: tuple[int, ...] = ()  # line in that file of each element of `text`, in document order


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Bundle:
    """Schema documents that are compiled together, and all that they include or import."""

    digest: bytes  # SHA-256 over names and bytes of all files
    documents: tuple[str, ...]  # files that it was asked for, relative to the schemas folder
    version: str  # '1.0' or '1.1'
    roots: frozenset[str]  # '{namespace}name' of every global element
    dates: frozenset[str]  # elements, and '@attributes', that are of a date or time type wherever they occur
    sources: Mapping[str, Source]  # by ASCII name; 'driver.xsd' names all the others
    schema: etree.XMLSchema | None = None  # None for XSD 1.1

    def where(self, name: str, element: int) -> str:
        """'file:line' of an element of a source, 'file' if the line is unknown, the documents if the source is."""
        source = self.sources.get(name)
        if source is None:
            more = len(self.documents) - 3
            return ", ".join(self.documents[:3]) + (f" and {more} more" if more > 0 else "")
        return f"{source.origin}:{source.lines[element]}" if element < len(source.lines) else source.origin


class Validator:
    """One bundle, ready to judge documents; for one thread."""

    def __init__(self, bundle: Bundle, explain: Explain, roots: frozenset[str] | None = None) -> None:
        """`roots`: those of the bundle's elements that a document may start with; all if None."""
        self._bundle, self._explain = bundle, explain
        self._roots = bundle.roots if roots is None else roots

    def findings(self, tree: etree._ElementTree, cap: int) -> tuple[Finding, ...]:
        """At most `cap` reasons to refuse `tree`, none if it is valid; cap 0 asks for the verdict alone.

        The tree must have been parsed without DOCTYPE, comments and processing instructions.
        Lines are those of the text that it was parsed from. Never raises for a document's sake.
        """
        schema, root = self._bundle.schema, tree.getroot()
        if root.tag not in self._roots:
            return (_unknown_root(root),)
        if schema is None:
            return self._judged_slowly(tree, cap)
        try:
            if schema.validate(tree) or _valid_without_blanks(schema, tree, self._bundle.dates):
                return ()
        except etree.XMLSchemaError:
            return (_unfinished(),)
        errors = tuple(islice(schema.error_log, max(cap, 1)))
        explained = self._explained(tree, cap) if cap else ()
        return explained or tuple(_libxml2_finding(tree, error) for error in errors)

    def _judged_slowly(self, tree: etree._ElementTree, cap: int) -> tuple[Finding, ...]:
        reasons = self._explain(etree.tostring(tree), max(cap, 1))
        return (_unfinished(),) if reasons is None else tuple(_located(tree, r) for r in reasons)

    def _explained(self, tree: etree._ElementTree, cap: int) -> tuple[Finding, ...]:
        reasons = self._explain(etree.tostring(tree), cap)
        return tuple(_located(tree, r) for r in reasons or ())


def path_of(element: etree._Element) -> str:
    """The path of an element by local names; [n] from the second of its name on."""
    steps = [_step(e) for e in element.iterancestors()][::-1]
    return "/" + "/".join([*steps, _step(element)])


def local_name(tag: str) -> str:
    """The name without its namespace."""
    return tag.rpartition("}")[2]


def shortened(text: str, longest: int) -> str:
    """On one line, with an ellipsis where it was cut."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _step(element: etree._Element) -> str:
    name = local_name(str(element.tag))
    nth = 1 + sum(local_name(str(e.tag)) == name for e in element.itersiblings("*", preceding=True))
    return f"{name}[{nth}]" if nth > 1 else name


def _unknown_root(root: etree._Element) -> Finding:
    return Finding(
        codes.SCHEMA, f"'{_step(root)}' is not an element of the schema", path_of(root), root.sourceline or 0
    )


def _unfinished() -> Finding:
    return Finding(codes.UNDECIDABLE, "the validation did not end in time or could not be completed")


def _located(tree: etree._ElementTree, reason: Reason) -> Finding:
    element, culprit = (next(islice(tree.iter("*"), n, None), tree.getroot()) for n in (reason.element, reason.culprit))
    return Finding(codes.SCHEMA, reason.detail, path_of(element), culprit.sourceline or 0)


def _libxml2_finding(tree: etree._ElementTree, error: etree._LogEntry) -> Finding:
    detail = shortened(_LONG_VALUE.sub(r"'\1…'", _NAMESPACE.sub("", error.message)), LONGEST_DETAIL)
    element = _element_at(tree, error.path)
    if element is None:
        return Finding(codes.SCHEMA, detail, line=error.line)
    parent = element.getparent() if "This element is not expected" in detail else None
    return Finding(codes.SCHEMA, detail, path_of(element if parent is None else parent), error.line)


def _element_at(tree: etree._ElementTree, path: str | None) -> etree._Element | None:
    """The element that libxml2 means; its paths use the document's own prefixes."""
    try:
        found = tree.xpath(_STEP.sub(r"/*[local-name()='\1']", path or ""))
    except etree.XPathError:
        return None
    nodes = found if isinstance(found, list) else []
    return next((node for node in nodes if isinstance(node, etree._Element)), None)


def _valid_without_blanks(schema: etree.XMLSchema, tree: etree._ElementTree, dates: frozenset[str]) -> bool:
    """Whether only blanks around dates and times, which libxml2 wrongly refuses, were the matter."""
    if not any(True for _ in _padded(tree, dates)):
        return False
    copy = deepcopy(tree)
    for element, attribute in list(_padded(copy, dates)):
        if attribute:
            element.set(attribute, element.get(attribute, "").strip(_XML_BLANKS))
        else:
            element.text = (element.text or "").strip(_XML_BLANKS)
    return bool(schema.validate(copy))


def _padded(tree: etree._ElementTree, dates: frozenset[str]) -> Iterator[tuple[etree._Element, str]]:
    """Elements of a date or time type with blanks around the text, and ('' = the text) such attributes."""
    for element in tree.iter("*") if dates else ():
        text = element.text or ""
        if local_name(str(element.tag)) in dates and len(element) == 0 and text != text.strip(_XML_BLANKS):
            yield element, ""
        for name, value in element.attrib.items():
            if f"@{local_name(name)}" in dates and value != value.strip(_XML_BLANKS):
                yield element, name
