"""What was signed is what came, byte for byte; the few tolerances are named here and nowhere else.

Tolerances: the XML declaration is absent, or one of a few usual forms, with or without a line
break after it; one line break may follow the document; `<a/>` may stand for `<a></a>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swexchange.core.decide import decide
from swexchange.core.model import Decision, Outcome
from swexchange.core.parse import parse
from swexchange.core.signature import seal, verify
from swexchange.errors import Rejected
from tests.world import (
    ENTERPRISE,
    LIMIT,
    NOW,
    PROVINCE,
    dec_result,
    declaration,
    delivery,
    dxp_msg,
    dxp_msg_sv,
    inventory,
    keys_of,
    registered,
    rulebook,
    signed,
    signing_key,
)

RULES = rulebook()
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
SMALL = signed(dxp_msg(dec_result(), "编号-1", msg_type="", keys={"RetType": "R&D"}))
ALPHABET = b"\r\n <A"


def tolerated(body: bytes) -> set[bytes]:
    """The bytes that may come in place of a signed document, other than by `<a/>`."""
    wire = body.removeprefix(DECLARATION)
    beginnings = {b""}
    for encoding, standalone, end in product(
        (b"", b' encoding="UTF-8"', b' encoding="utf-8"'),
        (b"", b' standalone="yes"', b' standalone="no"'),
        (b"", b"\n", b"\r\n"),
    ):
        beginnings.add(b'<?xml version="1.0"' + encoding + standalone + b"?>" + end)
    return {beginning + wire + end for beginning in beginnings for end in (b"", b"\n")}


def passes(body: bytes) -> Decision | None:
    decision = decide(delivery(body), RULES, NOW)
    return None if decision.outcome is Outcome.REJECTED else decision


def mutants(body: bytes) -> Iterator[bytes]:
    """Every document that one deleted, inserted or substituted byte makes of this one, over a small alphabet."""
    for at in range(len(body) + 1):
        before, after = body[:at], body[at + 1 :]
        yield from (before + bytes((byte,)) + body[at:] for byte in ALPHABET)
        if at < len(body):
            yield before + after
            yield before + bytes((body[at] ^ 1,)) + after
            yield before + bytes((body[at] ^ 32,)) + after
            yield from (before + bytes((byte,)) + after for byte in b" <")


def test_every_single_change_to_a_signed_message_is_refused() -> None:
    """At every position a byte is deleted, inserted and substituted: only the named tolerances pass."""
    allowed = tolerated(SMALL)
    assert passes(SMALL)
    passed = {mutant for mutant in mutants(SMALL) if mutant != SMALL and passes(mutant)}
    assert passed <= allowed
    assert passed == {
        SMALL + b"\n",
        SMALL.replace(DECLARATION, DECLARATION.removesuffix(b"\n")),
        SMALL.replace(DECLARATION, DECLARATION.replace(b"\n", b"\r\n")),
    }


@settings(max_examples=400, deadline=None)
@given(at=st.integers(0, len(SMALL)), byte=st.binary(min_size=0, max_size=3), cut=st.integers(0, 3))
@example(at=len(SMALL), byte=b"\r\n", cut=0)
@example(at=len(SMALL), byte=b"\n\n", cut=0)
@example(at=len(SMALL), byte=b" ", cut=0)
@example(at=0, byte=b"\n", cut=0)
def test_small_splices_of_a_signed_message_are_refused(at: int, byte: bytes, cut: int) -> None:
    """Up to three bytes replaced by up to three others anywhere: refused, or one of the tolerances."""
    spliced = SMALL[:at] + byte + SMALL[at + cut :]
    assert spliced == SMALL or not passes(spliced) or spliced in tolerated(SMALL)


@pytest.mark.parametrize("form", sorted(tolerated(SMALL)), ids=lambda form: repr(form[:60]))
def test_each_tolerated_form_passes_and_reads_the_same(form: bytes) -> None:
    """The tolerances hold, and none changes what the message says."""
    first, other = passes(SMALL), passes(form)
    assert first is not None
    assert other is not None
    assert (other.head, other.type, other.keys) == (first.head, first.type, first.keys)


OTHER_BEGINNINGS = {
    "version 1.1": b'<?xml version="1.1" encoding="UTF-8"?>\n',
    "single quotes": b"<?xml version='1.0' encoding='UTF-8'?>\n",
    "mixed case": b'<?xml version="1.0" encoding="Utf-8"?>\n',
    "two blanks": b'<?xml  version="1.0" encoding="UTF-8"?>\n',
    "blank at its end": b'<?xml version="1.0" encoding="UTF-8" ?>\n',
    "blank line after": DECLARATION + b"\n",
    "blank before": b" " + DECLARATION,
    "line break alone": b"\n",
    "carriage return": b'<?xml version="1.0" encoding="UTF-8"?>\r',
    "twice": DECLARATION + DECLARATION,
    "gbk": b'<?xml version="1.0" encoding="GBK"?>\n',
    "byte order mark": b"\xef\xbb\xbf" + DECLARATION,
    "doctype": DECLARATION + b"<!DOCTYPE DxpMsg>",
    "comment": DECLARATION + b"<!-- -->",
    "stylesheet": DECLARATION + b'<?xml-stylesheet href="x"?>',
}


@pytest.mark.parametrize("beginning", OTHER_BEGINNINGS.values(), ids=OTHER_BEGINNINGS)
def test_other_beginnings_are_refused(beginning: bytes) -> None:
    """Anything else before the root is refused."""
    assert not passes(beginning + SMALL.removeprefix(DECLARATION))


@pytest.mark.parametrize("end", [b"\r\n", b"\n\n", b" ", b"\t", b"\n ", b"<!-- -->", b"<?p?>", b"\x00", b"x", b"<a/>"])
def test_other_endings_are_refused(end: bytes) -> None:
    """Anything but one line break after the root is refused."""
    assert not passes(SMALL + end)


ONE_OF_EACH = {
    "envelope": (SMALL, ENTERPRISE),
    "declaration": (signed(dxp_msg(declaration())), ENTERPRISE),
    "bare": (signed(inventory()), ENTERPRISE),
    "server": (signed(dxp_msg_sv(dxp_msg(declaration())), PROVINCE), PROVINCE),
}
EMPTY = re.compile(rb"<([A-Za-z:]+)([^<>]*)></\1>")


@pytest.mark.parametrize(("body", "sender"), ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_empty_tags_may_be_short(body: bytes, sender: str) -> None:
    """`<a/>` for `<a></a>` is tolerated: in one place, in all, in the signature too."""
    assert len(EMPTY.findall(body)) >= 5
    once, everywhere = EMPTY.sub(rb"<\1\2/>", body, count=1), EMPTY.sub(rb"<\1\2/>", body)
    for form in (once, everywhere, everywhere + b"\n", everywhere.removeprefix(DECLARATION)):
        assert decide(delivery(form, sender), RULES, NOW).outcome is not Outcome.REJECTED


@pytest.mark.parametrize("blank", [b" />", b"\n/>", b"/ >", b"></ ", b">\n</"])
def test_blanks_in_or_around_short_tags_are_refused(blank: bytes) -> None:
    """White space at the end of a tag is none of the tolerances."""
    body = dxp_msg(dec_result(), msg_type="")
    assert not passes(
        signed(body).replace(b"<MsgType></MsgType>", b"<MsgType" + blank.replace(b"></ ", b"></MsgType >"))
    )


KEYED = keys_of(registered(ENTERPRISE))


def sealed(content: str, attributes: str = "") -> bytes:
    """A tiny signed document with this content, canonical as given."""
    return seal(f"<r{attributes}>{content}</r>".encode(), signing_key(ENTERPRISE))


SAME_TO_A_PARSER: dict[str, tuple[str, str]] = {
    "comment in a value": ("<a>10000</a>", "<a>100<!-- x -->00</a>"),
    "comment beside": ("<a></a>", "<!-- x --><a></a>"),
    "instruction in a value": ("<a>10000</a>", "<a>100<?x?>00</a>"),
    "cdata": ("<a>100</a>", "<a><![CDATA[100]]></a>"),
    "part in cdata": ("<a>100</a>", "<a>1<![CDATA[00]]></a>"),
    "empty cdata": ("<a>100</a>", "<a>100<![CDATA[]]></a>"),
    "decimal reference": ("<a>100</a>", "<a>&#49;00</a>"),
    "hexadecimal reference": ("<a>100</a>", "<a>&#x31;00</a>"),
    "lower case hexadecimal": ("<a>&#xD;</a>", "<a>&#xd;</a>"),
    "decimal carriage return": ("<a>&#xD;</a>", "<a>&#13;</a>"),
    "raw greater than": ("<a>&gt;</a>", "<a>></a>"),
    "reference for greater than": ("<a>&gt;</a>", "<a>&#62;</a>"),
    "apostrophe entity": ("<a>'</a>", "<a>&apos;</a>"),
    "quote entity in text": ('<a>"</a>', "<a>&quot;</a>"),
    "carriage return for line break": ("<a>\n</a>", "<a>\r\n</a>"),
    "lone carriage return": ("<a>\n</a>", "<a>\r</a>"),
    "single quoted attribute": ('<a b="1"></a>', "<a b='1'></a>"),
    "reference in attribute": ('<a b="1"></a>', '<a b="&#49;"></a>'),
    "line break in attribute": ('<a b="1 2"></a>', '<a b="1\n2"></a>'),
    "greater than in attribute": ('<a b=">"></a>', '<a b="&gt;"></a>'),
    "order of attributes": ('<a b="1" c="2"></a>', '<a c="2" b="1"></a>'),
    "blank before equals": ('<a b="1"></a>', '<a b ="1"></a>'),
    "blank after equals": ('<a b="1"></a>', '<a b= "1"></a>'),
    "two blanks in a tag": ('<a b="1"></a>', '<a  b="1"></a>'),
    "line break in a tag": ('<a b="1"></a>', '<a\nb="1"></a>'),
    "blank at the end of a tag": ("<a></a>", "<a ></a>"),
    "blank in an end tag": ("<a></a>", "<a></a >"),
    "unused namespace": ("<a></a>", '<a xmlns:x="urn:x"></a>'),
    "namespace declared again": ('<p:a xmlns:p="urn:p"></p:a>', '<p:a xmlns:p="urn:p" xmlns:p2="urn:p"></p:a>'),
    "empty default namespace": ("<a></a>", '<a xmlns=""></a>'),
    "other prefix": ('<p:a xmlns:p="urn:p"></p:a>', '<q:a xmlns:q="urn:p"></q:a>'),
    "prefix for default": ('<a xmlns="urn:p"></a>', '<p:a xmlns:p="urn:p"></p:a>'),
}


@pytest.mark.parametrize(("canonical", "other"), SAME_TO_A_PARSER.values(), ids=SAME_TO_A_PARSER)
def test_one_way_to_write_a_document(canonical: str, other: str) -> None:
    """What many parsers read alike is refused unless it is the canonical form: another parser may read it otherwise."""
    good = sealed(canonical)
    assert verify(parse(good, LIMIT), KEYED).id == registered(ENTERPRISE).id
    bad = good.replace(canonical.encode(), other.encode())
    assert bad != good
    with pytest.raises(Rejected, match=r"^(4005|4008|1004)"):
        verify(parse(bad, LIMIT), KEYED)


def test_entities_do_not_reach_a_value() -> None:
    """A declared entity needs a DOCTYPE, an undeclared one is not well-formed."""
    good = sealed("<a>100</a>")
    with pytest.raises(Rejected, match=r"^0001"):
        parse(good.replace(b"<a>100</a>", b"<a>&hundred;</a>"), LIMIT)
    with pytest.raises(Rejected, match=r"^4004"):
        parse(b'<!DOCTYPE r [<!ENTITY hundred "100">]>' + good.replace(b"<a>100</a>", b"<a>&hundred;</a>"), LIMIT)


def test_namespaces_of_the_signature_must_stand_on_it() -> None:
    """Prefix ds declared on the root instead of the Signature: not the canonical form."""
    good = sealed("<a></a>")
    moved = b' xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
    bad = good.replace(moved, b"", 1).replace(b"<r>", b"<r" + moved + b">")
    with pytest.raises(Rejected, match=r"^4008"):
        verify(parse(bad, LIMIT), KEYED)


def test_a_refusal_for_form_says_where_the_bytes_differ() -> None:
    """The finding of 4008 names the place and shows both forms."""
    with pytest.raises(Rejected) as caught:
        verify(parse(sealed('<a b="1"></a>').replace(b'b="1"', b"b='1'"), LIMIT), KEYED)
    (finding,) = caught.value.findings
    assert "after 8 bytes" in finding.detail
    assert """b='1'""" in finding.detail.replace("\\", "")
    assert '''b="1"''' in finding.detail
