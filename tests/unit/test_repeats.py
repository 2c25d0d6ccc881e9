"""A repeat is answered from the record, whatever has become of the rules since.

After a crash between commit and acknowledgement the broker delivers a message again, and
nothing says that keys, types and schemas are still those under which it was accepted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from swexchange.core.model import Copy, Delivery, Fate
from swexchange.core.rulebook import Limits, Rulebook
from swexchange.pipeline import Report, process
from swexchange.store import FullLedger, open_ledger
from swexchange.store.migrate import upgrade
from tests.world import (
    CUSTOMS,
    ENTERPRISE,
    NOW,
    declared,
    delivery,
    edition,
    inventory,
    keys_of,
    message_types,
    participants,
    registered,
    rulebook,
    signed,
)


class Queues:
    """A broker that takes everything and remembers it."""

    def __init__(self) -> None:
        self.published: list[Copy] = []

    def publish(self, copies: Sequence[Copy]) -> list[Fate]:
        self.published += copies
        return [Fate.CONFIRMED for _ in copies]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[FullLedger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(url)
    with open_ledger(url) as opened:
        yield opened


ENVELOPE, BARE = declared(), delivery(signed(inventory()))
LATER = (edition("dxp/202205/DxpMsgSv.xsd", NOW + timedelta(days=1)),)
CHANGES: dict[str, Rulebook] = {
    "nothing": rulebook(),
    "no routes": rulebook(routes=()),
    "key expired": rulebook(keys=keys_of(registered(ENTERPRISE, valid_to=NOW))),
    "key revoked": rulebook(keys=keys_of(registered(ENTERPRISE, revoked_at=NOW))),
    "key removed": rulebook(keys=keys_of(registered(CUSTOMS))),
    "envelope edition over": rulebook(envelopes=LATER),
    "type removed": rulebook(types={}),
    "type edition over": rulebook(types={root: replace(kind, editions=()) for root, kind in message_types().items()}),
    "permission withdrawn": rulebook(
        participants={id_: replace(p, sends=frozenset()) for id_, p in participants().items()}
    ),
    "smaller limit": rulebook(limits=Limits(message_bytes=1000)),
    "freshness judged": rulebook(limits=Limits(oldest=timedelta(microseconds=1))),
}


def run(ledger: FullLedger, asked: Delivery, rules: Rulebook, at: datetime = NOW) -> tuple[Report, list[Copy]]:
    queues = Queues()
    return process((asked,), rules, ledger, queues, lambda: at), queues.published


@pytest.mark.parametrize("asked", [ENVELOPE, BARE], ids=["envelope", "bare"])
@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_an_accepted_message_stays_accepted_when_it_comes_again(
    ledger: FullLedger, asked: Delivery, changed: Rulebook
) -> None:
    """Under other rules the same bytes get the stored receipt again, byte for byte, and nothing else happens."""
    first, sent = run(ledger, asked, rulebook())
    (decision,) = first.decided
    assert decision.code == "0000"
    again, repeated = run(ledger, asked, changed)
    assert again.decided == []
    assert repeated == [copy for copy in sent if copy == decision.receipt]


@pytest.mark.parametrize("asked", [ENVELOPE, BARE], ids=["envelope", "bare"])
def test_a_refused_message_may_pass_later(ledger: FullLedger, asked: Delivery) -> None:
    """What was refused for our rules' sake is decided anew when they allow it, and once."""
    refused, told = run(ledger, asked, rulebook(routes=()))
    assert [decision.code for decision in refused.decided] == ["4204"]
    accepted, sent = run(ledger, asked, rulebook(), NOW + timedelta(seconds=1))
    assert [decision.code for decision in accepted.decided] == ["0000"]
    assert not {copy.id for copy in told} & {copy.id for copy in sent}  # else who drops known ids would miss one
    again, _ = run(ledger, asked, rulebook())
    assert again.decided == []
