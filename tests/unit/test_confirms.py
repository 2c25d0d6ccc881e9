"""Which fate each message of a publish call gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swexchange.broker.confirms import Confirms
from swexchange.broker.frames import Confirm, FrameError, Message, Returned
from swexchange.core.model import Fate

C, R, F, U = Fate.CONFIRMED, Fate.RETURNED, Fate.REFUSED, Fate.UNKNOWN


def _confirms(number: int, first: int = 1) -> Confirms:
    confirms = Confirms(first, [Message("", "q", b"", message_id=f"m{n}") for n in range(number)])
    confirms.hand_over(number)
    return confirms


def test_one_word_for_many_settles_all_before_it() -> None:
    """multiple=True settles every message through the tag, a single one only its own."""
    confirms = _confirms(5)
    confirms.on_confirm(Confirm(4, False, True))
    assert confirms.fates() == [U, U, U, C, U]
    confirms.on_confirm(Confirm(2, True, False))
    assert confirms.fates() == [F, F, U, C, U]
    confirms.on_confirm(Confirm(5, True, True))
    assert confirms.fates() == [F, F, C, C, C]
    assert confirms.open == 0


def test_what_is_overdue_is_told_by_queue() -> None:
    """What was not handed over is not: nobody waits for a word on it."""
    confirms = Confirms(1, [*(Message("", name, b"") for name in "qrqstu"), Message("outbox", "", b"")])
    confirms.hand_over(4)
    confirms.on_confirm(Confirm(4, False, True))
    assert confirms.overdue() == "2 to q, 1 to r"
    confirms.hand_over(3)
    assert confirms.overdue() == "2 to q, 1 to r, 1 to t and 2 more"
    confirms.on_confirm(Confirm(6, True, True))
    assert confirms.overdue() == "1 to outbox"


def test_the_first_word_stands() -> None:
    """A word repeated or contradicted later changes nothing."""
    confirms = _confirms(2)
    confirms.on_confirm(Confirm(1, False, False))
    confirms.on_confirm(Confirm(1, False, True))
    confirms.on_confirm(Confirm(2, True, True))
    assert confirms.fates() == [F, C]


def test_tag_zero_means_all() -> None:
    """AMQP: multiple with tag 0 is every outstanding message."""
    confirms = _confirms(3, first=10)
    confirms.on_confirm(Confirm(0, True, True))
    assert confirms.fates() == [C, C, C]


def test_words_on_earlier_calls_are_not_ours() -> None:
    """Late confirms of messages that were given up settle nothing here."""
    confirms = _confirms(2, first=10)
    confirms.on_confirm(Confirm(9, False, True))
    confirms.on_confirm(Confirm(9, True, True))
    assert confirms.fates() == [U, U]
    assert confirms.open == 2


@pytest.mark.parametrize("multiple", [False, True])
def test_a_word_on_what_was_never_sent_is_an_error(multiple: bool) -> None:
    """Two of four were handed over; the broker cannot have heard of the third."""
    confirms = Confirms(10, [Message("", "q", b"")] * 4)
    confirms.hand_over(2)
    with pytest.raises(FrameError, match="message 12 was confirmed, 11 were sent"):
        confirms.on_confirm(Confirm(12, multiple, True))
    confirms.on_confirm(Confirm(0, True, True))
    assert confirms.fates() == [C, C, U, U]


def test_a_return_is_for_one_message_of_its_kind() -> None:
    """Of two messages with one id, as many are RETURNED as came back."""
    same = Message("", "q", b"", message_id="same")
    confirms = Confirms(1, [same, same, Message("", "q", b"", message_id="other")])
    confirms.hand_over(3)
    confirms.on_returned(Returned("", "q", "same"))
    confirms.on_confirm(Confirm(3, True, True))
    assert confirms.fates() == [R, C, C]


def test_a_refused_message_was_not_returned() -> None:
    """A nack says more than a return."""
    confirms = _confirms(1)
    confirms.on_returned(Returned("", "q", "m0"))
    confirms.on_confirm(Confirm(1, False, False))
    assert confirms.fates() == [F]


@given(st.permutations(range(1, 21)), st.lists(st.booleans(), min_size=20, max_size=20))
def test_any_order_of_words_settles_everything_once(order: list[int], multiple: list[bool]) -> None:
    """Whatever the order and grouping, `open` counts down to exactly zero."""
    confirms = _confirms(20)
    for tag, many in zip(order, multiple, strict=True):
        confirms.on_confirm(Confirm(tag, many, True))
        assert confirms.open == confirms.fates().count(U)
    assert confirms.fates() == [C] * 20
