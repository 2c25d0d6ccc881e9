"""A small Single Window in memory: participants, keys, types on the real schemas, signed messages.

For tests of anything that decides. The rules are built by hand, without routes.yaml, and the
schemas are compiled by libxml2 alone, so a world costs nothing to make. Times are fixed: `NOW`
is when messages arrive, `CREATED` is what they say of themselves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from swexchange.core.keys import Key, SigningKey
from swexchange.core.model import Decision, Delivery, Finding, Kind
from swexchange.core.parse import parse
from swexchange.core.rulebook import (
    BarePlaces,
    Check,
    Condition,
    Edition,
    MessageType,
    Participant,
    Place,
    Platform,
    Route,
    Rulebook,
)
from swexchange.core.rules_manifest import manifest
from swexchange.core.signature import sign, verify

SCHEMAS = Path(__file__).parent.parent / "schemas"
LIMIT = 8 * 1024 * 1024

PLATFORM, NODE = "DXPESW0000004403", "SZSW4403"
ENTERPRISE, RIVAL = "DXPENT0000012345", "DXPENT0000023456"
CUSTOMS, PORT = "DXPEDCDEC0000001", "PORT4403YICT0001"
PROVINCE, PROVINCE_NODE = "DXPGDP4400000001", "GDSW4400"

CHINA = timezone(timedelta(hours=8))
NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)  # 09:30 on the spot
CREATED = "2026-03-02T09:29:58+08:00"
ALWAYS = datetime(2020, 1, 1, tzinfo=CHINA)

DXP = "http://www.chinaport.gov.cn/dxp"
NAMESPACES = {"dec": "http://www.chinaport.gov.cn/dec", "ceb": "http://www.chinaport.gov.cn/ceb"}


# -- rules


@cache
def check(document: str) -> Check:
    """A schema below schemas/, as an Edition wants it."""
    schema = etree.XMLSchema(etree.parse(SCHEMAS / document))

    def findings(tree: etree._ElementTree, cap: int) -> tuple[Finding, ...]:
        if schema.validate(tree):
            return ()
        return tuple(Finding("0002", e.message, e.path or "", e.line) for e in schema.error_log)[:cap]

    return findings


def edition(document: str, valid_from: datetime = ALWAYS, valid_to: datetime | None = None) -> Edition:
    """One edition, in force from the beginning unless told otherwise."""
    return Edition(document.rpartition("/")[0], check(document), valid_from, valid_to)


@cache
def schemas() -> Mapping[str, bytes]:
    """The documents that the rules of this world use, by their paths below schemas/."""
    folders = "dxp/202205", "dec/4.9.7", "ceb/202205", "xmldsig/1.1"
    return {
        path.relative_to(SCHEMAS).as_posix(): path.read_bytes()
        for name in folders
        for path in (SCHEMAS / name).glob("*.xsd")
    }


def place(name: str, xpath: str) -> Place:
    """A place named by an XPath with the prefixes dec: and ceb:."""
    return Place(name, xpath, etree.XPath(xpath, namespaces=NAMESPACES, smart_strings=False))


def places(**xpaths: str) -> tuple[Place, ...]:
    """Places by name."""
    return tuple(place(name, xpath) for name, xpath in xpaths.items())


def condition(field: str, *texts: str) -> Condition:
    """A condition as routes.yaml writes it: a text that ends in `*` is a prefix."""
    exact = frozenset(text for text in texts if not text.endswith("*"))
    return Condition(field, exact, tuple(text[:-1] for text in texts if text.endswith("*")))


def signing_key(participant: str, number: int = 1) -> SigningKey:
    """The private key of a participant; always the same for the same name and number."""
    seed = hashlib.sha256(f"{participant}/{number}".encode()).digest()
    return SigningKey.from_seed(f"{participant}-{number}", seed)


def registered(participant: str, number: int = 1, **changes: Any) -> Key:
    """The public half of a participant's key, as the registry holds it."""
    key = signing_key(participant, number)
    return replace(Key(key.id, participant, key.public, ALWAYS), **changes)


def keys_of(*keys: Key) -> dict[str, Key]:
    """A registry of these keys."""
    return {key.id: key for key in keys}


@cache
def message_types() -> Mapping[str, MessageType]:
    """A declaration, its first answer, its later answers, and a list that comes without an envelope."""
    declaration = MessageType(
        id="DecMessage",
        root="{http://www.chinaport.gov.cn/dec}DecMessage",
        editions=(
            edition("dec/4.9.7/DecMessage.xsd", datetime(2026, 1, 1, tzinfo=CHINA)),
            edition("dec/4.8/DecMessage.xsd", ALWAYS, datetime(2026, 7, 1, tzinfo=CHINA)),
        ),
        msg_types=frozenset({"DECMSG"}),
        keys=places(ClientSeqNo="dec:DecSign/dec:ClientSeqNo", BillNo="dec:DecHead/dec:BillNo"),
        fields=places(CustomMaster="dec:DecHead/dec:CustomMaster", IEFlag="dec:DecHead/dec:IEFlag"),
    )
    first_answer = MessageType(
        id="DecImportResponse",
        root="{http://www.chinaport.gov.cn/dec}DecImportResponse",
        editions=(edition("dec/4.9.7/DecImportResponse.xsd"),),
        keys=places(ClientSeqNo="dec:ClientSeqNo", SeqNo="dec:SeqNo"),
        answers=places(ClientSeqNo="dec:ClientSeqNo"),
    )
    result = MessageType(
        id="DEC_RESULT",
        root="DEC_RESULT",
        editions=(edition("dec/4.9.7/DEC_RESULT.xsd"),),
        keys=places(SeqNo="CUS_CIQ_NO", EntryId="ENTRY_ID"),
        answers=places(SeqNo="CUS_CIQ_NO"),
    )
    inventory = MessageType(
        id="CEB621Message",
        root="{http://www.chinaport.gov.cn/ceb}CEB621Message",
        editions=(edition("ceb/202205/CEB621Message.xsd"),),
        bare=BarePlaces(id=place("id", "@guid"), sender=place("sender", "ceb:BaseTransfer/ceb:dxpId")),
        keys=places(OrderNo="ceb:Inventory/ceb:InventoryHead/ceb:orderNo"),
    )
    return {kind.root: kind for kind in (declaration, first_answer, result, inventory)}


ROUTES = (
    Route("shekou", 1, (CUSTOMS,), (condition("type", "DecMessage"), condition("CustomMaster", "53*"))),
    Route("answers", 2, ("asker",), (condition("type", "DecImportResponse", "DEC_RESULT"),)),
    Route("named", 3, ("receivers",), (condition("type", "DecMessage"),)),
    Route("province", 4, (PROVINCE,)),
)


def participants() -> dict[str, Participant]:
    """Two integrators, two agencies, the province; all may send everything to everyone."""
    kinds = {ENTERPRISE: "integrator", RIVAL: "integrator", CUSTOMS: "agency", PORT: "agency"}
    found = {id_: Participant(id_, f"参与方 {id_}", kind) for id_, kind in kinds.items()}
    return found | {PROVINCE: Participant(PROVINCE, "省平台", "province", node=PROVINCE_NODE)}


def rulebook(**changes: Any) -> Rulebook:
    """The rules of this world, with any of their parts changed."""
    everyone = participants()
    rules = Rulebook(
        manifest=manifest(b"world", schemas()),
        platform=Platform(PLATFORM, NODE, signing_key(PLATFORM)),
        participants=everyone,
        keys=keys_of(*(registered(id_) for id_ in (PLATFORM, *everyone))),
        envelopes=(edition("dxp/202205/DxpMsgSv.xsd"),),
        types=message_types(),
        routes=ROUTES,
    )
    return replace(rules, **changes)


def permitting(participant: str, **changes: Any) -> Rulebook:
    """The rules of this world with one participant's permissions changed."""
    everyone = participants()
    return rulebook(participants=everyone | {participant: replace(everyone[participant], **changes)})


# -- business documents


def declaration(number: str = "NHW20260302-0001", *, customs: str = "5304", bill: str = "MAEU240915537") -> bytes:
    """A DecMessage; the number is the declarant's own (ClientSeqNo)."""
    return (
        '<DecMessage xmlns="http://www.chinaport.gov.cn/dec" Version="4.9.7"><DecHead><IEFlag>I</IEFlag><Type>ZC</Type>'
        f"<AgentCode>4403980123</AgentCode><AgentName>深圳市南海湾报关有限公司</AgentName><BillNo>{escape(bill)}</BillNo>"
        f"<CustomMaster>{customs}</CustomMaster><GrossWet>24150</GrossWet><IEPort>5304</IEPort>"
        "<OwnerName>深圳市启桥塑胶原料有限公司</OwnerName><TradeCode>4403965540</TradeCode><TradeMode>0110</TradeMode>"
        "<TradeName>深圳市启桥塑胶原料有限公司</TradeName><TrafMode>2</TrafMode><TrafName>UN9778791</TrafName>"
        "<EdiId>1</EdiId><CopName>深圳市南海湾报关有限公司</CopName><CopCode>4403980123</CopCode>"
        "<EntryType>M</EntryType><DeclTrnRel>0</DeclTrnRel></DecHead><DecLists><DecList><CodeTS>3902100090</CodeTS>"
        "<GName>聚丙烯粒子</GName><GNo>1</GNo><OriginCountry>KOR</OriginCountry><TradeCurr>USD</TradeCurr>"
        "<DeclTotal>25200</DeclTotal><GQty>24000</GQty><GUnit>035</GUnit><DestinationCountry>CHN</DestinationCountry>"
        "</DecList></DecLists><DecSign><OperType>C</OperType>"
        f"<ClientSeqNo>{escape(number)}</ClientSeqNo></DecSign></DecMessage>"
    ).encode()


def import_response(number: str = "NHW20260302-0001", seq_no: str = "I20260000411027384") -> bytes:
    """A DecImportResponse: the agency's first answer to the declaration of this number."""
    return (
        '<DecImportResponse xmlns="http://www.chinaport.gov.cn/dec"><ResponseCode>0</ResponseCode>'
        f"<ErrorMessage>导入成功</ErrorMessage><ClientSeqNo>{escape(number)}</ClientSeqNo><SeqNo>{seq_no}</SeqNo>"
        "<TrnPreId></TrnPreId></DecImportResponse>"
    ).encode()


def dec_result(seq_no: str = "I20260000411027384", channel: str = "P") -> bytes:
    """A DEC_RESULT: a later answer, joined by the number that the first one gave."""
    return (
        f"<DEC_RESULT><CUS_CIQ_NO>{seq_no}</CUS_CIQ_NO><NOTICE_DATE>2026-03-02T10:00:00</NOTICE_DATE>"
        f"<CHANNEL>{channel}</CHANNEL></DEC_RESULT>"
    ).encode()


def inventory(sender: str = ENTERPRISE, guid: str = "2B7E91D4-08AC-4C63-8F15-66C8013F9E31") -> bytes:
    """A CEB621Message, which may come without an envelope; `signed` replaces its placeholder signature."""
    sample = (SCHEMAS / "ceb/202205/samples/CEB621Message.valid.minimal.xml").read_text("utf-8")
    return sample.replace("2B7E91D4-08AC-4C63-8F15-66C8013F9E31", guid).replace("DXPENT0000030027", sender).encode()


# -- envelopes, signatures, deliveries


def dxp_msg(
    document: bytes,
    message_id: str = "MSG-0001",
    *,
    sender: str = ENTERPRISE,
    receivers: Sequence[str] = (CUSTOMS,),
    created: str = CREATED,
    msg_type: str = "DECMSG",
    keys: Mapping[str, str] | None = None,
    data: str | None = None,
) -> bytes:
    """A business document in an unsigned DxpMsg; `data` stands in place of the document's base64."""
    named = "".join(f"<ReceiverId>{escape(receiver)}</ReceiverId>" for receiver in receivers)
    rows = "".join(f"<Key name={quoteattr(name)}>{escape(value)}</Key>" for name, value in (keys or {}).items())
    return (
        f'<DxpMsg xmlns="{DXP}" ver="1.0"><TransInfo><CopMsgId>{escape(message_id)}</CopMsgId>'
        f"<SenderId>{escape(sender)}</SenderId><ReceiverIds>{named}</ReceiverIds><CreatTime>{created}</CreatTime>"
        f"<MsgType>{escape(msg_type)}</MsgType></TransInfo>"
        f"<Data>{base64.b64encode(document).decode() if data is None else data}</Data>"
        + (f"<AddInfo><BizKey>{rows}</BizKey></AddInfo>" if rows else "")
        + "</DxpMsg>"
    ).encode()


def dxp_msg_sv(
    message: bytes,
    message_id: str = "GDSW4400202603020930000000000001",
    *,
    part: str = "",
    node: str = PROVINCE_NODE,
    end: str = NODE,
) -> bytes:
    """A DxpMsg as one transport node hands it to another, unsigned."""
    sub = f"<SubMsgId>{part}</SubMsgId>" if part else ""
    return (
        (
            f'<DxpMsgSv xmlns="{DXP}" ver="1.0"><SvNo Ver="1.0"><MsgId>{message_id}</MsgId>{sub}'
            f"<SendTime>{CREATED}</SendTime><EndNode>{end}</EndNode><StaNode>{node}</StaNode></SvNo>"
        ).encode()
        + message
        + b"</DxpMsgSv>"
    )


def signed(document: bytes, by: str | SigningKey = ENTERPRISE) -> bytes:
    """The document as it goes over the wire, signed by a participant's first key or by the key given."""
    key = signing_key(by) if isinstance(by, str) else by
    return sign(parse(document, LIMIT), key)


def delivery(body: bytes, submitter: str = ENTERPRISE, tag: int = 1) -> Delivery:
    """The bytes as they come out of a participant's exchange."""
    return Delivery(tag, submitter, body)


def declared(message_id: str = "MSG-0001", **changes: Any) -> Delivery:
    """A good signed declaration of the enterprise; changes go to `dxp_msg`."""
    return delivery(signed(dxp_msg(declaration(), message_id, **changes)))


def answered(document: bytes, message_id: str = "ANS-0001", *, by: str = CUSTOMS, to: str = ENTERPRISE) -> Delivery:
    """A good signed answer of an agency."""
    message = dxp_msg(document, message_id, sender=by, receivers=(to,), msg_type="")
    return delivery(signed(message, by), by)


# -- what came of it


@cache
def _receipt_schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(SCHEMAS / "dxp/202205/DxpRep.xsd"))


def receipt(decision: Decision) -> etree._Element:
    """The decision's receipt, proved: it follows its schema and the platform signed it."""
    assert decision.receipt is not None, f"no receipt for {decision.code}"
    document = parse(decision.receipt.body, LIMIT)
    _receipt_schema().assertValid(document.root)
    assert verify(document, keys_of(registered(PLATFORM))).participant == PLATFORM
    return document.root


def sent(decision: Decision) -> list[tuple[Kind, str]]:
    """What goes to whom because of a decision."""
    return [(copy.kind, copy.to) for copy in decision.copies]


def texts(root: etree._Element, name: str) -> list[str]:
    """The texts of all elements of a local name in the namespace of DXP, in document order."""
    return [element.text or "" for element in root.iter(f"{{{DXP}}}{name}")]


def receipt_code(body: bytes) -> str:
    """The first ResponseCode of a receipt's bytes."""
    return texts(parse(body, LIMIT).root, "ResponseCode")[0]
