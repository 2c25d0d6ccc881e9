"""Schema documents that belong together, made into the closed set that an engine compiles.

A driver document imports every namespace once, through one document per namespace that includes
all of its documents: an engine that meets a namespace a second time skips the second import. All
locations become ASCII names of the set. Reads and compiles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from lxml import etree

from swexchange.core.schema import Source
from swexchange.core.xsd import REFERENCES, XSD, Component, Document, children

DRIVER = "driver.xsd"


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One document of a set."""

    document: Document
    targets: tuple[str, ...]  # the file behind each of its references, in order
    source: Source  # what the engines get of it


@dataclass(frozen=True, eq=False)
class DocumentSet:
    """Documents by file name, and how they hang together."""

    documents: tuple[str, ...]  # those that were asked for
    files: Mapping[str, Member]  # all of them, those referred to included
    namespaces: Mapping[str, tuple[str, ...]]  # the files that each is made of, their includes left out

    @cached_property
    def version(self) -> str:
        """'1.1' if any document is written in it."""
        return max(member.document.version for member in self.files.values())

    @cached_property
    def roots(self) -> frozenset[str]:
        """'{namespace}name' of every global element."""
        elements = ((ns, c.name) for ns, _, c in self._components() if c.sort == "element")
        return frozenset(f"{{{namespace}}}{name}" if namespace else name for namespace, name in elements)

    def is_separable(self, part: DocumentSet) -> bool:
        """Whether verdicts by `part` of this set are the same with the whole; True is sure, False is not."""
        others = self.placed.keys() - part.placed.keys()
        if others and any(member.document.sees_others for member in part.files.values()):
            return False
        return not any(self.files[file].document.reaches_others for _, file in others)

    @cached_property
    def placed(self) -> dict[tuple[str, str], None]:
        """(namespace, file) of every file, in each namespace that it is included into."""
        return {
            (namespace, file): None
            for namespace, members in self.namespaces.items()
            for member in members
            for file in self.included(member)
        }

    def conflict(self) -> tuple[str, str, str] | None:
        """(component, where, and where else) of one that two files define; None if there is none."""
        seen: dict[tuple[str, str, str], tuple[str, int]] = {}
        for namespace, file, component in self._components():
            first = seen.setdefault((component.sort, namespace, component.name), (file, component.line))
            if first[0] != file:
                where = f"{first[0]}:{first[1]}"
                return f"{component.sort} {component.name}", where, f"{file}:{component.line}"
        return None

    def included(self, file: str) -> list[str]:
        """The file and all that it includes, redefines or overrides, directly or not."""
        found = [file]
        for name in found:
            member = self.files[name]
            for reference, target in zip(member.document.references, member.targets, strict=True):
                if reference.kind != "import" and target not in found:
                    found.append(target)
        return found

    def sources(self) -> dict[str, Source]:
        """The closed set by ASCII name; it starts at `DRIVER`."""
        found = {ascii_name(file): member.source for file, member in self.files.items()}
        for namespace, files in self.namespaces.items():
            found[_hub_name(namespace)] = Source(_hub(namespace, files), ", ".join(files))
        found[DRIVER] = Source(_driver(self.namespaces), ", ".join(self.documents))
        return found

    def _components(self) -> Iterator[tuple[str, str, Component]]:
        """(namespace, file, component) of every global component."""
        for namespace, file in self.placed:
            for component in self.files[file].document.components:
                yield namespace, file, component


def ascii_name(file: str) -> str:
    """The name of a file within a closed set, whatever characters its own is made of."""
    return f"{sha256(file.encode()).hexdigest()[:16]}.xsd"


def source(file: str, document: Document, targets: Sequence[str]) -> Source:
    """The document with its references in ASCII names; imports go to the hub of their namespace."""
    root = deepcopy(document.root)
    for element, reference, target in zip(children(root, *REFERENCES), document.references, targets, strict=True):
        imported = reference.kind == "import"
        element.set("schemaLocation", _hub_name(reference.namespace) if imported else ascii_name(target))
    lines = tuple(e.sourceline or 0 for e in document.root.iter())
    return Source(etree.tostring(root, encoding="UTF-8", xml_declaration=True), file, lines)


def _hub_name(namespace: str) -> str:
    return f"ns-{ascii_name(namespace)}"


def _hub(namespace: str, files: Iterable[str]) -> bytes:
    root = _schema(namespace)
    for file in files:
        etree.SubElement(root, f"{{{XSD}}}include", schemaLocation=ascii_name(file))
    return etree.tostring(root)


def _driver(namespaces: Iterable[str]) -> bytes:
    root = _schema("urn:swexchange:driver")  # a namespace of its own, so that it can import any, and none
    for namespace in namespaces:
        imported = etree.SubElement(root, f"{{{XSD}}}import", schemaLocation=_hub_name(namespace))
        if namespace:
            imported.set("namespace", namespace)
    return etree.tostring(root)


def _schema(namespace: str) -> etree._Element:
    root = etree.Element(f"{{{XSD}}}schema", nsmap={"xs": XSD})
    if namespace:
        root.set("targetNamespace", namespace)
    return root
