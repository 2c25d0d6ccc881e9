"""The schemas that routes.yaml names, compiled: libxml2 here, the slow engine where it explains.

Each type and edition is judged as if by its own documents alone; types of one folder share a schema
where that makes no difference, and always the slow engine's, which are big.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from lxml import etree

from swexchange.core.model import Finding
from swexchange.core.rulebook import Check
from swexchange.core.schema import Bundle, Reason, Source, Validator
from swexchange.core.schema_set import DRIVER, DocumentSet
from swexchange.core.xsd import XSD, date_names
from swexchange.errors import ConfigFault
from swexchange.schemas.files import SchemaFiles

_HINT_11 = 'Correct it; if it is XSD 1.1, say so with vc:minVersion="1.1" on xs:schema'


class SlowEngine(Protocol):
    """What explains refusals, and judges by XSD 1.1."""

    def compile(self, bundles: Sequence[Bundle]) -> None:
        """Hold these bundles, as long as anyone else does. Raises ConfigFault for what does not compile."""

    def explain(self, digest: bytes, document: bytes, cap: int) -> Sequence[Reason] | None:
        """Why a document is refused; None when it cannot tell now."""

    def judge(self, digest: bytes, document: bytes, cap: int) -> Sequence[Reason] | None:
        """As `explain`, but it waits for an engine that is not ready yet."""


def load(root: Path, documents: Sequence[str]) -> Bundle:
    """Compile documents, by names relative to the schemas folder `root`, as one set. Raises ConfigFault."""
    files = SchemaFiles(root)
    found = files.gather(documents)
    _refuse_conflict(found)
    return _with_libxml2(_bundle(files, found))


@dataclass(slots=True)
class _Use:
    """Documents that a type or edition is checked by, and the schemas that were made of them."""

    engine: SlowEngine
    documents: DocumentSet
    validator: Validator | None = None
    explained_by: Bundle | None = None

    def check(self, tree: etree._ElementTree, cap: int) -> tuple[Finding, ...]:
        """A `Check`."""
        assert self.validator, "Schemas.compile comes before the first check"
        return self.validator.findings(tree, cap)

    def explain(self, document: bytes, cap: int) -> Sequence[Reason] | None:
        """An `Explain`."""
        ask = self.engine.judge if self.documents.version == "1.1" else self.engine.explain
        return ask(self.explained_by.digest, document, cap) if self.explained_by else None


_Group = tuple[DocumentSet, list[_Use]]


class Schemas:
    """All schemas of one load of the rules: ask for every `edition`, then `compile`, then check."""

    def __init__(self, root: Path, engine: SlowEngine) -> None:
        self._files, self._engine = SchemaFiles(root), engine
        self._uses: dict[str, list[_Use]] = {}  # by folder

    def edition(self, folder: str, documents: Sequence[str]) -> Check:
        """The check by documents of a folder, such as dec/4.9.7.

        Raises ConfigFault when anything cannot be read or resolved, or must not be used.
        """
        found = self._files.gather([f"{folder}/{document}" for document in documents])
        _refuse_conflict(found)
        use = _Use(self._engine, found)
        self._uses.setdefault(folder, []).append(use)
        return use.check

    def compile(self) -> None:
        """Compile everything that was asked for, in both engines. Raises ConfigFault."""
        groups = [group for uses in self._uses.values() for group in self._grouped(uses)]
        bundles = [self._compile(documents, uses) for documents, uses in groups]
        self._engine.compile(bundles)
        for bundle, (_, uses) in zip(bundles, groups, strict=True):
            for use in uses:
                use.explained_by = bundle

    def documents(self) -> Mapping[str, bytes]:
        """Every document that was asked for, or is used by one that was, by its path below the schemas folder."""
        used = {name for uses in self._uses.values() for use in uses for name in use.documents.files}
        return {name: self._files.content(name) for name in used}

    def _compile(self, documents: DocumentSet, uses: Sequence[_Use]) -> Bundle:
        """Give each use its validator, a common one if that makes no difference; return what all are explained by."""
        common = _bundle(self._files, documents)
        share = all(documents.is_separable(use.documents) for use in uses)
        common = _with_libxml2(common) if share else common
        for use in uses:
            own = common if share else _with_libxml2(_bundle(self._files, use.documents))
            use.validator = Validator(own, use.explain, use.documents.roots)
        return common

    def _grouped(self, uses: Iterable[_Use]) -> list[_Group]:
        """As few sets as do not contradict themselves; where the slow engine judges, each stays alone."""
        alone = [(use.documents, [use]) for use in uses if use.documents.version == "1.1"]
        together = [use for use in uses if use.documents.version == "1.0"]
        joined = self._joined(use.documents for use in together)
        if together and not joined.conflict():
            return [(joined, together), *alone]
        groups: list[_Group] = []
        for use in together:
            self._place(use, groups)
        return groups + alone

    def _place(self, use: _Use, groups: list[_Group]) -> None:
        for i, (others, uses) in enumerate(groups):
            joined = self._joined([others, use.documents])
            if not joined.conflict():
                groups[i] = (joined, [*uses, use])
                return
        groups.append((use.documents, [use]))

    def _joined(self, sets: Iterable[DocumentSet]) -> DocumentSet:
        return self._files.gather([name for documents in sets for name in documents.documents])


class _Resolver(etree.Resolver):
    """Hands libxml2 the documents of one set, and nothing else."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def resolve(self, url: str | None, public_id: str | None, context: Any) -> Any:
        """The text of a source by the last step of its address."""
        source = self._sources[(url or "").rpartition("/")[2]]
        return self.resolve_string(source.text, context, base_url=url)


def _refuse_conflict(found: DocumentSet) -> None:
    if conflict := found.conflict():
        component, here, there = conflict
        raise ConfigFault(f"{component} is also defined in {there}", where=here, do="Name or keep only one of the two")


def _bundle(files: SchemaFiles, found: DocumentSet) -> Bundle:
    return Bundle(
        digest=files.digest(found),
        documents=found.documents,
        version=found.version,
        roots=found.roots,
        dates=date_names(member.document for member in found.files.values()),
        sources=found.sources(),
    )


def _with_libxml2(bundle: Bundle) -> Bundle:
    """With a schema of libxml2, unless it is XSD 1.1."""
    return bundle if bundle.version == "1.1" else replace(bundle, schema=_compile(bundle))


def _compile(bundle: Bundle) -> etree.XMLSchema:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    parser.resolvers.add(_Resolver(bundle.sources))
    driver = etree.fromstring(bundle.sources[DRIVER].text, parser, base_url=f"swx:/{DRIVER}")
    try:
        schema = etree.XMLSchema(driver.getroottree())
    except etree.XMLSchemaParseError as error:
        raise _fault(bundle, error) from error
    for root in sorted(bundle.roots):
        _check_known(bundle, schema, root)
    return schema


def _check_known(bundle: Bundle, schema: etree.XMLSchema, root: str) -> None:
    """libxml2 tells nobody when it leaves out a document; an element that it should know gives it away."""
    schema.validate(etree.ElementTree(etree.Element(root)))
    if any(error.type == etree.ErrorTypes.SCHEMAV_CVC_ELT_1 for error in schema.error_log):
        raise ConfigFault(f"libxml2 left out the element {root}", where=bundle.where("", 0), do="Simplify its imports")


def _fault(bundle: Bundle, error: etree.XMLSchemaParseError) -> ConfigFault:
    first = next(iter(error.error_log), None)
    if first is None:
        return ConfigFault(str(error), where=bundle.where("", 0), do=_HINT_11)
    name = first.filename.rpartition("/")[2]
    what = first.message.replace(f"{{{XSD}}}", "xs:")
    return ConfigFault(what, where=bundle.where(name, _element_at(bundle, name, first.line)), do=_HINT_11)


def _element_at(bundle: Bundle, name: str, line: int) -> int:
    """The place in document order of the last element that starts on or before a line of a source."""
    source = bundle.sources.get(name)
    elements = etree.fromstring(source.text).iter() if source else ()
    return max((i for i, element in enumerate(elements) if (element.sourceline or 0) <= line), default=0)
