"""Keys: when one is in force, and what Ed25519 lets nobody do."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

import pytest

from swexchange.core.decide import decide
from swexchange.core.keys import Key, SigningKey
from swexchange.core.parse import parse
from swexchange.core.signature import verify
from swexchange.errors import Rejected
from tests.world import (
    ALWAYS,
    ENTERPRISE,
    LIMIT,
    NOW,
    declaration,
    declared,
    delivery,
    dxp_msg,
    keys_of,
    registered,
    rulebook,
    signed,
    signing_key,
)

MOMENT = timedelta(microseconds=1)
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point: L in RFC 8032
BODY = declared().body
VALUE = re.compile(rb"(<ds:SignatureValue>)([^<]+)")

VALIDITY = {
    "from this moment": ({"valid_from": NOW}, ""),
    "from the next moment": ({"valid_from": NOW + MOMENT}, "is valid from"),
    "to the next moment": ({"valid_to": NOW + MOMENT}, ""),
    "to this moment": ({"valid_to": NOW}, "expired at"),
    "revoked the next moment": ({"revoked_at": NOW + MOMENT}, ""),
    "revoked this moment": ({"revoked_at": NOW}, "was revoked at"),
    "revoked long ago, still valid": ({"revoked_at": ALWAYS, "valid_to": NOW + MOMENT}, "was revoked at"),
    "revoked and expired": ({"revoked_at": NOW, "valid_to": NOW}, "was revoked at"),
    "never in force": ({"valid_from": NOW, "valid_to": NOW}, "expired at"),
    "without an end": ({}, ""),
}


@pytest.mark.parametrize(("changes", "said"), VALIDITY.values(), ids=VALIDITY)
def test_validity_has_exact_edges(changes: dict[str, Any], said: str) -> None:
    """From the first moment on, up to the last one excluded; revocation counts before everything else."""
    trouble = registered(ENTERPRISE, **changes).trouble(NOW)
    assert said in trouble
    assert bool(trouble) == bool(said)


@pytest.mark.parametrize(("changes", "said"), VALIDITY.values(), ids=VALIDITY)
def test_messages_are_judged_by_the_time_they_are_received(changes: dict[str, Any], said: str) -> None:
    """A key that is not in force now is 1002, whatever time the message names, and its owner is not believed."""
    rules = rulebook(keys=keys_of(registered(ENTERPRISE, **changes)))
    decision = decide(declared(created="2021-01-01T00:00:00+08:00"), rules, NOW)
    assert (decision.code, decision.sender) == (("1002", "") if said else ("0000", ENTERPRISE))


def test_two_keys_of_one_participant_overlap() -> None:
    """While a key is being replaced, messages by the old and by the new one pass."""
    rules = rulebook(keys=keys_of(registered(ENTERPRISE, 1), registered(ENTERPRISE, 2)))
    for number in (1, 2):
        body = signed(dxp_msg(declaration()), signing_key(ENTERPRISE, number))
        decision = decide(delivery(body), rules, NOW)
        assert (decision.code, decision.key_id) == ("0000", f"{ENTERPRISE}-{number}")


def test_secrets_do_not_show() -> None:
    """A private key's secret is in no text that Python makes of it, nor of the rules that hold it."""
    key = signing_key(ENTERPRISE)
    for text in (repr(key), str(key), repr(rulebook())):
        assert key.secret.hex() not in text
        assert repr(key.secret) not in text


def with_value(change: bytes) -> bytes:
    return VALUE.sub(rb"\g<1>" + base64.b64encode(change), BODY)


def signature_value() -> bytes:
    found = VALUE.search(BODY)
    assert found is not None
    return base64.b64decode(found[2])


def code_of(body: bytes, key: Key) -> str:
    with pytest.raises(Rejected) as caught:
        verify(parse(body, LIMIT), {key.id: key})
    return caught.value.findings[0].code


@pytest.mark.parametrize("times", range(1, 15))
def test_a_second_value_for_one_signature_is_refused(times: int) -> None:
    """S + L is no signature (RFC 8032 5.1.7): nobody can make another valid text of a signed message."""
    value = signature_value()
    s = int.from_bytes(value[32:], "little") + times * ORDER
    assert code_of(with_value(value[:32] + s.to_bytes(32, "little")), registered(ENTERPRISE)) == "1001"


@pytest.mark.parametrize("bit", [0, 7, 31 * 8, 255, 256, 300, 507, 509, 511])
def test_a_changed_bit_of_the_value_is_refused(bit: int) -> None:
    """Neither half of the signature can be changed."""
    value = int.from_bytes(signature_value(), "little") ^ 1 << bit
    assert code_of(with_value(value.to_bytes(64, "little")), registered(ENTERPRISE)) == "1001"


SMALL_ORDER = [  # every encoding of the eight points whose order divides 8, canonical or not
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_key_of_small_order_signs_nothing(public: str) -> None:
    """Under such a public key one signature would hold for every message: none does."""
    weak = Key(signing_key(ENTERPRISE).id, ENTERPRISE, bytes.fromhex(public), ALWAYS)
    for r in (public, SMALL_ORDER[2]):
        assert code_of(with_value(bytes.fromhex(r) + bytes(32)), weak) == "1001"


def test_a_signature_for_one_text_is_none_for_another() -> None:
    """The value over one SignedInfo put into another message: both digests differ, and so does what was signed."""
    other = declared("MSG-0002").body
    moved = VALUE.sub(rb"\g<1>" + base64.b64encode(signature_value()), other)
    assert code_of(moved, registered(ENTERPRISE)) == "1001"


def test_the_same_seed_and_text_give_the_same_signature() -> None:
    """Ed25519 signs without randomness: signing again gives the same bytes."""
    again = SigningKey.from_seed("k", bytes(32))
    assert again.sign(b"text") == SigningKey.from_seed("k", bytes(32)).sign(b"text")
    assert len(again.sign(b"text")) == 64
