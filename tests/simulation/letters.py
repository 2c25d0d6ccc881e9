"""The messages of the simulation, really signed, once; and the rules between which an admin changes.

Decisions are real. They are pure, so one made before for the same bytes, submitter, rules and time stands for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache

from swexchange.core.decide import decide
from swexchange.core.model import Decision, Delivery
from swexchange.core.rulebook import Route, Rulebook, Upstream
from tests import world
from tests.world import CUSTOMS, ENTERPRISE, PORT, PROVINCE, RIVAL

NUMBERS = range(4)
UPSTREAM = Upstream("province", "to-province")


@dataclass(frozen=True)
class Letter:
    """What somebody may submit."""

    name: str
    submitter: str
    body: bytes
    may_be_accepted: bool = True  # by some rules, as long as nothing else has taken its id
    kills: bool = False  # the process that decides it, until that is mended
    lane: str = ""  # the business number within which order is promised on the way to the upstream


def _declaration(number: int, sender: str = ENTERPRISE, **document: str) -> bytes:
    name = f"{sender[-5:]}-{number}"
    return world.signed(world.dxp_msg(world.declaration(name, **document), f"M-{name}", sender=sender), sender)


def _upward(number: int, nth: str) -> bytes:
    """For the province, by its envelope."""
    document = world.declaration(f"UP-{number}", customs="9901")
    return world.signed(world.dxp_msg(document, f"{nth}-UP-{number}", receivers=(PROVINCE,)), ENTERPRISE)


def _answer(document: bytes, name: str) -> bytes:
    return world.signed(world.dxp_msg(document, name, sender=CUSTOMS, receivers=(ENTERPRISE,), msg_type=""), CUSTOMS)


@cache
def letters() -> Mapping[str, Letter]:
    """All letters by name."""
    found = []
    for n in NUMBERS:
        good = _declaration(n)
        asked, given = f"{ENTERPRISE[-5:]}-{n}", f"I2026000041102738{n}"
        wrong = world.declaration(asked).replace(b"<IEFlag>I</IEFlag>", b"")
        found += [
            Letter(f"good {n}", ENTERPRISE, good),
            Letter(f"other bytes {n}", ENTERPRISE, _declaration(n, bill="OTHER")),
            Letter(f"wrong {n}", ENTERPRISE, world.signed(world.dxp_msg(wrong, f"M-{asked}")), may_be_accepted=False),
            Letter(f"answer {n}", CUSTOMS, _answer(world.import_response(asked, given), f"ANS-{n}")),
            Letter(f"result {n}", CUSTOMS, _answer(world.dec_result(given), f"RES-{n}")),
            Letter(f"rival {n}", RIVAL, _declaration(n, RIVAL)),
            Letter(f"stolen {n}", RIVAL, good, may_be_accepted=False),
            Letter(f"forged {n}", ENTERPRISE, good.replace(b"M-", b"N-", 1), may_be_accepted=False),
            *(
                Letter(f"{nth} upward {n}", ENTERPRISE, _upward(n, nth), lane=f"UP-{n}")
                for nth in ("1st", "2nd", "3rd")
            ),
            Letter(f"killer {n}", ENTERPRISE, _declaration(10 + n), kills=True),
        ]
    found.append(Letter("junk 0", ENTERPRISE, b"<junk", may_be_accepted=False))
    return {letter.name: letter for letter in found}


@cache
def rulebooks() -> tuple[Rulebook, ...]:
    """Rules that decide some letters differently: as they are; to others; without a route for declarations.

    In all of these the province is behind an upstream, in one more it is not: that moves it to our own broker.
    """
    everyone = world.participants()
    behind = everyone | {PROVINCE: replace(everyone[PROVINCE], upstream=UPSTREAM.name)}
    types = {name: replace(kind, order="ClientSeqNo") for name, kind in world.message_types().items()}
    first = world.rulebook(participants=behind, types=types, upstreams={UPSTREAM.name: UPSTREAM})
    wider = (Route("wider", 1, (PORT, PROVINCE), first.routes[0].when), *first.routes[1:])
    answers = tuple(route for route in first.routes if route.name == "answers")
    here = replace(first, participants=everyone, upstreams={})
    changed = (first, replace(first, routes=wider), replace(first, routes=answers), here)
    return tuple(replace(rules, manifest=f"{n}") for n, rules in enumerate(changed))


def rules_of(digest: str) -> Rulebook:
    """The rules of this digest."""
    return next(rules for rules in rulebooks() if rules.digest == digest)


def decided(delivery: Delivery, rules: Rulebook, now: datetime) -> Decision:
    """The decision about a delivery."""
    return _decided(delivery.submitter, delivery.body, rules.digest, now)


def forget_decisions() -> None:
    """Decide everything anew from here on."""
    _decided.cache_clear()


@lru_cache(maxsize=50_000)
def _decided(submitter: str, body: bytes, rules_digest: str, now: datetime) -> Decision:
    return decide(Delivery(0, submitter, body), rules_of(rules_digest), now)
