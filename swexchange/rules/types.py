"""Which message types there are: how each is recognised, checked and searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lxml import etree

from swexchange.core.rulebook import BarePlaces, Check, Edition, MessageType
from swexchange.core.rulebook import Place as DocumentPlace
from swexchange.errors import ConfigFault
from swexchange.rules.sheet import Sheet, suggest
from swexchange.yamlfile import Place


class Schemas(Protocol):
    """Where compiled schemas come from."""

    def edition(self, folder: str, documents: Sequence[str]) -> Check:
        """The compiled check of documents in a folder below the schemas folder.

        Raises ConfigFault when anything of it cannot be read, resolved or compiled.
        """

    def compile(self) -> None:
        """Compile everything asked for with the second engine too. Raises ConfigFault."""

    def documents(self) -> Mapping[str, bytes]:
        """Every document that these checks use, by its path below the schemas folder."""


class TypeReader:
    """Reads types and editions of one sheet."""

    def __init__(self, sheet: Sheet, schemas: Schemas) -> None:
        self._sheet, self._schemas = sheet, schemas
        self._namespaces: dict[str, str] = sheet.data.get("namespaces") or {}

    def compile(self) -> None:
        """The second compilation of all editions read; a problem with one is noted."""
        try:
            self._schemas.compile()
        except ConfigFault as fault:
            self._sheet.problem(f"schemas: {fault.what} ({fault.where})", ("types",), fault.do)

    def types(self) -> dict[str, MessageType]:
        """All types by the name of their root element."""
        types: dict[str, MessageType] = {}
        for i, entry in enumerate(self._sheet.data["types"]):
            kind = self._type(entry, ("types", i))
            if any(kind.id == other.id for other in types.values()):
                self._sheet.problem(f"type id {kind.id} stands twice", ("types", i))
            if kind.root in types:
                what = f"root {entry['root']} belongs to {types[kind.root].id} already"
                self._sheet.problem(what, ("types", i, "root"))
            types[kind.root] = kind
        return types

    def _type(self, entry: Mapping[str, Any], place: Place) -> MessageType:
        bare = self._places(entry.get("bare"), (*place, "bare"))
        named = {found.name: found for found in bare}
        keys = self._places(entry.get("keys"), (*place, "keys"))
        fields = self._places(entry.get("fields"), (*place, "fields"))
        return MessageType(
            id=entry["id"],
            root=self._root(entry["root"], (*place, "root")),
            editions=self.editions(entry["editions"], (*place, "editions")),
            msg_types=frozenset(entry.get("msg_types") or ()),
            bare=BarePlaces(**named) if {"id", "sender"} <= named.keys() else None,
            keys=keys,
            fields=fields,
            answers=self._places(entry.get("answers"), (*place, "answers")),
            order=self._order(entry.get("order"), [found.name for found in (*keys, *fields)], place),
        )

    def _order(self, given: str | None, known: Sequence[str], place: Place) -> str:
        """The name that keeps order: the first business key where none is given."""
        if given is not None and given not in known:
            self._sheet.problem(f"order {given} is no key or field of this type", place, suggest(given, known))
        return given or next(iter(known), "")

    def _root(self, text: str, place: Place) -> str:
        prefix, colon, local = text.partition(":")
        if text.startswith("{") or not colon:
            return text
        if prefix not in self._namespaces:
            self._sheet.problem(f"prefix {prefix} is not declared", place, "Add it under namespaces")
        return f"{{{self._namespaces.get(prefix, '')}}}{local}"

    def _places(self, entry: Mapping[str, str] | None, place: Place) -> tuple[DocumentPlace, ...]:
        found = (self._place(name, xpath, (*place, name)) for name, xpath in (entry or {}).items())
        return tuple(p for p in found if p)

    def _place(self, name: str, xpath: str, place: Place) -> DocumentPlace | None:
        try:
            find = etree.XPath(xpath, namespaces=self._namespaces, smart_strings=False)
            find(etree.Element("probe"))  # undeclared prefixes and functions show only when evaluated
        except etree.XPathError as error:
            self._sheet.problem(f"XPath {xpath!r}: {error}", place, "Prefixes are declared under namespaces")
            return None
        return DocumentPlace(name, xpath, find)

    def editions(self, entries: Sequence[dict[str, Any]], place: Place) -> tuple[Edition, ...]:
        """Editions, newest first; those with problems are left out, the problems noted."""
        found = (self._edition(entry, (*place, i)) for i, entry in enumerate(entries))
        return tuple(sorted((e for e in found if e), key=lambda e: e.valid_from, reverse=True))

    def _edition(self, entry: dict[str, Any], place: Place) -> Edition | None:
        family, edition, document = entry["schema"].split("/", 2)
        folder = f"{family}/{edition}"
        try:
            check = self._schemas.edition(folder, (document, *(entry.get("with") or ())))
        except ConfigFault as fault:
            cause = f" ({fault.where})" if fault.where else ""
            self._sheet.problem(f"schema {entry['schema']}: {fault.what}{cause}", (*place, "schema"), fault.do)
            return None
        valid_to = self._sheet.moment(entry, "to", place)
        return Edition(folder, check, self._sheet.start(entry, place), valid_to)
