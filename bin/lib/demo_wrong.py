"""The messages of the demo that must be refused, each with its code; and what is sent again.

A refused message reaches nobody; its sender gets a receipt that says why. What is sent again
shows identity: same bytes, same receipt; other bytes under a taken id, a conflict; a refused
message takes no id, so its correction may come under the same one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from demo_cases import (
    AGAIN,
    BROKER,
    CUSTOMS,
    MANIFESTS,
    NOBODY,
    SHIPPING,
    SHOP,
    WRONG,
    Case,
    Desk,
    Original,
    declaration,
    shop_paper,
)
from demo_papers import enveloped, filled, sample, signed

from swexchange.core.keys import SigningKey

_TYPICAL = "dec/4.9.7/DecMessage.valid.minimal-sea-import"
_SCHEMA_TITLE = "against its schema: one of each family"
_DOCTYPE = b'<!DOCTYPE DxpMsg [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n'
_UNKNOWN = b'<WarehouseReceipt xmlns="urn:demo:warehouse"><No>1</No></WarehouseReceipt>'


def wrong(desk: Desk) -> list[Case]:
    """Everything that the exchange must refuse."""
    return [*_against_schema(desk), *_against_signature(desk), *_against_rights(desk), *_against_format(desk)]


def _refused(title: str, code: str, submitter: str, body: bytes, message_id: str = "") -> Case:
    return Case(WRONG, title, submitter, body, code, message_id=message_id)


def _against_schema(desk: Desk) -> Iterator[Case]:
    for sender, receiver, path in (
        (BROKER, CUSTOMS, "dec/4.9.7/DecMessage.invalid.goods-code-nine-digits"),
        (SHIPPING, MANIFESTS, "manifest/1.0/MT5101.invalid.bill-without-container"),
        (SHIPPING, MANIFESTS, "csm/1.0/CSM002.invalid.speed-unknown"),
        (SHOP, MANIFESTS, "ceb/202205/CEB311Message.invalid.without-buyer-telephone"),
    ):
        family, kind = path.partition("/")[0], path.rpartition("/")[2].partition(".")[0]
        name, body = desk.letter(sender, sample(path), (receiver,), "DECMSG" if family == "dec" else kind)
        yield _refused(_SCHEMA_TITLE, "0002", sender, body, name)
    name = desk.numbers.envelope(BROKER)
    letter = filled(_unsigned(desk, name), CreatTime="yesterday")
    yield _refused(_SCHEMA_TITLE, "0002", BROKER, signed(letter, desk.keys[BROKER]), name)


def _against_signature(desk: Desk) -> Iterator[Case]:
    _, _, order = shop_paper(desk, "CEB311Message.valid.minimal")
    yield _refused("an amount changed after signing", "1004", SHOP, filled(order, acturalPaid="1.00"))
    yield _refused("not signed", "4101", BROKER, _unsigned(desk))
    stranger = SigningKey.from_seed(desk.keys[BROKER].id, os.urandom(32))
    yield _refused("signed by a stranger under a known name", "1001", BROKER, signed(_unsigned(desk), stranger))
    other = desk.keys[SHIPPING]
    yield _refused("signed by another participant's key", "4104", SHIPPING, signed(_unsigned(desk), other))
    yield _refused("sent through another's outbox", "4105", SHIPPING, signed(_unsigned(desk), desk.keys[BROKER]))


def _against_rights(desk: Desk) -> Iterator[Case]:
    name, body = desk.letter(BROKER, sample("csm/1.0/CSM002.valid.minimal"), (MANIFESTS,), "CSM002")
    yield _refused("a type its sender may not send", "4106", BROKER, body, name)
    name, body = desk.letter(BROKER, _UNKNOWN, (CUSTOMS,))
    yield _refused("a type nobody knows", "4202", BROKER, body, name)
    nowhere = filled(sample(_TYPICAL), CustomMaster="5145")
    name, body = desk.letter(BROKER, nowhere, (NOBODY,), "DECMSG")
    yield _refused("no receiver exists", "2001", BROKER, body, name)


def _against_format(desk: Desk) -> Iterator[Case]:
    good = signed(_unsigned(desk), desk.keys[BROKER])
    declaration_end = good.index(b"?>") + 3
    with_doctype = good[:declaration_end] + _DOCTYPE + good[declaration_end:]
    name = desk.numbers.envelope(BROKER)
    not_base64 = signed(filled(_unsigned(desk, name), Data="%%%%"), desk.keys[BROKER])
    for title, code, body in (
        ("GBK bytes under a UTF-8 declaration", "4003", sample(_TYPICAL).decode().encode("gbk")),
        ("a byte order mark", "4003", b"\xef\xbb\xbf" + good),
        ("a DOCTYPE with an external entity", "4004", with_doctype),
        ("cut off half way", "0001", good[: len(good) // 2]),
        ("empty", "4001", b""),
    ):
        yield _refused(title, code, BROKER, body)
    yield _refused("Data that is not base64", "4010", BROKER, not_base64, name)


def _unsigned(desk: Desk, name: str = "") -> bytes:
    """A declaration of the broker that would be good, were it signed."""
    document = filled(sample(_TYPICAL), ClientSeqNo=desk.numbers.declaration())
    return enveloped(document, name or desk.numbers.envelope(BROKER), BROKER, (CUSTOMS,), desk.now, "DECMSG")


def sent_again(desk: Desk, accepted: Original, refused: Case) -> list[Case]:
    """What comes under ids that were used before."""
    original = accepted.case
    repeat = Case(AGAIN, "the same bytes again", BROKER, original.body, message_id=original.message_id, repeats=True)
    other = declaration(desk, "other content under a taken id", sample(_TYPICAL), AGAIN, original.message_id).case
    conflict = Case(AGAIN, other.title, BROKER, other.body, "4201", message_id=original.message_id)
    title = "the correction of a refused one, same id"
    corrected = declaration(desk, title, sample(_TYPICAL), AGAIN, refused.message_id).case
    return [repeat, conflict, corrected]
