"""What an envelope says: DxpMsg and DxpMsgSv of the DXP standard, and bare business documents.

Read only after the schema has passed, so required elements are there. Names are the
standard's own, misspellings included.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from lxml import etree

from swexchange.core import codes
from swexchange.core.canonical import CHINA, DXP, local_time
from swexchange.core.model import BusinessKey, Head
from swexchange.core.parse import refuse
from swexchange.core.rulebook import BarePlaces, Participant

DXP_MSG = f"{{{DXP}}}DxpMsg"
DXP_MSG_SV = f"{{{DXP}}}DxpMsgSv"
DXP_REP = f"{{{DXP}}}DxpRep"
ENVELOPES = frozenset({DXP_MSG, DXP_MSG_SV})
_ADD_INFO = f"{{{DXP}}}AddInfo"
_KEY = f"{{{DXP}}}BizKey/{{{DXP}}}Key"
_DIGITS = (12, 14, 17)  # yyyyMMddHHmm, with seconds, with milliseconds
_MSG_ID, _SUB_MSG_ID, _STA_NODE = f"{{{DXP}}}MsgId", f"{{{DXP}}}SubMsgId", f"{{{DXP}}}StaNode"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The head, the id under which the sender sent it, who must have signed, and the document inside."""

    head: Head
    message_id: str
    signer: str  # participant id; for DxpMsgSv the node id of the sending node
    keys: tuple[BusinessKey, ...]
    payload: bytes | None  # None: the document itself is the business document


def read_dxp(root: etree._Element) -> Envelope:
    """Read a schema-valid DxpMsg or DxpMsgSv. Raises Rejected 4010 for Data that is not base64."""
    if root.tag == DXP_MSG:
        return _read_message(root)
    number, message = root[0], root[1]
    letter = _read_message(message)
    # The parts apart: MsgId 12 is not part 2 of MsgId 1.
    message_id = "/".join(filter(None, (number.findtext(_MSG_ID), number.findtext(_SUB_MSG_ID))))
    return replace(letter, message_id=message_id, signer=number.findtext(_STA_NODE, ""))


def _read_message(message: etree._Element) -> Envelope:
    # The schema has fixed number and order of these children.
    info, data, *rest = message
    message_id, sender, receivers, created, msg_type = info
    head = Head(
        message_id=message_id.text or "",
        sender=sender.text or "",
        receivers=tuple(receiver.text or "" for receiver in receivers),
        created=created.text or "",
        msg_type=msg_type.text or "",
    )
    keys = tuple(_keys(rest[0])) if rest and rest[0].tag == _ADD_INFO else ()
    return Envelope(head, head.message_id, head.sender, keys, _decode(data))


def _keys(add_info: etree._Element) -> Iterator[BusinessKey]:
    for key in add_info.iterfind(_KEY):
        if key.text:
            yield BusinessKey(key.get("name", ""), key.text)


def signed_by(envelope: Envelope, participant: Participant) -> bool:
    """Whether this participant is the one the envelope names as its sender."""
    return envelope.signer in (participant.id, participant.node)


def read_bare(root: etree._Element, places: BarePlaces, type_id: str) -> Envelope:
    """Read a bare business document by the places its type names. Raises Rejected 4012."""
    message_id = _required(root, places.id.name, places.id.value(root), 255)
    sender = _required(root, places.sender.name, places.sender.value(root), 16)
    receivers = tuple(places.receivers.values(root)[:5]) if places.receivers else ()
    said = places.created.value(root) if places.created else ""
    created = _as_xml_time(said) if said else ""
    head = Head(message_id, sender, receivers, created, type_id)
    return Envelope(head, message_id, sender, (), None)


def _as_xml_time(text: str) -> str:
    """A time as CreatTime wants it; unchanged where it is an xs:dateTime already."""
    at = moment(text)
    return local_time(at) if text.isdigit() else text


def _required(root: etree._Element, name: str, value: str, longest: int) -> str:
    if not 1 <= len(value) <= longest:
        said = f"{len(value)} characters" if value else "absent or empty"
        raise refuse(
            codes.MISSING_FIELD, f"{name} is {said}, needs 1-{longest}", path=f"/{etree.QName(root).localname}"
        )
    return value


def loose_message_id(root: etree._Element) -> str:
    """The CopMsgId of an envelope that breaks its schema, so that its receipt can name it; '' where there is none."""
    found = next((e.text or "" for e in root.iter(f"{{{DXP}}}CopMsgId")), "")
    return found if len(found) <= 255 else ""


def _decode(data: etree._Element) -> bytes:
    text = data.text or ""
    with suppress(binascii.Error, ValueError):
        return binascii.a2b_base64(text, strict_mode=True)
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(None, b" \t\r\n"), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise refuse(codes.NOT_BASE64, str(error), path="/DxpMsg/Data", line=data.sourceline or 0) from None


def moment(text: str) -> datetime:
    """The moment of an xs:dateTime, or of 12, 14 or 17 digits; +08:00 unless it has a zone. Raises Rejected 4011."""
    plain = text.strip()
    if plain.isascii() and plain.isdigit() and len(plain) in _DIGITS:
        plain = f"{plain[:8]}T{plain[8:14]}" + (f".{plain[14:]}" if len(plain) > 14 else "")
    try:
        parsed = datetime.fromisoformat(plain)
    except ValueError:
        raise refuse(codes.BAD_TIME, f"{text[:40]!r} is no YYYY-MM-DDThh:mm:ss with an optional zone") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=CHINA)
