"""Parsing behind guards: limits with exact edges, stable codes, and what is let through unchanged."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swexchange.core.decide import decide
from swexchange.core.model import Finding
from swexchange.core.parse import HARMLESS, MAX_DEPTH, Document, parse
from swexchange.errors import Rejected
from tests.world import LIMIT, NOW, declared, delivery, dxp_msg, rulebook, signed


def finding(body: bytes, limit: int = LIMIT) -> Finding:
    with pytest.raises(Rejected) as caught:
        parse(body, limit)
    (only,) = caught.value.findings
    return only


def test_a_parsed_document_keeps_its_bytes() -> None:
    """The document knows the bytes it came from, where the declaration ended, and its root."""
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n<p:a xmlns:p="urn:p">\xe6\xb7\xb1</p:a>\n'
    document = parse(body, LIMIT)
    assert document.body is body
    assert document.body[document.content_start :] == b'\n<p:a xmlns:p="urn:p">\xe6\xb7\xb1</p:a>\n'
    assert (document.name, document.root.text) == ("{urn:p}a", "深")


@pytest.mark.parametrize("body", [b"<a/>", b"  \n<a/>", b'<?xml version="1.0"?><a/>'])
def test_a_document_without_namespace_is_named_plainly(body: bytes) -> None:
    """The name of a root in no namespace is its local name."""
    assert parse(body, LIMIT).name == "a"


def test_the_size_limit_is_exact() -> None:
    """A document of the limit passes, one byte more does not, and the finding says both sizes."""
    body = b"<a>" + b"x" * 93 + b"</a>"
    assert parse(body, 100).root.text == "x" * 93
    over = finding(body, 99)
    assert (over.code, over.detail) == ("4002", "100 bytes, at most 99")


def test_size_is_judged_before_anything_else() -> None:
    """What is too large is not looked at: neither as empty, nor as text, nor as XML."""
    for body in (b" " * 101, b"\xff" * 101, b"<!DOCTYPE a>" + b"x" * 100):
        assert finding(body, 100).code == "4002"


def test_refusing_by_size_costs_nothing() -> None:
    """100 MB over the limit are refused without being read."""
    body = bytes(100 * 1024 * 1024)
    started = time.process_time()
    assert finding(body).code == "4002"
    assert time.process_time() - started < 0.05


def test_the_depth_limit_is_exact() -> None:
    """64 levels pass, 65 do not; in a small document, which cannot do harm, 256 do."""
    assert MAX_DEPTH == 64
    text = b"x" * HARMLESS
    assert parse(b"<a>" * 64 + text + b"</a>" * 64, LIMIT)
    assert finding(b"<a>" * 65 + text + b"</a>" * 65).code == "4006"
    assert finding(b"<p:a xmlns:p='urn:p'>" * 65 + text + b"</p:a>" * 65).code == "4006"
    assert parse(b"<a>" * 255 + b"</a>" * 255, LIMIT)
    assert finding(b"<a>" * 257 + b"</a>" * 257).code == "4006"


def test_a_byte_that_is_not_utf8_is_named_with_its_place() -> None:
    """GBK under a UTF-8 declaration: the finding gives offset and value of the first wrong byte."""
    body = '<?xml version="1.0" encoding="UTF-8"?><a>深</a>'.encode("gbk")
    said = finding(body)
    assert said.code == "4003"
    assert "byte 41 is 0xc9" in said.detail


def test_a_syntax_error_says_its_line() -> None:
    """What is not well-formed is refused with the line that libxml2 names."""
    said = finding(b"<a>\n<b>\n</a>\n")
    assert (said.code, said.line) == ("0001", 3)
    assert said.detail


def test_a_comment_or_instruction_says_its_line() -> None:
    """The line where the first comment stands."""
    assert finding(b"<a>\n<b/>\n<!-- x -->\n</a>") == Finding("4005", line=3)


CUTS = (1, 2, 5, 20, 38, 39, 40, 60, 100, 150, 200, 300, 400)


@pytest.mark.parametrize("left", CUTS)
def test_a_message_cut_short_is_refused(left: int) -> None:
    """Cut anywhere, in the declaration, a tag, a text or a character, a message is not well-formed or not UTF-8."""
    body = declared("深圳-0001", keys={"名称": "值" * 20}).body
    assert finding(body[:left]).code in {"0001", "4003", "4005"}
    assert finding(body[:-left]).code in {"0001", "4003"}


def test_a_message_cut_anywhere_is_refused() -> None:
    """No proper beginning of a signed message passes: at every length."""
    body = declared("深圳-0001").body
    rules = rulebook()
    codes = {decide(delivery(body[:left]), rules, NOW).code for left in range(len(body))}
    assert {"4001", "0001", "4003"} <= codes <= {"4001", "0001", "4003", "4005"}


def test_nothing_of_one_document_is_left_for_the_next() -> None:
    """A refusal does not change what is said of the next document."""
    first = finding(b"<a><b></a>")
    parse(b"<a/>", LIMIT)
    assert finding(b"<a><b></a>") == first


def orders(count: int, rows: int) -> bytes:
    """A CEB311Message of so many orders with so many rows each; only the fields that the schema demands."""
    row = (
        "<OrderList><gnum>1</gnum><itemName>面霜</itemName><gmodel>50g</gmodel><unit>011</unit><qty>1</qty>"
        "<price>1</price><totalPrice>1</totalPrice><currency>142</currency><country>142</country></OrderList>"
    )
    head = "<OrderHead>" + "".join(f"<f{n}>x</f{n}>" for n in range(21)) + "</OrderHead>"
    order = f"<Order>{head}{row * rows}</Order>"
    return f'<CEB311Message xmlns="http://www.chinaport.gov.cn/ceb">{order * count}</CEB311Message>'.encode()


def test_the_longest_list_of_orders_that_the_schema_allows_is_not_too_complex() -> None:
    """100 orders of 99 rows with their required fields are a legal message, below the limit of size."""
    body = orders(100, 99)
    assert len(body) < LIMIT
    assert len(parse(body, LIMIT).root) == 100


def parsed(body: bytes) -> Document | None:
    """The document, or None where it is refused."""
    try:
        return parse(body, LIMIT)
    except Rejected:
        return None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    """Bytes of any kind give a document or one finding, never another exception."""
    parsed(body)


PIECES = st.sampled_from(
    ["<a>", "</a>", "<b/>", "<p:c xmlns:p='u'>", "</p:c>", "x", "&amp;", "&#x31;", "<![CDATA[", "]]>", "<!--", "-->",
     "<?", "?>", "<?xml version='1.0'?>", "<!DOCTYPE a", "[", "]", ">", "<!ENTITY e '1'>", "&e;", " ", "\n", "深", '"']
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(PIECES, max_size=14))
def test_what_is_parsed_holds_nothing_forbidden(pieces: list[str]) -> None:
    """Whatever markup is put together: what passes has no DOCTYPE, comment, instruction or entity in it."""
    document = parsed("".join(pieces).encode())
    if document:
        tree = document.root.getroottree()
        assert not tree.docinfo.doctype
        assert all(isinstance(node.tag, str) for node in tree.iter())
        assert b"&e;" not in document.body


def test_signed_bodies_are_within_reach_of_the_guards() -> None:
    """The guards do not get in the way of a message with a long name in Chinese, tabs and line breaks."""
    body = signed(dxp_msg(b"<a/>", "深圳 " * 60))
    assert parse(body, LIMIT).body == body
