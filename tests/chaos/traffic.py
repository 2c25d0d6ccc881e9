"""What the senders send: mostly good declarations, and of everything else a little. The seed decides.

Messages are made with the project's own signing code, as an integrator would; what must come of
each is written down here, from the rules as a person reads them, and never asked of the daemon.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from swexchange.core.model import Kind
from tests import world
from tests.chaos.history import Alternatives, Input
from tests.process.house import CENTRE, CUSTOMS, INTEGRATOR, SHIPPER, House
from tests.process.province import PROVINCE

KINDS = Kind.MESSAGE, Kind.RECEIPT
TO_CUSTOMS: Alternatives = ((CUSTOMS,),)
LANES, REPEATED = 8, 0.1  # business numbers of what goes to the province, and how often one message comes again
SHARES = {
    "declaration": 68,
    "two_receivers": 10,
    "repeat": 6,
    "other_bytes": 4,
    "answer": 4,
    "altered": 3,
    "invalid": 2,
    "foreign": 2,
    "garbage": 1,
}


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes with what their sender expects of them."""

    input: Input
    body: bytes
    properties: dict[str, object] | None = None  # AMQP properties beside the usual ones


def message(
    submitter: str,
    body: bytes,
    expect: str,
    to: Alternatives = (),
    message_id: str = "",
    sender: str = "",
    answers: str = "",
    lane: str = "",
) -> Message:
    """A message with its expectation."""
    digest = hashlib.sha256(body).hexdigest()
    return Message(Input(submitter, digest, sender, message_id, expect, to, answers, lane), body)


class Mix:
    """An endless supply; `to_customs` is what the rules in force make of a plain declaration."""

    def __init__(self, house: House, seed: str, prefix: str = "NHW") -> None:
        self._house, self._prefix = house, prefix
        self._random = random.Random(seed)
        self._number = 0
        self._upward: list[Message] = []  # for the province, the latest at the end
        self.known: list[Message] = []  # acknowledged good declarations, the latest at the end
        self.to_customs = TO_CUSTOMS
        self.shares = dict(SHARES)

    def next(self) -> Message:
        """One more message."""
        (kind,) = self._random.choices(list(self.shares), list(self.shares.values()))
        if not self.known and kind in ("repeat", "other_bytes", "answer"):
            kind = "declaration"
        made: Message = getattr(self, kind)()
        return made

    def declaration(self) -> Message:
        """A good declaration to customs."""
        number = self._next_number()
        return self._from_integrator(self._house.declaration(number), "claims", self.to_customs, number)

    def two_receivers(self) -> Message:
        """A good declaration whose envelope names two receivers."""
        number = self._next_number()
        document = world.declaration(number, customs="2201")
        envelope = world.dxp_msg(document, number, sender=INTEGRATOR, receivers=(CUSTOMS, CENTRE))
        return self._from_integrator(self._house.signed(envelope), "claims", ((CUSTOMS, CENTRE),), number)

    def to_province(self) -> Message:
        """A good declaration for the province about one of a few business numbers; now and then one of these again."""
        if self._upward and self._random.random() < REPEATED:
            return self._random.choice(self._upward[-50:])
        number, lane = self._next_number(), f"LANE-{self._random.randrange(LANES)}"
        document = world.declaration(lane, customs="9901", bill=number)
        body = self._house.signed(world.dxp_msg(document, number, sender=INTEGRATOR))
        self._upward.append(message(INTEGRATOR, body, "claims", ((PROVINCE,),), number, INTEGRATOR, lane=lane))
        return self._upward[-1]

    def from_province(self) -> Message:
        """A good declaration of the province to customs."""
        number = self._next_number()
        body = self._house.signed(world.dxp_msg(world.declaration(number), number, sender=PROVINCE), PROVINCE)
        return message(PROVINCE, body, "claims", self.to_customs, number, PROVINCE)

    def repeat(self) -> Message:
        """The very bytes of an earlier one."""
        return self._random.choice(self.known[-200:])

    def other_bytes(self) -> Message:
        """Other content under an id that is taken: one of the two may take effect, never both."""
        taken = self._random.choice(self.known[-200:]).input.message_id
        body = self._house.declaration(taken, keys={"Other": str(self._random.random())})
        return self._from_integrator(body, "claims", self.to_customs, taken)

    def answer(self) -> Message:
        """The agency's answer to an earlier declaration, for whoever sent that."""
        asked = self._random.choice(self.known[-200:]).input.message_id
        return self.answer_to(asked)

    def answer_to(self, asked: str) -> Message:
        """The agency's answer to the declaration of this number."""
        number = self._next_number()
        document = world.import_response(asked, f"I{number}")
        envelope = world.dxp_msg(document, number, sender=CUSTOMS, receivers=(world.PLATFORM,), msg_type="")
        body = self._house.signed(envelope, CUSTOMS)
        return message(CUSTOMS, body, "claims", ((INTEGRATOR,),), number, CUSTOMS, asked)

    def altered(self) -> Message:
        """One character changed after signing."""
        number = self._next_number()
        body = self._house.declaration(number).replace(b"<MsgType>DECMSG", b"<MsgType>DECMSH")
        return self._from_integrator(body, "rejected", (), number)

    def invalid(self) -> Message:
        """Signed well, against the schema."""
        number = self._next_number()
        document = world.declaration(number).replace(b"<IEFlag>I</IEFlag>", b"")
        body = self._house.signed(world.dxp_msg(document, number, sender=INTEGRATOR))
        return self._from_integrator(body, "rejected", (), number)

    def foreign(self) -> Message:
        """The integrator's message through somebody else's outbox."""
        number = self._next_number()
        return message(SHIPPER, self._house.declaration(number), "rejected", (), number, INTEGRATOR)

    def garbage(self) -> Message:
        """Bytes that are nothing."""
        return message(INTEGRATOR, self._random.randbytes(self._random.randrange(1, 2000)), "rejected")

    def _from_integrator(self, body: bytes, expect: str, to: Alternatives, number: str) -> Message:
        return message(INTEGRATOR, body, expect, to, number, INTEGRATOR)

    def _next_number(self) -> str:
        self._number += 1
        return f"{self._prefix}-{self._number:06d}"
