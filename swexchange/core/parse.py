"""Bytes to a parsed document, behind guards; refuses what parsers of different make would read differently.

Limits are judged before the work they bound. What passes is UTF-8 without a byte order mark,
without DOCTYPE, comment or processing instruction, and within the limits of structure.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from lxml import etree

from swexchange.core import codes
from swexchange.core.model import Finding
from swexchange.errors import Fault, Rejected

MAX_DETAIL = 300  # characters of a finding's detail: texts of a message may be long
HARMLESS = 8 * 1024  # bytes below which no number of tags or attributes can hurt, nor libxml2's own 256 levels
MAX_DEPTH = 64
MAX_ATTRIBUTES = 256  # of one element, namespace declarations included
MAX_MARKUP = 500_000  # tags, attributes and namespace declarations together

_DECLARATION = re.compile(rb"<\?xml\s[^>]*\?>")
_OTHER_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["'](?!utf-8["'])""", re.IGNORECASE)
_BEFORE_ROOT = re.compile(rb"\s*(<!DOCTYPE|<!--|<\?)")
_VALUE = re.compile(rb"=\s*[\"']")
_NO_MEMORY = 2  # libxml2's XML_ERR_NO_MEMORY
_RESOURCE_LIMIT = 114  # libxml2's XML_ERR_RESOURCE_LIMIT: depth, or one text over 10 MB
_COMMENT_OR_PI = etree.XPath("//comment() | //processing-instruction()")
_TOO_DEEP = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")
_parsers = threading.local()


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document together with the bytes it came from."""

    body: bytes
    content_start: int  # where the XML declaration has ended
    root: etree._Element

    @property
    def name(self) -> str:
        """The root's name, {namespace}local."""
        return str(self.root.tag)


def refuse(code: str, detail: str = "", *, path: str = "", line: int = 0) -> Rejected:
    """A refusal with one finding."""
    return Rejected(Finding(code, detail[:MAX_DETAIL], path, line))


def parse(body: bytes, max_bytes: int) -> Document:
    """Parse one document of at most `max_bytes`. Raises Rejected with codes 0001 and 4001-4006."""
    _guard_bytes(body, max_bytes)
    declaration = _DECLARATION.match(body)
    start = declaration.end() if declaration else 0
    _guard_markup(body, start)
    root = _parse(body)
    _guard_tree(root, body, start)
    return Document(body, start, root)


def _guard_bytes(body: bytes, max_bytes: int) -> None:
    if len(body) > max_bytes:
        raise refuse(codes.TOO_LARGE, f"{len(body)} bytes, at most {max_bytes}")
    if not body or body.isspace():
        raise refuse(codes.EMPTY)
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise refuse(codes.NOT_UTF8, "starts with a byte order mark")
    if b"\0" in body:  # libxml2 would take it for UTF-16 or UTF-32
        raise refuse(codes.NOT_UTF8, "contains a zero byte")
    if _OTHER_ENCODING.match(body):
        raise refuse(codes.NOT_UTF8, "the XML declaration names another encoding")
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(codes.NOT_UTF8, f"byte {error.start} is 0x{body[error.start]:02x}, not UTF-8") from None


def _guard_markup(body: bytes, start: int) -> None:
    """Looks at bytes only, so that no hostile structure is ever built; a DOCTYPE can stand before the root only."""
    if found := _BEFORE_ROOT.match(body, start):
        raise refuse(codes.DOCTYPE if found[1] == b"<!DOCTYPE" else codes.COMMENT)
    if len(body) <= HARMLESS:
        return
    equals = body.count(b"=")
    if equals + body.count(b"<") > MAX_MARKUP:
        raise refuse(codes.TOO_COMPLEX, f"more than {MAX_MARKUP} tags, attributes and namespaces")
    # Sorting attributes takes the square of their number. No tag holds a `<`, so pieces between them hold tags whole.
    if equals > MAX_ATTRIBUTES and any(_attributes(piece) > MAX_ATTRIBUTES for piece in body.split(b"<")):
        raise refuse(codes.TOO_COMPLEX, f"more than {MAX_ATTRIBUTES} attributes and namespaces in one element")


def _attributes(piece: bytes) -> int:
    """How many attributes there can be in a piece that holds one tag and text."""
    return len(_VALUE.findall(piece)) if piece.count(b"=") > MAX_ATTRIBUTES else 0


def _parse(body: bytes) -> etree._Element:
    try:
        return etree.fromstring(body, _parser())
    except etree.XMLSyntaxError as error:
        if error.code == _NO_MEMORY:
            raise Fault("libxml2 has no memory, or no room for more names") from None
        code = codes.TOO_COMPLEX if error.code == _RESOURCE_LIMIT else codes.MALFORMED
        raise refuse(code, error.msg or "", line=error.lineno or 0) from None


def _parser() -> etree.XMLParser:
    """The thread's parser: making one costs more than most parsing.

    libxml2 keeps every name that a thread has met, so the daemon decides on threads that end (`decider`).
    """
    parser: etree.XMLParser | None = getattr(_parsers, "parser", None)
    if parser is None:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        _parsers.parser = parser
    return parser


def _guard_tree(root: etree._Element, body: bytes, start: int) -> None:
    if len(body) > HARMLESS and _TOO_DEEP(root):
        raise refuse(codes.TOO_COMPLEX, f"deeper than {MAX_DEPTH} levels")
    # The bytes may also stand in a CDATA section, where they are text: the tree decides.
    # Single letters are found many times faster than pairs, and base64 has neither.
    suspicious = (b"!" in body and b"<!--" in body) or (body.find(b"?", start) >= 0 and body.find(b"<?", start) >= 0)
    if suspicious and (found := _COMMENT_OR_PI(root)):
        raise refuse(codes.COMMENT, line=found[0].sourceline or 0)
