"""What the demo sends: who, what, and what must become of it: the expectation stands beside each message.

A case holds the bytes that go over the wire. Good messages and answers are here, the wrong ones
in `demo_wrong`. Nothing here sends anything or asks the exchange.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from demo_papers import Numbers, enveloped, filled, sample, signed, with_guid

from swexchange.core.keys import SigningKey

BROKER, SHIPPING, SHOP = "DXPENT0000012345", "DXPENT0000023456", "DXPENT0000027416"
CUSTOMS, MANIFESTS, ECOMMERCE = "DXPEDCDEC0000001", "DXPDSWMFT0000001", "DXPDSWEXPCEB0001"
MARITIME, TERMINAL, PROVINCE = "MSA4403000000001", "PORT4403YICT0001", "DXPGDP4400000001"
NOBODY = "DXPEDC9999999999"  # no participant has this id

LABELS = {
    BROKER: "broker",
    SHIPPING: "ship agent",
    SHOP: "web shop",
    CUSTOMS: "cargo office",
    MANIFESTS: "manifest office",
    ECOMMERCE: "parcel office",
    MARITIME: "maritime",
    TERMINAL: "terminal",
    PROVINCE: "province",
}
GUANGZHOU = "5145"  # a customs district outside the city: the envelope's receivers are asked

GOOD, ANSWERS, WRONG, AGAIN = "declarations", "answers", "refused", "sent again"


@dataclass(frozen=True, slots=True)
class Case:
    """One message as it is sent, and what must become of it."""

    section: str
    title: str
    submitter: str  # whose outbox it goes through
    body: bytes = field(repr=False)
    code: str = "0000"  # of the receipt
    to: tuple[str, ...] = ()  # inboxes that get it, byte for byte
    message_id: str = ""  # as the receipt must name it; '' = the platform cannot read or believe it
    about: str = ""  # correlation id of what is delivered: an answer's is its parent's message id
    results: Mapping[str, str] = field(default_factory=dict)  # receiver to code, in the receipt
    repeats: bool = False  # the same bytes as an earlier case: the same receipt, byte for byte


@dataclass(frozen=True, slots=True)
class Desk:
    """Where participants write and sign."""

    keys: Mapping[str, SigningKey]
    numbers: Numbers
    now: datetime

    def letter(
        self,
        sender: str,
        document: bytes,
        receivers: tuple[str, ...],
        msg_type: str = "",
        message_id: str = "",
        **keys: str,
    ) -> tuple[str, bytes]:
        """A business document in a signed envelope: message id and bytes."""
        name = message_id or self.numbers.envelope(sender)
        return name, signed(enveloped(document, name, sender, receivers, self.now, msg_type, **keys), self.keys[sender])


@dataclass(frozen=True, slots=True)
class Original:
    """A good message and the number by which its answers will name it."""

    case: Case
    number: str


@dataclass(frozen=True, slots=True)
class Originals:
    """The good messages, by what will be answered."""

    declarations: tuple[Original, ...]
    manifests: tuple[Original, ...]
    ships: tuple[Original, ...]
    commerce: tuple[Original, ...]

    def cases(self) -> list[Case]:
        """All of them, in the order of sending."""
        everything = (*self.declarations, *self.manifests, *self.ships, *self.commerce)
        return [original.case for original in everything]


def originals(desk: Desk) -> Originals:
    """What the integrators declare."""
    return Originals(tuple(_declarations(desk)), tuple(_manifests(desk)), tuple(_ships(desk)), tuple(_commerce(desk)))


# --- cargo declarations


def _declarations(desk: Desk) -> Iterator[Original]:
    for paper in (
        "dec/4.9.7/DecMessage.valid.combined-port",
        "dec/4.8/DecMessage.valid.minimal-sea-import",
        "dec/4.9.7/DecMessage.valid.export",
    ):
        yield declaration(desk, "cargo declarations 4.9.7 and 4.8", sample(paper))
    yield _with_named_receivers(desk)


def declaration(desk: Desk, title: str, document: bytes, section: str = GOOD, message_id: str = "") -> Original:
    """A declaration of the broker at a customs office of the city."""
    number = desk.numbers.declaration()
    name, body = desk.letter(
        BROKER, filled(document, ClientSeqNo=number), (CUSTOMS,), "DECMSG", message_id, ClientSeqNo=number
    )
    return Original(Case(section, title, BROKER, body, to=(CUSTOMS,), message_id=name, about=name), number)


def _with_named_receivers(desk: Desk) -> Original:
    number, to = desk.numbers.declaration(), (CUSTOMS, MANIFESTS)
    document = filled(
        sample("dec/4.9.7/DecMessage.valid.minimal-sea-import"), ClientSeqNo=number, CustomMaster=GUANGZHOU
    )
    name, body = desk.letter(BROKER, document, (*to, NOBODY), "DECMSG")
    results = {CUSTOMS: "0000", MANIFESTS: "0000", NOBODY: "2001"}
    title = "one to 3 receivers, 1 unknown"
    return Original(Case(GOOD, title, BROKER, body, to=to, message_id=name, about=name, results=results), number)


def ordinary(desk: Desk) -> Case:
    """One more cargo declaration, for volume."""
    return declaration(desk, "ordinary cargo declarations", sample("dec/4.9.7/DecMessage.valid.typical")).case


# --- manifests and ships


_MANIFESTS = (
    (
        "manifests MT1101, MT2101, MT1401",
        (MANIFESTS,),
        ("MT1101.valid.main-data-fcl-lcl", "MT2101.valid.main-data-minimal", "MT1401.valid.minimal"),
    ),
    (
        "tallies MT5101, MT3101",
        (MANIFESTS, TERMINAL),
        ("MT5101.valid.short-landed-and-damaged", "MT3101.valid.one-container"),
    ),
)
_SHIPS = (
    ("ship calls CSM002, CSM004", (MANIFESTS, MARITIME), ("CSM002.valid.from-singapore", "CSM004.valid.at-shekou")),
    ("ship registration CSM001", (PROVINCE,), ("CSM001.valid.container-ship",)),
)


def _manifests(desk: Desk) -> Iterator[Original]:
    for title, to, names in _MANIFESTS:
        yield from (_headed(desk, title, f"manifest/1.0/{name}", to) for name in names)


def _ships(desk: Desk) -> Iterator[Original]:
    for title, to, names in _SHIPS:
        yield from (_headed(desk, title, f"csm/1.0/{name}", to) for name in names)


def _headed(desk: Desk, title: str, paper: str, to: tuple[str, ...]) -> Original:
    """A document of the shipping agent that names itself in its head."""
    kind = paper.rpartition("/")[2].partition(".")[0]
    number = desk.numbers.manifest(kind)
    name, body = desk.letter(SHIPPING, filled(sample(paper), MessageID=number), to, kind)
    return Original(Case(GOOD, title, SHIPPING, body, to=to, message_id=name, about=name), number)


# --- e-commerce

_COMMERCE = (
    "CEB311Message.valid.minimal",
    "CEB411Message.valid.minimal",
    "CEB511Message.valid.minimal",
    "CEB621Message.valid.direct-9610",
)


def _commerce(desk: Desk) -> Iterator[Original]:
    """Each both ways: in an envelope, and bare with a signature of its own."""
    for name in _COMMERCE:
        _, number, document = shop_paper(desk, name)
        message_id, body = desk.letter(SHOP, document, (ECOMMERCE,), name.partition(".")[0])
        yield Original(_shop_case("e-commerce CEB311, 411, 511, 621", body, message_id), number)
        guid, number, document = shop_paper(desk, name)
        yield Original(_shop_case("the same bare, signed themselves", document, guid), number)


def _shop_case(title: str, body: bytes, message_id: str) -> Case:
    return Case(GOOD, title, SHOP, body, to=(ECOMMERCE,), message_id=message_id, about=message_id)


def shop_paper(desk: Desk, name: str) -> tuple[str, str, bytes]:
    """A signed document of the e-commerce firm: its guid, its copNo ('' where it has none), its bytes."""
    guid, number = desk.numbers.guid(), desk.numbers.shop()
    document = filled(with_guid(sample(f"ceb/202205/{name}"), guid), dxpId=SHOP)
    if name.startswith("CEB621"):
        document = filled(document, copNo=number)
    return guid, number, signed(document, desk.keys[SHOP])


# --- answers


def early_answer(desk: Desk, known: Originals) -> Case:
    """The answer to a manifest that overtakes the manifest itself."""
    return _headed_answer(desk, "MTRES1 that overtakes its manifest", MANIFESTS, known.manifests[1], "MTRES1")


def answers(desk: Desk, known: Originals) -> Iterator[Case]:
    """What the agencies say to what was delivered to them."""
    for asked in known.declarations[:2]:
        yield from _customs_answers(desk, asked)
    sea, _, road, tally, _ = known.manifests
    call, arrival, _ = known.ships
    for asked, kind in ((sea, "MTRES1"), (road, "MTRES4"), (arrival, "CSM301")):
        yield _headed_answer(desk, "MTRES1, MTRES4, CSM301", MANIFESTS, asked, kind)
    yield _headed_answer(desk, "MTRES1 to a tally", TERMINAL, tally, "MTRES1")
    yield _headed_answer(desk, "CSM301 to a ship call", MARITIME, call, "CSM301")
    yield from _commerce_answers(desk, known)


def _customs_answers(desk: Desk, asked: Original) -> Iterator[Case]:
    """The first answer joins by the declarant's number and gives the customs number; the later ones join by that."""
    title, given = "import response, then 7 L J P R", desk.numbers.customs()
    first = filled(sample("dec/4.9.7/DecImportResponse.valid.ok"), ClientSeqNo=asked.number, SeqNo=given)
    yield _answer(desk, title, CUSTOMS, asked, first, "DecImportResponse")
    for name in ("7-sent", "L-stored", "J-reviewed", "P-released", "R-closed"):
        later = filled(sample(f"dec/4.9.7/DEC_RESULT.valid.{name}"), CUS_CIQ_NO=given)
        yield _answer(desk, title, CUSTOMS, asked, later, "DEC_RESULT")


def _headed_answer(desk: Desk, title: str, agency: str, asked: Original, kind: str) -> Case:
    about = asked.number.split("_")[1]  # the type, which the number names
    if kind == "CSM301":
        document = filled(sample("csm/1.0/CSM301.valid.accepted"), OriMessageID=asked.number, OriMessageType=about)
    else:
        document = filled(sample(f"manifest/1.0/{kind}.valid.whole-message"), MessageID=asked.number, MessageType=about)
    return _answer(desk, title, agency, asked, document, kind)


def _commerce_answers(desk: Desk, known: Originals) -> Iterator[Case]:
    order, customs_list = known.commerce[0], known.commerce[6]  # CEB311 and CEB621, both in envelopes
    returned = filled(sample("ceb/202205/CEB622Message.valid.minimal"), copNo=customs_list.number)
    yield _answer(desk, "CEB622, CEB900", ECOMMERCE, customs_list, returned, "CEB622Message")
    refused = filled(sample("ceb/202205/CEB900Message.valid.order-refused"), oriCopMsgId=order.case.message_id)
    yield _answer(desk, "CEB622, CEB900", ECOMMERCE, order, refused, "CEB900Message")


def _answer(desk: Desk, title: str, agency: str, asked: Original, document: bytes, kind: str) -> Case:
    asker = asked.case.submitter
    name, body = desk.letter(agency, document, (asker,), kind)
    return Case(ANSWERS, title, agency, body, to=(asker,), message_id=name, about=asked.case.message_id)
