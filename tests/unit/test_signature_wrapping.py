"""Signature wrapping: a valid signature of one document must never carry another.

The eight classic forms (Somorovsky et al., USENIX Security 2012), carried over to DxpMsg: the
original message and its good signature stand somewhere in the tree, and a forged message
stands where a careless reader would look. Each comes with the enveloped reference as it was
signed, and with a reference by id made by an insider, which other software would follow.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
from lxml import etree

from swexchange.core.decide import decide
from swexchange.core.model import Decision, Kind, Outcome
from swexchange.core.parse import parse
from swexchange.core.signature import canonical
from tests.forge import DSIG, EXCLUSIVE, digest_of, put_in, reference, signature_element, signed_info, transform
from tests.world import (
    DXP,
    ENTERPRISE,
    LIMIT,
    NOW,
    RIVAL,
    declaration,
    delivery,
    dxp_msg,
    keys_of,
    registered,
    rulebook,
    signed,
    signing_key,
)

GOOD = dxp_msg(declaration(), "GOOD").replace(b' ver="1.0"', b' Id="good" ver="1.0"')
EVIL = dxp_msg(declaration(bill="EVIL"), "EVIL").replace(b' ver="1.0"', b' Id="evil" ver="1.0"')
SIGNATURE, OBJECT, MESSAGE = f"{{{DSIG}}}Signature", f"{{{DSIG}}}Object", f"{{{DXP}}}DxpMsg"
RULES = rulebook()

Wrapping = Callable[[etree._Element, etree._Element, etree._Element], etree._Element]
"""The original without signature, its signature, the forged message -> the root of the attack."""


def appended(parent: etree._Element, *children: etree._Element, at: int | None = None) -> etree._Element:
    for child in children:
        parent.insert(len(parent) if at is None else at, child)
    return parent


def wrapped(name: str, *children: etree._Element) -> etree._Element:
    return appended(etree.Element(f"{{{DXP}}}{name}", nsmap={None: DXP}), *children)


WRAPPINGS: dict[str, Wrapping] = {
    "1 original inside the signature": lambda good, mark, evil: appended(evil, appended(mark, good)),
    "2 original beside the signature": lambda good, mark, evil: appended(evil, good, mark),
    "3 forged before original": lambda good, mark, evil: wrapped("Batch", evil, appended(good, mark)),
    "4 original inside forged": lambda good, mark, evil: appended(evil, appended(good, mark)),
    "5 signature in forged, original last": lambda good, mark, evil: wrapped("Batch", appended(evil, mark), good),
    "6 signature in forged holds original": lambda good, mark, evil: wrapped(
        "Batch", appended(evil, appended(mark, good))
    ),
    "7 forged in an extension": lambda good, mark, evil: appended(good, wrapped("Extensions", evil), mark, at=0),
    "8 original in an Object": lambda good, mark, evil: appended(
        evil, appended(mark, appended(etree.Element(OBJECT), good))
    ),
    "server message around both": lambda good, mark, evil: wrapped("DxpMsgSv", evil, appended(good, mark)),
    "signature deeper": lambda good, mark, evil: appended(evil, wrapped("AddInfo", mark)),
    "signature at the root": lambda good, mark, evil: appended(mark, good, evil),
    "signature moved to forged": lambda good, mark, evil: appended(evil, mark),
    "signature twice": lambda good, mark, evil: appended(good, mark, deepcopy(mark)),
    "signature first and last": lambda good, mark, evil: appended(appended(good, mark), deepcopy(mark), at=0),
    "signature of another document beside": lambda good, mark, evil: appended(
        good, mark, parse(signed(EVIL), LIMIT).root[-1]
    ),
}


def by_reference(document: bytes, uri: str) -> bytes:
    """The document signed by an insider with a reference to an id, as other profiles allow."""
    info = signed_info(reference(digest_of(document), uri=f'URI="{uri}"', transforms=transform(EXCLUSIVE)))
    return put_in(document, signature_element(info, signing_key(ENTERPRISE)))


def attacked(wrapping: Wrapping, source: bytes) -> bytes:
    good = parse(source, LIMIT).root
    mark = good[-1]
    good.remove(mark)
    return canonical(wrapping(good, mark, parse(EVIL, LIMIT).root))


def refused(decision: Decision) -> bool:
    """Refused, read as nobody's, and nothing sent but a receipt."""
    sent = {copy.kind for copy in decision.copies}
    return decision.outcome is Outcome.REJECTED and decision.sender == "" and sent <= {Kind.RECEIPT}


@pytest.mark.parametrize("source", [signed(GOOD), by_reference(GOOD, "#good")], ids=["enveloped", "by id"])
@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS)
def test_wrapped_messages_are_refused(wrapping: Wrapping, source: bytes) -> None:
    """No arrangement of a signed message and a forged one passes as anything."""
    body = attacked(wrapping, source)
    decision = decide(delivery(body), RULES, NOW)
    assert refused(decision)
    assert decision.code in {"4101", "4102", "4008", "1004"}


def test_the_original_passes() -> None:
    """The message that is wrapped above is good as it was sent."""
    decision = decide(delivery(signed(GOOD)), RULES, NOW)
    assert (decision.outcome, decision.message_id) == (Outcome.ACCEPTED, "GOOD")


def test_what_was_signed_is_what_is_read() -> None:
    """The values that an accepted message is decided by are those of the element that the digest covers."""
    body = signed(GOOD)
    decision = decide(delivery(body), RULES, NOW)
    root = parse(body, LIMIT).root
    root.remove(root[-1])
    assert canonical(root) == GOOD
    assert decision.head is not None
    assert decision.head.message_id == root.findtext(f"{{{DXP}}}TransInfo/{{{DXP}}}CopMsgId") == "GOOD"


@pytest.mark.parametrize("place", range(4))
def test_the_signature_may_stand_anywhere_among_the_root_s_children(place: int) -> None:
    """Where the signature stands among the children is no deviation: the same element is signed and read.

    The schema then says which place the standard wants.
    """
    root = parse(signed(GOOD), LIMIT).root
    mark = root[-1]
    root.remove(mark)
    root.insert(place, mark)
    decision = decide(delivery(canonical(root)), RULES, NOW)
    assert decision.sender == ENTERPRISE
    assert decision.code == ("0000" if place >= 2 else "0002")


def test_a_signature_over_another_root_is_not_taken_for_this_one() -> None:
    """A signature lifted from a bare document onto an envelope around it fails by its digest."""
    mark = parse(signed(declaration()), LIMIT).root[-1]
    root = parse(GOOD, LIMIT).root
    root.append(mark)
    assert decide(delivery(canonical(root)), RULES, NOW).code == "1004"


def test_a_message_of_another_sender_signed_by_an_insider_is_refused() -> None:
    """A registered key signs a message that names someone else: 4104, and the receipt goes to the signer."""
    decision = decide(delivery(signed(GOOD, RIVAL), RIVAL), RULES, NOW)
    assert decision.code == "4104"
    assert (decision.sender, decision.message_id, decision.head) == (RIVAL, "", None)
    assert [copy.to for copy in decision.copies] == [RIVAL]


def test_two_participants_with_one_public_key_do_not_speak_for_each_other() -> None:
    """The key name is not signed, so the registry might hold the same key twice: the sender still decides."""
    twin = replace(registered(ENTERPRISE), id="twin", participant=RIVAL)
    rules = rulebook(keys=keys_of(registered(ENTERPRISE), twin))
    body = signed(GOOD).replace(registered(ENTERPRISE).id.encode(), b"twin")
    assert decide(delivery(body), rules, NOW).code == "4105"
    assert decide(delivery(body, RIVAL), rules, NOW).code == "4104"


def test_the_platforms_own_receipts_cannot_be_sent_back_as_messages() -> None:
    """A receipt is signed by the platform and is no message: through a participant's exchange it is refused."""
    receipt = decide(delivery(signed(GOOD)), RULES, NOW).receipt
    assert receipt is not None
    assert refused(decide(delivery(receipt.body), RULES, NOW))
