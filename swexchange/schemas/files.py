"""Schema documents on disk: read, checked, and gathered with all that they include or import.

Every reference is resolved here, inside the schemas folder and without network. What cannot be
resolved is an error, never a weaker schema. Compiles nothing.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from lxml import etree

from swexchange.core import xsd
from swexchange.core.schema_set import DocumentSet, Member, source
from swexchange.core.xsd import Document, Reference
from swexchange.core.xsd_check import complaints
from swexchange.errors import ConfigFault

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class SchemaFiles:
    """The documents below one folder; each is read once. Names are relative to that folder, with '/'."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._data: dict[str, bytes] = {}
        self._documents: dict[str, Document] = {}
        self._members: dict[str, Member] = {}
        self._checked: set[tuple[str, str]] = set()

    def gather(self, documents: Sequence[str]) -> DocumentSet:
        """The documents with all that they refer to, and those of their folder that their wildcards let in.

        Raises ConfigFault for what cannot be read or resolved, or must not be used.
        """
        named = list(dict.fromkeys(documents))
        found = self._close(named)
        while more := list(self._admitted(found, named)):
            named += more
            found = self._close(named)
        self._check(found, named)
        return found

    def digest(self, documents: DocumentSet) -> bytes:
        """SHA-256 over the names asked for, and names and bytes of all files."""
        digest = hashlib.sha256()
        for name in (*documents.documents, "", *sorted(documents.files)):
            digest.update(name.encode() + b"\0")
            if name in documents.files:
                data = self._data[name]
                digest.update(f"{len(data)}:".encode() + data)
        return digest.digest()

    def content(self, name: str) -> bytes:
        """The bytes of a document that was gathered."""
        return self._data[name]

    def _close(self, named: Sequence[str]) -> DocumentSet:
        """The documents and, through all references, what they need."""
        files: dict[str, Member] = {}
        namespaces: dict[str, dict[str, None]] = {}  # files in the order in which they were met
        for name in named:
            namespaces.setdefault(self._document(name, "").namespace, {})[name] = None
        waiting = list(named)
        for name in waiting:
            if name in files:
                continue
            member = files[name] = self._member(name)
            waiting += member.targets
            for reference, target in zip(member.document.references, member.targets, strict=True):
                if reference.kind == "import":
                    namespaces.setdefault(reference.namespace, {})[target] = None
        return DocumentSet(tuple(named), files, {ns: tuple(found) for ns, found in namespaces.items()})

    def _member(self, name: str) -> Member:
        """A document that has been read, with its references resolved."""
        if name not in self._members:
            document = self._documents[name]
            targets = tuple(self._target(name, reference) for reference in document.references)
            self._members[name] = Member(document, targets, source(name, document, targets))
        return self._members[name]

    # -- references

    def _target(self, name: str, reference: Reference) -> str:
        """The file that a reference means."""
        if reference.location is None:
            return self._only_owner(name, reference)
        target = self._locate(name, reference.location, reference.line)
        found = self._document(target, f"{name}:{reference.line}")
        if reference.kind == "import" and found.namespace != reference.namespace:
            raise ConfigFault(
                f"{target} is of namespace {found.namespace or 'none'}, not of {reference.namespace or 'none'}",
                where=f"{name}:{reference.line}",
                do="Correct namespace or schemaLocation of the xs:import",
            )
        return target

    def _locate(self, name: str, location: str, line: int) -> str:
        where = f"{name}:{line}" if line else ""
        if _SCHEME.match(location) or location.startswith(("/", "\\")) or not unquote(location).isprintable():
            raise ConfigFault(
                f"{location!r} is not a file of the schemas folder; nothing is fetched",
                where=where,
                do="Put the document beside the one that refers to it, and name it in schemaLocation",
            )
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(location)))
        if not (self._root / target).resolve().is_relative_to(self._root):
            raise ConfigFault(
                f"{location!r} leads out of the schemas folder",
                where=where,
                do="Put the document inside and name it there",
            )
        return target

    def _only_owner(self, name: str, reference: Reference) -> str:
        """The one document of the same folder that has the namespace of an import without a location."""
        owners = [
            other
            for other in self._neighbours(name)
            if other != name and self._document(other, "").namespace == reference.namespace
        ]
        if len(owners) == 1 and reference.kind == "import":
            return owners[0]
        raise ConfigFault(
            f"xs:{reference.kind} without schemaLocation, and {', '.join(owners) or 'no document of the folder'} "
            f"has the namespace {reference.namespace or 'none'}",
            where=f"{name}:{reference.line}",
            do="Say in schemaLocation which document is meant",
        )

    def _neighbours(self, name: str) -> list[str]:
        folder = posixpath.dirname(name)
        return [posixpath.join(folder, p.name) for p in sorted((self._root / folder).glob("*.xsd"))]

    # -- wildcards

    def _admitted(self, found: DocumentSet, named: Sequence[str]) -> Iterator[str]:
        """Documents of the same folder whose elements can stand where a wildcard of the named ones is.

        Wildcards of imported documents do not count: ds:Object would let in the whole folder.
        """
        for name in named:
            target = found.files[name].document.namespace
            wildcards = {w for file in found.included(name) for w in found.files[file].document.wildcards}
            for other in self._neighbours(name) if wildcards else ():
                if other not in found.files and self._is_let_in(other, wildcards, target):
                    yield other
                    return  # its own references may bring in the others

    def _is_let_in(self, name: str, wildcards: set[str], target: str) -> bool:
        document = self._document(name, "")
        has_elements = any(c.sort == "element" for c in document.components)
        return has_elements and any(xsd.admits(w, target, document.namespace) for w in wildcards)

    # -- checks

    def _check(self, found: DocumentSet, named: Sequence[str]) -> None:
        for name in named:
            self._check_elements(found, name)
        for name, member in found.files.items():
            if (name, found.version) not in self._checked:
                for complaint in complaints(member.document, found.version):
                    raise ConfigFault(complaint.what, where=f"{name}:{complaint.line}", do=complaint.do)
                self._checked.add((name, found.version))

    def _check_elements(self, found: DocumentSet, name: str) -> None:
        reached = [*found.included(name), *found.files[name].targets]
        if not any(c.sort == "element" for file in reached for c in found.files[file].document.components):
            raise ConfigFault(
                "the schema declares no global element, so it would refuse every document",
                where=name,
                do="Name the document that declares the message's root element",
            )

    # -- reading

    def _document(self, name: str, cited: str) -> Document:
        if name not in self._documents:
            self._data[name] = self._read(name, cited)
            self._documents[name] = _parse(name, self._data[name])
        return self._documents[name]

    def _read(self, name: str, cited: str) -> bytes:
        path = self._root / self._locate("", name, 0)
        try:
            if path.is_file():
                return path.read_bytes()
        except OSError as error:
            raise ConfigFault(
                f"cannot read {name}: {error.strerror}", where=cited or name, do="Let the daemon read it"
            ) from error
        raise ConfigFault(
            f"there is no schema document {name}",
            where=cited or str(self._root),
            do="Put it there, or correct " + ("schemaLocation" if cited else "the name"),
        )


def _parse(name: str, data: bytes) -> Document:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ConfigFault(f"not XML: {error}", where=name, do="Correct the file") from error
    if root.getroottree().docinfo.doctype:
        raise ConfigFault(
            "a schema document must not have a DOCTYPE", where=f"{name}:1", do="Remove it and its entities"
        )
    if root.tag != f"{{{xsd.XSD}}}schema":
        raise ConfigFault(
            f"the root is {root.tag!s}, not xs:schema", where=f"{name}:{root.sourceline}", do="Name an XSD document"
        )
    for annotation in list(xsd.descendants(root, "annotation")):
        if (parent := annotation.getparent()) is not None:
            parent.remove(annotation)
    return xsd.read(root)
