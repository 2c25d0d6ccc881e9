"""What is handed to a third party: a bundle that proves one exchange, or the whole log as files.

Bundles are ZIP files of plain files, the same bytes for the same evidence. Formats and what checks
them without this program: docs/reference/evidence.md, bin/verify-evidence.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import Protocol
from urllib.parse import unquote

from swexchange.core import merkle
from swexchange.core.log import Exhibit, Leaf, Signed, Span
from swexchange.core.rules_manifest import schemas_of
from swexchange.core.tiles import WIDTH, TileTree, widths
from swexchange.errors import ConfigFault

FORMAT = "swexchange-bundle/v1"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a ZIP file knows no earlier time; bundles of equal evidence are equal
_README = """Evidence of one exchange, {exchange}.

message.xml    what was sent, byte for byte, with its signature
receipt.xml    what the platform answered, with its signature
detail.json    the details of the decision
entries/       what the audit log says of it, and the proofs that the log says so (c2sp.org/tlog-proof)
keys.json      the registered keys, with their validity
rules.manifest the SHA-256 of each file of the rules it was decided by; its own one is their digest
schemas/       of these, the schemas of its editions, as far as they were still to be had

In the words of ETSI EN 319 522-1, entries/0.json attests SubmissionAcceptance where its outcome is
accepted or waiting, SubmissionRejection where it is rejected, and nothing yet where its code is
4301: held for an operator.

Check it with verify-evidence (Python 3.11 and PyNaCl) and the log's public key, which you should
have got from somebody you trust:

    verify-evidence --log VKEY {exchange}.zip
"""


Schemas = Callable[[str], bytes | None]
"""The schema document at a path below the schemas folder, as it is now; None = there is none."""
_LOCATION = re.compile(rb"schemaLocation\s*=\s*[\"']([^\"']+)[\"']")


class Log(Protocol):
    """The Merkle log as bundles and exports need it. Every method raises StoreDown when the database fails it."""

    def exhibit(self, exchange_id: str) -> Exhibit | None:
        """What proves an exchange; None where there is none."""

    def checkpoint_over(self, size: int) -> Signed | None:
        """The newest checkpoint of at least this size, one that a witness has signed where there is any."""

    def tile(self, level: int, number: int) -> bytes:
        """The hashes of a tile; b'' where there is none."""

    def spans(self) -> Sequence[Span]:
        """All sealed spans in the order of their leaves."""

    def leaves(self, span: Span) -> Iterator[Leaf]:
        """The entries of a span in order."""


def prove(
    log: Log,
    exchange_id: str,
    keys: Callable[[], str],
    schemas: Schemas,
    left_out: Callable[[str], object] = lambda _: None,
) -> bytes | None:
    """The bundle of an exchange; None where there is none of this id.

    `keys` is asked for the registered keys where the log has none, `schemas` for the documents of
    its editions; `left_out` is told of each that is not what its rules used any more. Raises
    ConfigFault where the exchange is not sealed yet, or no longer what was sealed.
    """
    exhibit = log.exhibit(exchange_id)
    if exhibit is None:
        return None
    signed = log.checkpoint_over(max((leaf for leaf, _ in exhibit.entries), default=0) + 1)
    if not exhibit.entries or signed is None:
        raise ConfigFault("this exchange is not sealed yet", where=exchange_id, do="Run `swexchange audit seal`")
    return bundle_of(exhibit, TileTree(signed.size, log.tile), signed, keys, schemas, left_out)


def bundle_of(
    exhibit: Exhibit,
    tree: TileTree,
    signed: Signed,
    keys: Callable[[], str],
    schemas: Schemas,
    left_out: Callable[[str], object] = lambda _: None,
) -> bytes:
    """The bundle of a sealed exchange under a checkpoint, with its entries that this covers. Raises ConfigFault."""
    proofs = list(_entries(exhibit, tree, signed))
    known = keys() if exhibit.keys is None else exhibit.keys
    contents = Contents(
        exhibit.exchange_id, proofs, exhibit.detail.encode(), known, exhibit.manifest, exhibit.body, exhibit.receipt
    )
    return pack(contents, exhibit.editions, schemas, left_out)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle holds, but for the schemas."""

    exchange_id: str
    proofs: Sequence[tuple[bytes, str]]  # entry and tlog-proof: of the exchange, then others
    detail: bytes
    keys: str
    manifest: str  # of the rules; '' = it is not known
    message: bytes  # b'' = not at hand
    receipt: bytes | None


def pack(
    contents: Contents, editions: Iterable[str], schemas: Schemas, left_out: Callable[[str], object] = lambda _: None
) -> bytes:
    """The bytes of a bundle; see `prove`."""
    files: dict[str, bytes] = {}
    for number, (entry, proof) in enumerate(contents.proofs):
        files |= {f"entries/{number}.json": entry, f"entries/{number}.tlog-proof": proof.encode()}
    manifest = {
        "format": FORMAT,
        "exchange": contents.exchange_id,
        "entries": [name[:-5] for name in files if name[-5:] == ".json"],
    }
    files["bundle.json"] = json.dumps(manifest, indent=1).encode()
    files["README.txt"] = _README.format(exchange=contents.exchange_id).encode()
    files["detail.json"] = contents.detail
    files["keys.json"] = contents.keys.encode()
    files |= {"message.xml": contents.message} if contents.message else {}
    files |= {"receipt.xml": contents.receipt} if contents.receipt is not None else {}
    files |= {"rules.manifest": contents.manifest.encode()} if contents.manifest else {}
    for name, content in _named_schemas(contents.manifest, editions, schemas):
        if content is None:
            left_out(name)
        else:
            files[f"schemas/{name}"] = content
    return _zip(files)


def _named_schemas(manifest: str, editions: Iterable[str], schemas: Schemas) -> Iterator[tuple[str, bytes | None]]:
    """Of the schemas that rules named, those of editions and what they refer to; None for what is another file now."""
    digests, folders = schemas_of(manifest), set(editions)
    waiting = [name for name in digests if posixpath.dirname(name) in folders]
    for name in waiting:
        content = schemas(name)
        same = content is not None and hashlib.sha256(content).hexdigest() == digests[name]
        yield name, content if same else None
        for location in _LOCATION.findall(content or b"") if same else ():
            target = posixpath.normpath(
                posixpath.join(posixpath.dirname(name), unquote(location.decode("utf-8", "replace")))
            )
            if target in digests and target not in waiting:
                waiting.append(target)


def _entries(exhibit: Exhibit, tree: TileTree, signed: Signed) -> Iterator[tuple[bytes, str]]:
    for leaf, entry in exhibit.entries:
        if leaf >= signed.size:
            continue
        if tree.node(0, leaf) != merkle.leaf_hash(entry):
            what = f"leaf {leaf} is not what the database says now: it was changed after it was sealed"
            raise ConfigFault(what, where=exhibit.exchange_id, do="Run `swexchange audit verify`")
        yield entry, tlog_proof(leaf, tree.inclusion(leaf), signed.note)


def tlog_proof(leaf: int, path: Sequence[bytes], note: str) -> str:
    """A tlog-proof of C2SP: that a leaf stands in the log, under a signed checkpoint."""
    lines = ["c2sp.org/tlog-proof@v1", f"index {leaf}", *(base64.b64encode(h).decode() for h in path)]
    return "\n".join(lines) + "\n\n" + note


def _zip(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return packed.getvalue()


def export(
    log: Log, advance: Callable[[int], object] = lambda _: None, archived: Iterable[bytes | None] = (), end: int = 0
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The log as files of C2SP's tlog-tiles: entries, then hashes, then the checkpoint. `advance` is told of each.

    The entries before leaf `end` are taken from `archived`; a tile of entries of which one is None is left out.
    """
    signed = log.checkpoint_over(0)
    if signed is None:
        return
    spans = (span for span in log.spans() if span.first_leaf >= end)
    entries = chain(archived, (leaf.entry for span in spans for leaf in log.leaves(span)))
    for number in range(-(-signed.size // WIDTH)):
        width = min(WIDTH, signed.size - number * WIDTH)
        some = list(islice(entries, width))
        if None not in some:
            bundle = b"".join(len(entry).to_bytes(2) + entry for entry in some if entry is not None)
            yield _path("entries", number, width), bundle
        advance(width)
    yield from hashes(log, signed)


def hashes(log: Log, signed: Signed) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files of an export that hold hashes, then the checkpoint that they stand under."""
    for level, count in enumerate(widths(signed.size)):
        for number in range(-(-count // WIDTH)):
            width = min(WIDTH, count - number * WIDTH)
            yield _path(str(level), number, width), log.tile(level, number)[: width * 32]
    yield PurePosixPath("checkpoint"), signed.note.encode()


def _path(kind: str, number: int, width: int) -> PurePosixPath:
    """Where a tile lies: index 1234067 is x001/x234/067; a partial one is 067.p/WIDTH."""
    parts = [f"{number % 1000:03d}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03d}")
    path = PurePosixPath("tile", kind, *parts)
    return path if width == WIDTH else PurePosixPath(f"{path}.p", str(width))
