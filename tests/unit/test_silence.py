"""Queues that confirm nothing are passed over for a while, and nobody else's copies wait for them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from swexchange.broker import LastingOutlet, PassingOver
from swexchange.core.model import Copy, Fate, Kind
from swexchange.core.silence import LONGEST, MOST_TIMES, SilentQueues
from swexchange.errors import BrokerLost, Unconfirmed

WAITS = 30.0  # seconds for a confirm
CONFIRMED, UNKNOWN = Fate.CONFIRMED, Fate.UNKNOWN
A, B, C = (Copy("id", Kind.MESSAGE, to, "DEC001", "of", "01", b"<a/>") for to in "abc")


class _Broker(LastingOutlet):
    """Some receivers' queues confirm nothing; a call that meets one takes its time, and only then.

    `cold`: the channel is new to them, and goes no further.
    """

    def __init__(self, silent: str = "", *, cold: bool = False) -> None:  # it has no connection
        self.silent, self.cold, self.now = set(silent), cold, 1000.0
        self.calls: list[str] = []
        self.alarm = self.lost = False

    @property
    def blocked(self) -> bool:
        return self.alarm

    def check(self) -> None:
        if self.lost:
            raise BrokerLost("the link is lost")

    def publish(self, copies: Sequence[Copy]) -> list[Fate]:
        self.calls.append("".join(one.to for one in copies))
        met = self.silent & {one.to for one in copies}
        self.now += WAITS if met else 0.01
        heard = not (met and self.cold)
        fates = [Fate.CONFIRMED if heard and one.to not in met else Fate.UNKNOWN for one in copies]
        if set(fates) == {Fate.UNKNOWN} and not self.alarm:
            raise Unconfirmed("did not confirm")
        return fates

    def close(self) -> None:
        raise AssertionError


def outlet(broker: _Broker) -> PassingOver:
    return PassingOver(broker, SilentQueues(), lambda: broker.now)


def test_a_silent_queue_is_waited_for_once_and_then_tried_again_after_its_rest() -> None:
    broker = _Broker("b")
    ours = outlet(broker)
    assert ours.publish([A, B, C]) == [CONFIRMED, UNKNOWN, CONFIRMED]
    assert ours.publish([B, A, B]) == [UNKNOWN, CONFIRMED, UNKNOWN]
    broker.now += WAITS
    broker.silent.clear()
    assert ours.publish([B, A, B]) == [CONFIRMED] * 3
    assert ours.publish([B, A]) == [CONFIRMED] * 2, "it answered: nothing is left of it"
    assert broker.calls == ["abc", "a", "a", "b", "b", "ba"], "a canary first"


def test_where_a_new_channel_goes_no_further_each_queue_is_tried_alone() -> None:
    broker = _Broker("b", cold=True)
    ours = outlet(broker)
    with pytest.raises(BrokerLost):
        ours.publish([A, B, C])
    assert ours.publish([A, B, C]) == [CONFIRMED, UNKNOWN, UNKNOWN], "the link ends with the silent one"
    assert ours.publish([A, B, C]) == [CONFIRMED, UNKNOWN, CONFIRMED]
    assert broker.calls == ["abc", "a", "b", "a", "c"]


@pytest.mark.parametrize("cold", [False, True])
def test_in_the_end_it_costs_the_others_a_ninth_of_the_time(cold: bool) -> None:
    broker = _Broker("b", cold=cold)
    ours, waited = outlet(broker), 0.0
    while (began := broker.now) < 20_000:
        with suppress(BrokerLost):
            assert ours.publish([A, B]) == [CONFIRMED, UNKNOWN]
        waited += broker.now - began if broker.now - began >= WAITS else 0
        broker.now += 0.5
    assert 0.1 < waited / 20_000 < 1 / (1 + MOST_TIMES) + 0.01


def test_alone_it_rests_too() -> None:
    """As when only copies for it are due: else nothing but them would ever be tried."""
    broker = _Broker("b")
    ours = outlet(broker)
    with pytest.raises(BrokerLost):
        ours.publish([B])
    assert ours.publish([B]) == [UNKNOWN]
    assert ours.publish([B, A]) == [UNKNOWN, CONFIRMED]


def test_where_nobody_answers_it_is_the_broker() -> None:
    """Once it is back all is tried at once, and nothing rests."""
    broker = _Broker("ab")
    ours = outlet(broker)
    with pytest.raises(BrokerLost):
        ours.publish([A, B])
    broker.silent.clear()
    assert ours.publish([A, B]) == [CONFIRMED] * 2
    assert ours.publish([A, B]) == [CONFIRMED] * 2
    assert broker.calls == ["ab", "a", "b", "ab"]


def test_a_link_that_is_lost_says_nothing_of_queues() -> None:
    broker = _Broker()
    ours, broker.lost = outlet(broker), True
    with pytest.raises(BrokerLost):
        ours.publish([A, B])
    broker.lost = False
    assert ours.publish([A, B]) == [CONFIRMED] * 2
    assert broker.calls == ["ab"]


def test_an_alarm_that_blocks_all_is_no_silence() -> None:
    broker = _Broker("b")
    broker.alarm = True
    ours = outlet(broker)
    assert ours.publish([A, B]) == [CONFIRMED, UNKNOWN]
    broker.silent.clear()
    assert ours.publish([B]) == [CONFIRMED]


def test_the_two_queues_of_a_receiver_are_two() -> None:
    broker = _Broker()
    silent = SilentQueues()
    silent.learn({"swx.inbox.a", "swx.receipts.b"}, {"swx.inbox.a"}, WAITS, broker.now)
    ours = PassingOver(broker, silent, lambda: broker.now)
    assert ours.publish([B, replace(B, kind=Kind.RECEIPT)]) == [CONFIRMED, UNKNOWN]


def test_a_rest_is_bounded_whatever_the_clock_did() -> None:
    """Set back by an hour, or ahead while it was waited for: nothing rests longer than LONGEST."""
    silent = SilentQueues()
    silent.learn({"a", "b"}, {"a"}, WAITS, 10_000.0)
    assert silent.calls("ab", 10_000.0 - 3600) == [["a"], ["b"]]
    silent.learn({"a", "b"}, {"a"}, 1e9, 10_000.0)
    assert silent.calls("ab", 10_000.0) == [["a"]]
    assert silent.calls("ab", 10_000.0 + LONGEST) == [["a"], ["b"]]
    silent.learn({"a", "b"}, {"a"}, -3600, 10_000.0)
    assert silent.calls("ba", 10_000.0) == [["a"], ["b"]]
    silent.forget()
    assert silent.calls("ab", 10_000.0) == [["a", "b"]]
