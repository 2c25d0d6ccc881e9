"""Batches: messages that pass the stages together are decided as each would be alone, and guarded one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from swexchange.core import codes
from swexchange.core.decide import decide
from swexchange.core.model import Delivery, Finding
from swexchange.core.rulebook import Rulebook
from swexchange.decider import BYTES, TOGETHER, FreshThreads, decide_as_of, decide_each
from swexchange.errors import Fault
from tests.world import (
    ENTERPRISE,
    NOW,
    RIVAL,
    answered,
    declared,
    delivery,
    import_response,
    inventory,
    registered,
    rulebook,
    signed,
)

RULES = rulebook()


def mixed() -> list[Delivery]:
    """More than go together: accepted, waiting, bare, and refused at every stage."""
    kinds: tuple[Callable[[int], Delivery], ...] = (
        lambda n: declared(f"MSG-{n:04d}"),
        lambda n: declared(f"MSG-{n:04d}", msg_type="DECCUS004"),
        lambda n: answered(import_response(), f"ANS-{n:04d}"),
        lambda n: delivery(signed(inventory())),
        lambda n: delivery(b"<a/>" * (n % 2)),
        lambda n: replace(declared(f"MSG-{n:04d}"), submitter=RIVAL),
        lambda n: delivery(declared(f"MSG-{n:04d}").body.replace(b"5", b"6", 1)),
    )
    return [kinds[n % len(kinds)](n) for n in range(2 * TOGETHER + 30)]


def test_together_is_as_one_by_one() -> None:
    """Whatever else is in the batch, each message gets the decision it gets alone, in its place."""
    batch = mixed()
    alone = [decide(message, RULES, NOW) for message in batch]
    assert {decision.outcome for decision in alone} == {"accepted", "rejected", "waiting"}
    assert decide_each(batch, RULES, NOW) == alone
    assert FreshThreads(decide_each)(batch, RULES, NOW) == alone


def test_each_message_may_have_its_own_time() -> None:
    """Together or alone, the key's end and the exchange id are as of the message's own time, in its place."""
    key = registered(ENTERPRISE, valid_to=NOW + timedelta(minutes=100))
    rules = replace(RULES, keys={**RULES.keys, key.id: key})
    dated = [(message, NOW + timedelta(minutes=n)) for n, message in enumerate(mixed())]
    alone = [decide(message, rules, then) for message, then in dated]
    assert [d.code for d in alone[98:127:7]] == [codes.ACCEPTED] + [codes.KEY_NOT_IN_FORCE] * 4
    assert list(decide_as_of(iter(dated), rules)) == alone


def test_no_more_is_read_than_goes_together() -> None:
    """By number, and by bytes where messages are large."""
    for size, together in ((1, TOGETHER), (BYTES // 4, 5)):
        read: list[int] = []
        dated = ((delivery(bytes(size)), NOW) for n in range(TOGETHER + 1) if read.append(n) is None)  # type: ignore[func-returns-value]
        next(decide_as_of(dated, RULES))
        assert len(read) == together


def _with_check(check: Callable[..., tuple[Finding, ...]]) -> Rulebook:
    types = {
        root: replace(kind, editions=tuple(replace(e, check=check) for e in kind.editions))
        for root, kind in RULES.types.items()
    }
    return replace(RULES, types=types)


def test_an_exception_is_one_messages_own() -> None:
    """The schema of the business document raises for the third message: that one is held, the others pass."""
    seen: list[int] = []

    def check(*_: object) -> tuple[Finding, ...]:
        seen.append(1)
        if len(seen) == 3:
            raise KeyError("a bug")
        return ()

    batch = [declared(f"MSG-{n:04d}") for n in range(5)]
    decisions = decide_each(batch, _with_check(check), NOW)
    assert [d.code for d in decisions] == ["0000", "0000", "4301", "0000", "0000"]
    assert decisions[2].findings == (Finding("4301", "KeyError while deciding"),)
    assert decisions[2].body == batch[2].body


def test_a_fault_is_nobodys_own() -> None:
    """What a neighbour fails to do is told to no sender: the batch is not decided."""

    def check(*_: object) -> tuple[Finding, ...]:
        raise Fault("no memory")

    with pytest.raises(Fault, match="no memory"):
        decide_each([declared()], _with_check(check), NOW)
