"""Ids and identities: derived from content, never colliding by the way their parts are joined."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from swexchange.core.decide import decide
from swexchange.core.identity import bytes_identity, claim, copy_id, exchange_id, identity, lookups
from swexchange.core.model import Kind, Outcome
from tests.world import ENTERPRISE, NOW, RIVAL, declared, delivery, rulebook

IDS = st.text("ABab01_-", min_size=1, max_size=16)  # participants, as routes.yaml allows them
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGESTS = st.binary(min_size=32, max_size=32)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
DIGEST = hashlib.sha256(b"x").digest()
QUICK = settings(max_examples=300, deadline=None)


@QUICK
@given(TIMES, st.integers(1, 10**6), IDS, DIGESTS, IDS, DIGESTS)
def test_exchange_ids_sort_by_time(
    at: datetime, later: int, first: str, first_digest: bytes, second: str, second_digest: bytes
) -> None:
    """A millisecond later sorts after, whatever the submitter and the bytes."""
    older = exchange_id(at, first, first_digest)
    newer = exchange_id(at + timedelta(milliseconds=later), second, second_digest)
    assert older < newer
    assert len(older) == len(newer)


@QUICK
@given(TIMES, IDS, DIGESTS, IDS, DIGESTS)
@example(NOW, "A", b"B" * 32, "AB", b"B" * 32)
def test_exchange_ids_differ_by_submitter_and_bytes(
    at: datetime, first: str, first_digest: bytes, second: str, second_digest: bytes
) -> None:
    """At one time, other bytes or another submitter give another id; the same give the same."""
    same = (first, first_digest) == (second, second_digest)
    assert (exchange_id(at, first, first_digest) == exchange_id(at, second, second_digest)) is same


def test_exchange_ids_do_not_depend_on_the_zone() -> None:
    """The same moment in another zone is the same id; ids are plain ASCII without blanks."""
    found = exchange_id(NOW, ENTERPRISE, DIGEST)
    assert found == exchange_id(NOW.astimezone(UTC), ENTERPRISE, DIGEST)
    assert found.isascii()
    assert found.isalnum()


FIELDS = st.tuples(TEXTS, TEXTS, DIGESTS, st.sampled_from(Kind), TEXTS)


@QUICK
@given(FIELDS, FIELDS)
@example(("A", "BC", DIGEST, Kind.MESSAGE, "D"), ("AB", "C", DIGEST, Kind.MESSAGE, "D"))
@example(("", "AB", DIGEST, Kind.MESSAGE, ""), ("A", "B", DIGEST, Kind.MESSAGE, ""))
@example(("A", "B", DIGEST, Kind.MESSAGE, "C"), ("A", "B", DIGEST, Kind.RECEIPT, "C"))
def test_copy_ids_are_framed(
    first: tuple[str, str, bytes, Kind, str], second: tuple[str, str, bytes, Kind, str]
) -> None:
    """Two different tuples never have one id, however their parts could be joined."""
    assert (copy_id(*first) == copy_id(*second)) is (first == second)


@settings(max_examples=150, deadline=None)
@given(TEXTS, TEXTS, st.sampled_from(Kind), TEXTS, st.integers(0, 4))
def test_moving_a_letter_between_fields_changes_a_copy_id(
    sender: str, message_id: str, kind: Kind, to: str, cut: int
) -> None:
    """A letter at the end of one field is not a letter at the beginning of the next."""
    joined = sender + message_id
    moved = copy_id(joined[:cut], joined[cut:], DIGEST, kind, to)
    assert (moved == copy_id(sender, message_id, DIGEST, kind, to)) is (joined[:cut] == sender)


def test_copy_ids_are_forty_hex_digits() -> None:
    """Short enough for an AMQP property, and pure ASCII, for ids in Chinese too."""
    found = copy_id(ENTERPRISE, "深" * 255, DIGEST, Kind.MESSAGE, RIVAL)
    assert len(found) == 40
    assert set(found) <= set("0123456789abcdef")


@QUICK
@given(IDS, TEXTS, IDS, TEXTS)
@example("A", "-/B", "A-", "/B")
def test_claims_are_framed(first: str, first_id: str, second: str, second_id: str) -> None:
    """Two senders never claim one identity, whatever message ids they choose."""
    assert (claim(first, first_id) == claim(second, second_id)) is ((first, first_id) == (second, second_id))


@QUICK
@given(IDS, TEXTS, IDS, DIGESTS)
@example("A", "#" + "00" * 32, "A", bytes(32))
def test_a_claim_is_never_the_identity_of_a_refusal(
    sender: str, message_id: str, submitter: str, digest: bytes
) -> None:
    """No message id can be chosen so that an accepted message takes the place of a refused one."""
    assert claim(sender, message_id) != bytes_identity(submitter, digest)


@QUICK
@given(IDS, DIGESTS, IDS, DIGESTS)
def test_refusals_are_told_apart(first: str, first_digest: bytes, second: str, second_digest: bytes) -> None:
    """By submitter and by bytes."""
    same = (first, first_digest) == (second, second_digest)
    assert (bytes_identity(first, first_digest) == bytes_identity(second, second_digest)) is same


def test_an_accepted_message_is_found_under_its_claim() -> None:
    """It is recorded under (sender, message id), and looked up there and by its bytes."""
    decision = decide(declared(), rulebook(), NOW)
    assert identity(decision) == claim(ENTERPRISE, "MSG-0001")
    assert set(lookups(decision)) >= {identity(decision), bytes_identity(ENTERPRISE, decision.digest)}
    assert identity(replace(decision, outcome=Outcome.WAITING)) == identity(decision)


def test_a_refused_message_takes_nothing_but_its_bytes() -> None:
    """A refusal is recorded under the submitter and the bytes, also where its id could be read."""
    decision = decide(declared(), rulebook(routes=()), NOW)
    assert (decision.code, decision.message_id) == ("4204", "MSG-0001")
    assert identity(decision) == bytes_identity(ENTERPRISE, decision.digest)
    assert identity(decision) in lookups(decision)


def test_what_is_not_authenticated_claims_nothing() -> None:
    """The id that an unproved message names is neither taken nor looked up."""
    decision = decide(delivery(declared().body, RIVAL), rulebook(), NOW)
    assert decision.sender == ""
    assert lookups(decision) == (bytes_identity(RIVAL, decision.digest),)
