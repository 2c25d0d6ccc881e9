"""Fills a database with many exchanges through the store itself, as the daemon would: short, but with real keys."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from swexchange.core.identity import copy_id, exchange_id, identity, lookups, receipt_id
from swexchange.core.model import BusinessKey, Copy, Decision, Entry, Head, Kind, Outcome
from swexchange.store import open_ledger
from tests.bench.parties import AGENCY, INTEGRATORS

BATCH = 2000
SPREAD = timedelta(days=90)  # the time over which the exchanges are spread, up to yesterday
BODY_BYTES, RECEIPT = 300, bytes(200)


def key_of(number: int) -> BusinessKey:
    """The BillNo of stored exchange number n: no other exchange has it."""
    return BusinessKey("BillNo", f"COSU{6_300_000_000 + 7 * number}")


def load(url: str, count: int, body_bytes: int = BODY_BYTES) -> float:
    """Record `count` exchanges of so many bytes, all delivered; the seconds it took."""
    started = time.perf_counter()
    first = datetime.now(UTC) - SPREAD - timedelta(days=1)
    with open_ledger(url) as ledger:
        for start in range(0, count, BATCH):
            decisions = list(_decisions(start, min(count, start + BATCH), first, SPREAD / count, body_bytes))
            names = {name for decision in decisions for name in lookups(decision)}
            with ledger.write(names, decisions[-1].received_at, "0" * 64) as book:
                book.record([Entry(identity(decision), decision) for decision in decisions])
                batch = book.batch
            ledger.settle(batch, (), decisions[-1].received_at)
    return time.perf_counter() - started


def _decisions(start: int, end: int, first: datetime, step: timedelta, body_bytes: int) -> Iterator[Decision]:
    for number in range(start, end):
        yield _decision(number, first + number * step, body_bytes)


def _decision(number: int, at: datetime, body_bytes: int) -> Decision:
    sender, serial = INTEGRATORS[number % len(INTEGRATORS)], number // len(INTEGRATORS)
    message_id = f"{sender[-5:]}-2026-{serial:09d}"
    body = message_id.encode().ljust(body_bytes)
    digest = hashlib.sha256(body).digest()
    exchange = exchange_id(at, sender, digest)
    client_seq_no = BusinessKey("ClientSeqNo", f"BNC{sender[-5:]}-{serial:07d}-26")
    return Decision(
        exchange_id=exchange,
        received_at=at,
        submitter=sender,
        body=body,
        digest=digest,
        rules_digest="0" * 64,
        outcome=Outcome.ACCEPTED,
        sender=sender,
        message_id=message_id,
        head=Head(message_id, sender, (AGENCY,), at.isoformat(timespec="seconds"), "DECMSG"),
        type="DecMessage",
        key_id=f"{sender}-bench",
        envelope_edition="dxp/202205",
        edition="dec/4.9.7",
        route="cargo-declarations",
        keys=(client_seq_no, BusinessKey("SeqNo", f"I2026{number:013d}"), key_of(number)),
        copies=(
            Copy(
                copy_id(sender, message_id, digest, Kind.MESSAGE, AGENCY),
                Kind.MESSAGE,
                AGENCY,
                "DecMessage",
                message_id,
                exchange,
                body,
            ),
            Copy(receipt_id(exchange, sender), Kind.RECEIPT, sender, "DxpRep", message_id, exchange, RECEIPT),
        ),
    )
