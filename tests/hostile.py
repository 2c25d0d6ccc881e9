"""Bodies that no honest sender makes, and the code that each must meet.

Reusable wherever bytes come in: raw as a body, or as the document inside a signed envelope.
The bodies are built when asked for; none is over `LIMIT`. `alone` is what a sender gets whose
body this is; `inside` what one gets who signed an envelope around it. Several codes: either is
right, since the body is wrong in more than one way.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass

from tests.forge import DSIG
from tests.world import declaration

SIGNATURE = f'<ds:Signature xmlns:ds="{DSIG}"></ds:Signature>'
UNSIGNED, NO_TYPE = "4101", "4202"  # what a well-formed document of no known root meets


@dataclass(frozen=True, slots=True)
class Hostile:
    """One hostile body: its name, how to build it, and the codes it may meet."""

    name: str
    build: Callable[[], bytes]
    alone: frozenset[str]
    inside: frozenset[str]


def _both(name: str, body: bytes | Callable[[], bytes], *codes: str) -> Hostile:
    build = body if callable(body) else lambda: body
    return Hostile(name, build, frozenset(codes), frozenset(codes))


def _odd(name: str, body: bytes | Callable[[], bytes], *more: str) -> Hostile:
    """Strange but harmless: refused only because nobody signed it, or no type has its root."""
    build = body if callable(body) else lambda: body
    return Hostile(name, build, frozenset({UNSIGNED, *more}), frozenset({NO_TYPE, *more}))


def _marked(name: str, build: Callable[[], bytes], *alone: str) -> Hostile:
    """With an empty Signature, so that a body alone is canonicalised before it is refused."""
    return Hostile(name, build, frozenset(alone), frozenset({NO_TYPE, *alone}))


def _relative() -> bytes:
    return f'<a xmlns:p="b"><p:c/>{SIGNATURE}</a>'.encode()


def _one_letter() -> bytes:
    return f'<a xmlns="b">{SIGNATURE}</a>'.encode()


def _text(content: str) -> bytes:
    return f"<a>{content}</a>".encode()


def _levels(count: int) -> bytes:
    return b"<a>" * count + b"</a>" * count


def _entities(subset: str, content: str = "&x;", before: str = "") -> bytes:
    return f"{before}<!DOCTYPE a [{subset}]><a>{content}</a>".encode()


def _laughs() -> bytes:
    lines = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return _entities(f'<!ENTITY e0 "ha">{lines}', "&e9;")


def _laughs_in_attribute() -> bytes:
    lines = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return _entities(f'<!ENTITY e0 "ha">{lines}<!ATTLIST a b CDATA "&e9;">', "")


def _quadratic() -> bytes:
    return _entities(f'<!ENTITY x "{"y" * 100_000}">', "&x;" * 10_000)


def _attributes(count: int, *, order: int = 1, tail: str = "") -> bytes:
    names = " ".join(f'a{n:06d}="1"' for n in range(count)[::order])
    return f"<a {names}>{tail}</a>".encode()


def _namespaces(count: int, tail: str = "") -> bytes:
    names = " ".join(f'xmlns:n{n:06d}="urn:{n}"' for n in range(count))
    return f"<a {names}>{tail}</a>".encode()


def _prefixed_attributes(count: int) -> bytes:
    names = [f"n{n:06d}" for n in range(count)]
    declared = " ".join(f'xmlns:{name}="urn:{name}"' for name in names)
    used = " ".join(f'{name}:x="1"' for name in names)
    return f"<a {declared} {used}>{SIGNATURE}</a>".encode()


SMALL = (
    _both("empty", b"", "4001"),
    _both("white space", b" \t\r\n" * 10, "4001"),
    _both("less than", b"<", "0001"),
    _both("letter", b"x", "0001"),
    _both("zero byte", b"\x00", "4003", "0001"),
    _both("json", b'{"CopMsgId": "1"}', "0001"),
    _both("gzip", gzip.compress(declaration(), mtime=0), "4003"),
    _both("pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", "4003"),
    _both("open tag", b"<a", "0001"),
    _both("tag not closed", b"<a>", "0001"),
    _both("tags crossed", b"<a><b></a></b>", "0001"),
    _both("tags crossed, one named depth", b"<depth><b></depth>", "0001"),
    _both("two roots", b"<a/><b/>", "0001"),
    _both("text after the root", b"<a/>x", "0001"),
    _both("text before the root", b"x<a/>", "0001"),
    _both("attribute twice", b'<a b="1" b="2"/>', "0001"),
    _both("attribute twice by namespace", b'<a xmlns:p="urn:u" xmlns:q="urn:u" p:b="1" q:b="2"/>', "0001"),
    _both("prefix not declared", b"<p:a/>", "0001"),
    _both("namespace is no URI", b'<a xmlns="x y"/>', "0001"),
    _both("less than in attribute", b'<a b="<"/>', "0001"),
    _both("end of cdata in text", b"<a>]]></a>", "0001"),
    _both("entity not declared", _text("&nbsp;"), "0001"),
    _both("character reference zero", _text("&#0;"), "0001"),
    _both("character reference to a surrogate", _text("&#xD800;"), "0001"),
    _both("character reference too large", _text("&#x110000;"), "0001"),
    _both("lower case doctype", b"<!doctype a><a/>", "0001"),
    _both("doctype inside", b"<a><!DOCTYPE a></a>", "0001"),
    # Characters
    _both("zero in a text", _text("x\x00y"), "0001", "4003"),
    _both("zero after the root", b"<a/>\x00", "0001", "4003"),
    _both("zero and a second root", b"<a/>\x00<b/>", "0001", "4003"),
    _both("control character", _text("x\x01y"), "0001"),
    _both("escape character", _text("x\x1b[31my"), "0001"),
    _both("form feed before the root", b"\x0c<a/>", "0001"),
    _both("not a character", _text("\ufffe"), "0001"),
    _odd("bidi and zero width", _text("\u202e\u200b\u2066")),
    _odd("supplementary plane", _text("\U00020000\U0010ffff")),
    _odd("delete and c1", _text("\x7f\x85\x9f")),
    # Encodings
    _both("GBK without declaration", "<a>深圳</a>".encode("gbk"), "4003"),
    _both("GBK under UTF-8", '<?xml version="1.0" encoding="UTF-8"?><a>深圳</a>'.encode("gbk"), "4003"),
    _both("GBK as declared", '<?xml version="1.0" encoding="GBK"?><a>深圳</a>'.encode("gbk"), "4003"),
    _both("GB18030 declared, ASCII inside", b'<?xml version="1.0" encoding="GB18030"?><a/>', "4003"),
    _both("latin-1 declared late", b'<?xml version="1.0" standalone="no" encoding="latin1"?><a/>', "4003", "0001"),
    _both("declared over lines", b"<?xml\nversion='1.0'\nencoding\t=\t'utf-16'?><a/>", "4003"),
    _both("UTF-7 declared", b'<?xml version="1.0" encoding="UTF-7"?>+ADw-a/+AD4-', "4003"),
    _both("EBCDIC", '<?xml version="1.0"?><a/>'.encode("cp037"), "4003"),
    _both("byte order mark", b"\xef\xbb\xbf<a/>", "4003"),
    _both("byte order mark and declaration", b'\xef\xbb\xbf<?xml version="1.0"?><a/>', "4003"),
    *(
        _both(f"{codec}, {said}", mark + f"{head}<a>1<!-- x -->2</a>".encode(codec), "4003", "0001")
        for codec, bom in (
            ("utf-16-le", b"\xff\xfe"),
            ("utf-16-be", b"\xfe\xff"),
            ("utf-32-le", b"\xff\xfe\0\0"),
            ("utf-32-be", b"\0\0\xfe\xff"),
        )
        for said, mark, head in (
            ("marked and declared", bom, f'<?xml version="1.0" encoding="{codec[:6]}"?>'),
            ("marked", bom, ""),
            ("declared", b"", f'<?xml version="1.0" encoding="{codec[:6]}"?>'),
            ("version only", b"", '<?xml version="1.0"?>'),
            ("nothing said", b"", ""),
        )
    ),
    _both("cut inside a character", "<a>深圳".encode()[:-1], "4003"),
    _both("character cut in a text", _text("深").replace(b"\xb1", b""), "4003"),
    _both("overlong", b"<a>\xc0\xaf</a>", "4003"),
    _both("surrogate in UTF-8", b"<a>\xed\xa0\x80</a>", "4003"),
    _both("five bytes", b"<a>\xf8\x88\x80\x80\x80</a>", "4003"),
    _both("over the last character", b"<a>\xf4\x90\x80\x80</a>", "4003"),
    # XML declarations
    _both("declaration after a line break", b'\n<?xml version="1.0"?><a/>', "4005", "0001"),
    _both("declaration twice", b'<?xml version="1.0"?><?xml version="1.0"?><a/>', "4005", "0001"),
    _both("declaration in upper case", b'<?XML version="1.0"?><a/>', "4005", "0001"),
    _both("version 2", b'<?xml version="2.0"?><a/>', "0001"),
    _both("declaration without quotes", b"<?xml version=1.0?><a/>", "0001"),
    _odd("version 1.1", b'<?xml version="1.1"?><a/>', "0001"),
    # DOCTYPE and entities
    _both("doctype", b"<!DOCTYPE a><a/>", "4004"),
    _both("doctype after a declaration", b'<?xml version="1.0"?>\n<!DOCTYPE a><a/>', "4004"),
    _both("doctype after many blanks", b" " * 5000 + b"<!DOCTYPE a><a/>", "4004"),
    _both("doctype after many lines", b'<?xml version="1.0"?>' + b"\n" * 5000 + _entities('<!ENTITY x "1">'), "4004"),
    _both("doctype after a comment", b"<!-- --><!DOCTYPE a><a/>", "4004", "4005"),
    _both("doctype after an instruction", b"<?p?><!DOCTYPE a><a/>", "4004", "4005"),
    _both("public doctype", b'<!DOCTYPE a PUBLIC "-//W3C//DTD" "http://127.0.0.1:9/a.dtd"><a/>', "4004"),
    _both("external subset", b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "4004"),
    _both("internal entity", _entities('<!ENTITY x "1">'), "4004"),
    _both("entity not used", _entities('<!ENTITY x "1">', ""), "4004"),
    _both("file entity", _entities('<!ENTITY x SYSTEM "file:///etc/passwd">'), "4004"),
    _both("http entity", _entities('<!ENTITY x SYSTEM "http://127.0.0.1:9/x">'), "4004"),
    _both("parameter entity", _entities('<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;', ""), "4004"),
    _both("entity of itself", _entities('<!ENTITY x "&x;">'), "4004"),
    _both("markup in an entity", _entities('<!ENTITY x "<b>1</b>">'), "4004"),
    _both("default attribute", _entities('<!ATTLIST a b CDATA "1">', ""), "4004"),
    _both("notation", _entities('<!NOTATION n SYSTEM "x">', ""), "4004"),
    _both("billion laughs", _laughs, "4004"),
    _both("billion laughs in an attribute", _laughs_in_attribute, "4004"),
    _both("quadratic entity", _quadratic, "4004"),
    # Comments, instructions, inclusions
    _both("comment before", b"<!-- --><a/>", "4005"),
    _both("comment inside", b"<a><!-- --></a>", "4005"),
    _both("comment in a value", _text("100<!-- x -->00"), "4005"),
    _both("comment after", b"<a/><!-- -->", "4005"),
    _both("instruction before", b"<?p?><a/>", "4005"),
    _both("instruction inside", b"<a><?p?></a>", "4005"),
    _both("instruction in a value", _text("100<?x y?>00"), "4005"),
    _both("instruction in a value, declared", b'<?xml version="1.0"?>' + _text("100<?x y?>00"), "4005"),
    _both("instruction after", b"<a/><?p?>", "4005"),
    _both("stylesheet", b'<?xml version="1.0"?><?xml-stylesheet href="x"?><a/>', "4005"),
    _odd("comment in cdata is text", _text("<![CDATA[<!-- x --><?y?>]]>")),
    _odd("inclusion", b'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></a>'),
    _odd(
        "schema location",
        b'<a xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x http://127.0.0.1:9/x.xsd"/>',
    ),
    _marked("relative namespace", _relative, "4008", "4102", "0001"),
    _marked("namespace of one letter", _one_letter, "4008", "4102", "0001"),
    # Depth
    _odd("255 levels", _levels(255)),
    _both("65 levels with much text", _levels(65).replace(b"><", b">" + b"x" * 9000 + b"<", 1), "4006"),
    _both("300 levels", _levels(300), "4006"),
    _both("100,000 levels", lambda: _levels(100_000), "4006"),
    _both("300 levels, not closed", b"<a>" * 300, "4006", "0001"),
)
"""Cheap ones."""

LARGE = (
    _both("200,000 attributes", lambda: _attributes(200_000), "4006"),
    _both("1,000,000 elements", lambda: b"<a>" + b"<b/>" * 1_000_000 + b"</a>", "4006"),
    _both("210,000 namespaces", lambda: _namespaces(210_000), "4006"),
    _odd("100,000 namespaces", lambda: _namespaces(100_000), "4006"),
    _odd("99,000 elements", lambda: b"<a>" + b"<b></b>" * 99_000 + b"</a>", "4006"),
    _odd("90,000 elements 64 deep", lambda: _levels(63).replace(b"</a>", b"<b></b>" * 90_000 + b"</a>", 1), "4006"),
    _odd("text of 5 MB", lambda: _text("深" * 1_700_000)),
    _odd("name of 40,000 letters", lambda: b"<" + b"n" * 40_000 + b"/>"),
    _both("name of 1 MB", lambda: b"<" + b"n" * 1_000_000 + b"/>", "0001", UNSIGNED, NO_TYPE, "4006"),
    _odd("value of 5 MB", lambda: b'<a b="' + b"x" * 5_000_000 + b'"/>'),
    _odd("cdata of 5 MB", lambda: b"<a><![CDATA[" + b"x" * 5_000_000 + b"]]></a>"),
    _odd("references of 5 MB", lambda: _text("&#13;" * 1_000_000)),
    _both("5 MB of blanks", lambda: b" " * 5_000_000, "4001"),
    _both("5 MB of less than", lambda: b"<" * 5_000_000, "4006", "0001"),
    _both("5 MB of equals", lambda: _text("=" * 5_000_000), "4006"),
    _both("5 MB of ampersands", lambda: _text("&" * 5_000_000), "0001"),
    _both("5 MB of brackets in a doctype", lambda: b"<!DOCTYPE a [" + b"[" * 5_000_000, "4004"),
    _both("5 MB of white space before a doctype", lambda: b"\n" * 5_000_000 + b"<!DOCTYPE a><a/>", "4004"),
    _both("5 MB of quotes in a declaration", lambda: b"<?xml " + b"'" * 5_000_000, "0001", "4005"),
    _both("5 MB of encoding in a declaration", lambda: b"<?xml" + b" encoding" * 555_000, "0001", "4005"),
    _marked("40,000 attributes in order", lambda: _attributes(40_000, tail=SIGNATURE), "4006", "4102"),
    _marked("190,000 attributes backwards", lambda: _attributes(190_000, order=-1, tail=SIGNATURE), "4006", "4008"),
    _marked("25,000 attributes in namespaces", lambda: _prefixed_attributes(25_000), "4006", "4008"),
    _marked("250 times 1,990 attributes", lambda: _text(_attributes(1_990).decode() * 250 + SIGNATURE), "4006", "4102"),
    _marked("190,000 namespaces", lambda: _namespaces(190_000, SIGNATURE), "4006", "4008"),
    _marked("5 MB, its last tag not canonical", lambda: _text("x" * 5_000_000 + SIGNATURE + "<b ></b>"), "4008"),
    _marked("90,000 short tags", lambda: _text("<b/>" * 90_000 + SIGNATURE), "4102", "4006"),
    _marked("5 MB of quotes", lambda: _text('"' * 5_000_000 + SIGNATURE), "4102"),
    _both("40,000 signatures", lambda: _text(SIGNATURE * 40_000), "4102", "4006", NO_TYPE),
)
"""Those that aim at time or memory."""

ALL = SMALL + LARGE
