"""Watches what becomes of every message: holds each receipt and each delivery against what was expected.

A receipt is known by the digest of the bytes it is about, a delivery by the digest of its own
bytes: so what reaches an agency is what was sent, or it is not recognised. Signatures are
verified by the registered keys, receipts also against their schema. Sends and reads nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from demo_cases import LABELS, Case
from demo_papers import MOST, SCHEMAS
from demo_post import Mail
from lxml import etree

from swexchange.core.canonical import DXP
from swexchange.core.keys import Key
from swexchange.core.model import Kind
from swexchange.core.parse import parse
from swexchange.core.signature import verify
from swexchange.errors import Rejected

_IN = {"dxp": DXP}


@dataclass(slots=True)
class Course:
    """What has become of a case so far; `case` has no body any more."""

    case: Case
    digest: bytes
    code: str = ""  # of the receipt; '' = none yet
    accepted: bool = False
    exchange_id: str = ""
    receipt_digest: bytes = b""
    delivered: list[str] = field(default_factory=list)
    trail: str = ""  # what the audit says; '' = not asked yet
    problems: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[str]:
        """What has not come yet, in words."""
        receipt = [] if self.code else ["no receipt came"]
        return receipt + [f"not delivered to {LABELS[to]}" for to in self.case.to if to not in self.delivered]

    def as_row(self) -> dict[str, object]:
        """For a program to read."""
        case = self.case
        return {
            "section": case.section,
            "message": case.title,
            "from": case.submitter,
            "message_id": case.message_id,
            "sha256": self.digest.hex(),
            "code": self.code,
            "accepted": self.accepted,
            "exchange": self.exchange_id,
            "delivered_to": self.delivered,
            "audit": self.trail,
            "problems": self.problems,
        }


@dataclass(slots=True)
class Counts:
    """The figures of a run."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    delivered: int = 0
    receipts: int = 0
    lost: int = 0
    duplicated: int = 0


class Watch:
    """Knows every message sent and judges all that comes; `platform` is the platform's id."""

    def __init__(self, platform: str, keys: Mapping[str, Key]) -> None:
        self._platform, self._keys = platform, keys
        self._schema = etree.XMLSchema(etree.parse(SCHEMAS / "dxp/202205/DxpRep.xsd"))
        self._by_digest: dict[bytes, list[Course]] = {}
        self._owed = 0  # receipts and deliveries still to come
        self.courses: list[Course] = []
        self.strays: list[str] = []  # what came and belongs to nothing that was sent
        self._duplicated = 0

    def expect(self, cases: Sequence[Case]) -> None:
        """These are about to be sent."""
        for case in cases:
            course = Course(replace(case, body=b""), hashlib.sha256(case.body).digest())
            self.courses.append(course)
            self._by_digest.setdefault(course.digest, []).append(course)
            self._owed += 1 + len(case.to)

    @property
    def owed(self) -> int:
        """How many receipts and deliveries are still to come."""
        return self._owed

    def take(self, mail: Mail) -> None:
        """Judge one message that came to somebody."""
        if mail.kind is Kind.RECEIPT:
            self._take_receipt(mail)
        else:
            self._take_delivery(mail)

    def counts(self) -> Counts:
        """The figures so far; what is still to come counts as lost."""
        answered = [course for course in self.courses if course.code]
        return Counts(
            sent=len(self.courses),
            accepted=sum(course.accepted for course in answered),
            rejected=sum(not course.accepted for course in answered),
            delivered=sum(len(course.delivered) for course in self.courses),
            receipts=len(answered),
            lost=self._owed,
            duplicated=self._duplicated,
        )

    # --- receipts

    def _take_receipt(self, mail: Mail) -> None:
        root = etree.fromstring(mail.received.body)
        note = dict(pair.partition("=")[::2] for pair in _text(root, "Note").split(";"))
        about = bytes.fromhex(note.get("digest", "").removeprefix("sha256:"))
        courses = self._by_digest.get(about, [])
        course = next((c for c in courses if not c.code), None)
        if course is None:
            self._surplus(courses, f"a receipt too many at {LABELS[mail.participant]}", duplicate=bool(courses))
            return
        course.code = _text(root, "ResponseCode")
        course.accepted = note.get("outcome") == "accepted"
        course.exchange_id = note.get("exchange", "")
        course.receipt_digest = hashlib.sha256(mail.received.body).digest()
        course.problems += self._doubts_of_receipt(course, mail, root)
        self._owed -= 1

    def _doubts_of_receipt(self, course: Course, mail: Mail, root: etree._Element) -> Iterator[str]:
        case = course.case
        if not self._schema.validate(root):
            yield f"the receipt breaks its schema: {self._schema.error_log[0].message}"
        yield from self._doubts_of_signature(mail.received.body, self._platform, "the receipt")
        for what, found, wanted in (
            ("the receipt's code", course.code, case.code),
            ("the receipt went to", mail.participant, case.submitter),
            ("the receipt's correlation id", mail.received.correlation_id, case.message_id),
            ("the receipt names", _text(root, "CopMsgId"), case.message_id or "UNREADABLE"),
            ("the receivers' results", _results(root), dict(case.results)),
        ):
            if found != wanted:
                yield f"{what} {found}, expected {wanted}"
        first = self._by_digest[course.digest][0]
        if case.repeats and first.receipt_digest != course.receipt_digest:
            yield "the receipt of the repeat differs from the first one"

    # --- deliveries

    def _take_delivery(self, mail: Mail) -> None:
        body, label = mail.received.body, LABELS[mail.participant]
        courses = self._by_digest.get(hashlib.sha256(body).digest(), [])
        course = next((c for c in courses if mail.participant in c.case.to), None)
        if course is None or mail.participant in course.delivered:
            what = "a delivery too many" if courses else "bytes that nobody sent"
            self._surplus(courses, f"{what} at {label}: {mail.received.type}", duplicate=bool(course))
            return
        course.delivered.append(mail.participant)
        course.problems += self._doubts_of_signature(body, course.case.submitter, f"the copy at {label}")
        if mail.received.correlation_id != course.case.about:
            course.problems.append(f"at {label} it is about {mail.received.correlation_id}, not {course.case.about}")
        self._owed -= 1

    def _doubts_of_signature(self, body: bytes, signer: str, what: str) -> Iterator[str]:
        try:
            owner = verify(parse(body, MOST), self._keys).participant
        except Rejected as refusal:
            yield f"the signature of {what} does not hold: {refusal}"
            return
        if owner != signer:
            yield f"{what} is signed by {owner}, not {signer}"

    def _surplus(self, courses: Sequence[Course], problem: str, *, duplicate: bool) -> None:
        self._duplicated += duplicate
        if courses:
            courses[-1].problems.append(problem)
        else:
            self.strays.append(problem)


def _text(root: etree._Element, name: str) -> str:
    return root.findtext(f".//dxp:{name}", "", _IN)


def _results(root: etree._Element) -> dict[str, str]:
    rows = root.iterfind(".//dxp:Result", _IN)
    return {row.findtext("dxp:RecId", "", _IN): row.findtext("dxp:Code", "", _IN) for row in rows}
