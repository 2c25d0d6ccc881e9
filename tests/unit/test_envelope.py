"""Reading envelopes: DxpMsg, DxpMsgSv, and business documents that come without one."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta, timezone

import pytest
from lxml import etree

from swexchange.core import canonical, signature
from swexchange.core.decide import decide
from swexchange.core.envelope import Envelope, moment, read_bare, read_dxp, signed_by
from swexchange.core.model import BusinessKey, Head
from swexchange.core.rulebook import BarePlaces, Participant
from swexchange.errors import Rejected
from tests.world import (
    CHINA,
    CREATED,
    CUSTOMS,
    ENTERPRISE,
    NOW,
    PORT,
    PROVINCE,
    PROVINCE_NODE,
    SCHEMAS,
    declaration,
    declared,
    dxp_msg,
    dxp_msg_sv,
    place,
    rulebook,
    signed,
)


def test_a_message_says_who_what_and_to_whom() -> None:
    """Head, id, signer, keys and document of a DxpMsg."""
    body = dxp_msg(b"<a/>", "ID", receivers=(CUSTOMS, PORT), msg_type="", keys={"No": " 1 ", "Bill": "B"})
    assert read_dxp(etree.fromstring(body)) == Envelope(
        head=Head("ID", ENTERPRISE, (CUSTOMS, PORT), CREATED, ""),
        message_id="ID",
        signer=ENTERPRISE,
        keys=(BusinessKey("No", " 1 "), BusinessKey("Bill", "B")),
        payload=b"<a/>",
    )


@pytest.mark.parametrize("keys", [{}, {"No": "1"}, {'"<&>': "]]>\n\t深"}], ids=["none", "one", "odd"])
def test_an_envelope_is_written_in_its_canonical_form(keys: dict[str, str]) -> None:
    """The envelope that the platform itself writes is canonical, and reads as what was put in."""
    head = Head("深 <1>", ENTERPRISE, (CUSTOMS, PORT), CREATED, "")
    added = [BusinessKey(name, value) for name, value in keys.items()]
    written = canonical.dxp_msg(head, b"<a/>", added)
    root = etree.fromstring(written)
    assert signature.canonical(root) == written
    assert read_dxp(root) == Envelope(head, "深 <1>", ENTERPRISE, tuple(added), b"<a/>")


def test_a_signed_message_reads_as_an_unsigned_one() -> None:
    """The signature is no part of what an envelope says, with and without AddInfo before it."""
    for keys in ({}, {"No": "1"}):
        body = dxp_msg(b"<a/>", keys=keys)
        assert read_dxp(etree.fromstring(signed(body))) == read_dxp(etree.fromstring(body))


def test_a_server_message_is_identified_by_its_number() -> None:
    """MsgId and SubMsgId identify a DxpMsgSv, StaNode signs it; head, keys and document are the inner message's."""
    inner = dxp_msg(b"<a/>", "ID", keys={"No": "1"})
    letter = read_dxp(etree.fromstring(dxp_msg_sv(inner, "N" * 32, part="2")))
    assert (letter.message_id, letter.signer) == ("N" * 32 + "/2", PROVINCE_NODE)
    plain = read_dxp(etree.fromstring(inner))
    assert (letter.head, letter.keys, letter.payload) == (plain.head, plain.keys, plain.payload)


def test_a_part_is_not_mistaken_for_a_longer_number() -> None:
    """MsgId `12` whole and part 2 of MsgId `1` are two messages: their ids differ."""
    whole = read_dxp(etree.fromstring(dxp_msg_sv(dxp_msg(b"<a/>"), "12")))
    part = read_dxp(etree.fromstring(dxp_msg_sv(dxp_msg(b"<a/>"), "1", part="2")))
    assert whole.message_id != part.message_id


SAMPLES = sorted((SCHEMAS / "dxp/202205/samples").glob("DxpMsg*.valid.*.xml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_the_samples_of_the_standard_are_read(sample: object) -> None:
    """Each valid sample gives a head with an id, a sender, receivers and a document."""
    letter = read_dxp(etree.parse(str(sample)).getroot())
    assert letter.message_id
    assert letter.head.sender
    assert letter.head.receivers
    assert letter.payload


def test_samples_are_there() -> None:
    """The standard's samples are found where they are expected."""
    assert len(SAMPLES) >= 7


ENCODED = base64.b64encode(declaration()).decode()
ROWS = [ENCODED[at : at + 76] for at in range(0, len(ENCODED), 76)]
DATA = {
    "one line": (ENCODED, "0000"),
    "lines": ("\n".join(ROWS), "0000"),
    "lines of Windows": ("&#xD;\n".join(ROWS), "0000"),
    "blanks around": (f" \t{ENCODED}\n ", "0000"),
    "nothing": ("", "4001"),
    "blanks only": (" \n", "4001"),
    "one character": ("A", "0002"),
    "padding only": ("====", "0002"),
    "cut by one": (ENCODED[:-1], "0002"),
    "cut by two": (ENCODED[:-2], "0002"),
    "cut by three": (ENCODED[:-3], "0002"),
    "no padding": (ENCODED.rstrip("="), "0002"),
    "more padding": (ENCODED + "=", "0002"),
    "more after padding": (ENCODED + "AAAA", "0002"),
    "padding first": ("=" + ENCODED, "0002"),
    "loose bits": ("PGEvPh==", "0002"),
    "url alphabet": (ENCODED.replace("+", "-").replace("/", "_"), "0002"),
    "percent encoded": (ENCODED.replace("=", "%3D"), "0002"),
    "as a data url": ("data:text/xml;base64," + ENCODED, "0002"),
    "with a header": ("-----BEGIN-----\n" + ENCODED, "0002"),
    "in quotes": (f'"{ENCODED}"', "4010"),
    "comma inside": (ENCODED[:8] + "," + ENCODED[8:], "4010"),
    "asterisk inside": (ENCODED[:8] + "*" + ENCODED[8:], "4010"),
    "asterisk in place": (ENCODED[:8] + "*" + ENCODED[9:], "0002"),
    "no-break space": (ENCODED[:8] + "\xa0" + ENCODED[8:], "4010"),
    "ideographic space": (ENCODED[:8] + "\u3000" + ENCODED[8:], "4010"),
    "next line": (ENCODED[:8] + "\x85" + ENCODED[8:], "4010"),
    "line separator": (ENCODED[:8] + "\u2028" + ENCODED[8:], "4010"),
    "zero width space": (ENCODED[:8] + "\u200b" + ENCODED[8:], "4010"),
    "full width letter": (ENCODED[:8] + "\uff21" + ENCODED[9:], "0002"),
    "element inside": (ENCODED[:8] + "<x></x>" + ENCODED[8:], "0002"),
    "encoded twice": (base64.b64encode(ENCODED.encode()).decode(), "0001"),
    "the document itself": ("&lt;a/&gt;", "0002"),
}


@pytest.mark.parametrize(("data", "code"), DATA.values(), ids=DATA)
def test_data_is_base64_and_nothing_else(data: str, code: str) -> None:
    """White space of XML may stand anywhere in Data; any other character beside the alphabet is refused.

    The schema refuses some of them (0002); what libxml2 skips is refused when it is decoded (4010).
    """
    decision = decide(declared(data=data), rulebook(), NOW)
    assert decision.code in ({code, "0002"} if code == "4010" else {code})
    if code == "0000":
        assert decision.type == "DecMessage"


def participant(node: str = "") -> Participant:
    return Participant(PROVINCE, "省平台", "province", node=node)


def envelope_of(signer: str) -> Envelope:
    return Envelope(Head("ID", signer, (CUSTOMS,), CREATED, ""), "ID", signer, (), b"")


@pytest.mark.parametrize(
    ("signer", "node", "right"),
    [
        (PROVINCE, "", True),
        (PROVINCE, PROVINCE_NODE, True),
        (PROVINCE_NODE, PROVINCE_NODE, True),
        (PROVINCE_NODE, "", False),
        (ENTERPRISE, PROVINCE_NODE, False),
        (PROVINCE.lower(), "", False),
        (PROVINCE + " ", "", False),
        (" " + PROVINCE, "", False),
    ],
)
def test_a_participant_signs_as_itself_or_as_its_node(signer: str, node: str, right: bool) -> None:
    """By its id or by its node id, letter for letter."""
    assert signed_by(envelope_of(signer), participant(node)) is right


BARE = BarePlaces(
    id=place("id", "@guid"), sender=place("sender", "From"), receivers=place("to", "To"), created=place("at", "At")
)


def bare(xml: str) -> Envelope:
    return read_bare(etree.fromstring(xml), BARE, "TYPE")


def test_a_bare_document_is_read_by_its_places() -> None:
    """Values are stripped; the type's name stands for MsgType; the document itself is the business document."""
    letter = bare("<d guid=' G '><From> S\n</From><To>A</To><To> B </To><At>2026-03-02T00:00:00</At></d>")
    assert letter == Envelope(Head("G", "S", ("A", "B"), "2026-03-02T00:00:00", "TYPE"), "G", "S", (), None)


def test_a_bare_document_may_leave_out_receivers_and_time() -> None:
    """Where the type names no place, or the place is empty, there is no value."""
    assert bare("<d guid='G'><From>S</From><To/></d>").head == Head("G", "S", (), "", "TYPE")
    places = BarePlaces(id=BARE.id, sender=BARE.sender)
    head = read_bare(etree.fromstring("<d guid='G'><From>S</From><To>A</To></d>"), places, "TYPE").head
    assert (head.receivers, head.created) == ((), "")


def test_at_most_five_receivers_are_read() -> None:
    """As many as an envelope may name."""
    assert bare("<d guid='G'><From>S</From>" + "<To>R</To>" * 9 + "</d>").head.receivers == ("R",) * 5


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("<d><From>S</From></d>", "id is absent"),
        ("<d guid=' '><From>S</From></d>", "id is absent"),
        ("<d guid='G'/>", "sender is absent"),
        ("<d guid='G'><From> </From></d>", "sender is absent"),
        (f"<d guid='{'g' * 256}'><From>S</From></d>", "id is 256 characters"),
        (f"<d guid='G'><From>{'s' * 17}</From></d>", "sender is 17 characters"),
    ],
)
def test_a_bare_document_must_identify_itself(xml: str, said: str) -> None:
    """An id of 1 to 255 characters and a sender of 1 to 16, or 4012 that names what is missing."""
    with pytest.raises(Rejected) as caught:
        bare(xml)
    (finding,) = caught.value.findings
    assert (finding.code, finding.path) == ("4012", "/d")
    assert finding.detail.startswith(said)


def test_lengths_count_characters() -> None:
    """255 characters of Chinese are as long as 255 letters."""
    assert bare(f"<d guid='{'深' * 255}'><From>{'圳' * 16}</From></d>").message_id == "深" * 255


EAST = timezone(timedelta(hours=8))
MOMENTS = {
    "2026-03-02T09:29:58+08:00": datetime(2026, 3, 2, 9, 29, 58, tzinfo=EAST),
    "2026-03-02T09:29:58": datetime(2026, 3, 2, 9, 29, 58, tzinfo=EAST),
    "2026-03-02T01:29:58Z": datetime(2026, 3, 2, 9, 29, 58, tzinfo=EAST),
    " 2026-03-02T09:29:58\n": datetime(2026, 3, 2, 9, 29, 58, tzinfo=EAST),
    "2026-03-02T09:29:58.5": datetime(2026, 3, 2, 9, 29, 58, 500000, tzinfo=EAST),
    "2026-03-02T00:29:58-01:00": datetime(2026, 3, 2, 9, 29, 58, tzinfo=EAST),
    "202603020929": datetime(2026, 3, 2, 9, 29, tzinfo=EAST),
    "20260302092958": datetime(2026, 3, 2, 9, 29, 58, tzinfo=EAST),
    "20260302092958123": datetime(2026, 3, 2, 9, 29, 58, 123000, tzinfo=EAST),
    "0001-01-01T00:00:00+14:00": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    "9999-12-31T23:59:59-14:00": datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-14))),
}


@pytest.mark.parametrize(("text", "expected"), MOMENTS.items())
def test_a_time_without_a_zone_is_the_local_one(text: str, expected: datetime) -> None:
    """The moment that an xs:dateTime means; +08:00 where it names no zone."""
    assert moment(text) == expected
    assert moment(text).tzinfo is not None
    assert moment(text) - NOW.astimezone(CHINA)  # any two can be compared


@pytest.mark.parametrize(
    "text",
    ["", " ", "yesterday", "202603", "202603020929581", "20269902092958", "2026-02-29T00:00:00", "2026-03-02T25:00:00",
     "\uff12026-03-02T00:00:00", "12026-03-02T00:00:00", "-2026-03-02T00:00:00", "x" * 10_000],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_its_text(text: str) -> None:
    """4011, with the text as it came, cut short."""
    with pytest.raises(Rejected) as caught:
        moment(text)
    (finding,) = caught.value.findings
    assert finding.code == "4011"
    assert repr(text[:40]) in finding.detail
    assert len(finding.detail) < 200
