"""What must be true, judged from outside: what was sent, what lies in the queues, what the database says.

`check` holds at every moment, `check_at_rest` when nothing is owed any more. Neither asks the code
under test, but for the pure decision, which says what the recorded rules make of the recorded bytes.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from swexchange.broker.frames import Message
from swexchange.broker.topology import INTAKE, inbox, queue, submitter
from swexchange.core.codes import CONFLICT, HELD
from swexchange.core.model import Copy, Decision, Delivery, Fate, Kind, Outcome
from swexchange.forwarder import Sent
from swexchange.pipeline import Report
from swexchange.quarantine import DEATHS
from tests.simulation.broker import SimulatedBroker, SimulatedIntake
from tests.simulation.letters import Letter, decided, rules_of
from tests.world import CUSTOMS, ENTERPRISE, PROVINCE

Key = tuple[str, bytes]  # submitter and body: what a message is before anybody has looked into it
AT_UPSTREAM = "the upstream"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS = """
SELECT exchange_id, submitter, body, outcome, code, sender, message_id, type, route, rules_digest, received_at,
       parent_exchange_id, seq
FROM exchange JOIN batch ON batch.id = exchange.batch_id ORDER BY seq
"""


class Row(NamedTuple):
    """An exchange as it is recorded."""

    exchange_id: str
    submitter: str
    body: bytes
    outcome: str
    code: str
    sender: str
    message_id: str
    type: str
    route: str
    rules_digest: str
    received_at: int
    parent: str | None
    seq: int

    @property
    def key(self) -> Key:
        return self.submitter, self.body

    @property
    def is_delivered(self) -> bool:
        return self.outcome == Outcome.ACCEPTED


class History:
    """What happened to one exchange."""

    def __init__(
        self, raw: sqlite3.Connection, broker: SimulatedBroker, upward: Sequence[Message], sometimes: Counter[str]
    ) -> None:
        self._raw, self._broker, self._upward, self._sometimes = raw, broker, upward, sometimes
        self._letters: dict[Key, Letter] = {}
        self._order: list[Key] = []
        self._recorded: dict[Key, str] = {}  # as of the last look
        self._ids: set[str] = set()
        self._lost_keys: set[Key] = set()  # recorded once, gone with an older database
        self._once_lost: set[Key] = set()
        self._lost_ids: set[str] = set()
        self._looked_at: Counter[str] = Counter()
        self._failed: set[tuple[str, str]] = set()
        self._interrupted: Counter[bytes] = Counter()
        self._outcomes: dict[Key, set[tuple[str, str]]] = defaultdict(set)
        self._refused_ids: set[str] = set()
        self.has_moved = False  # the province moved between the upstream and our own broker: then no order is promised
        self.is_calm = True  # nothing went wrong and one worker did all: then order is promised

    # -- what happens

    def submitted(self, letter: Letter) -> None:
        key = letter.submitter, letter.body
        if key in self._letters:
            self._sometimes["the same bytes were sent twice"] += 1
        self._letters[key] = letter
        self._lost_keys.discard(key)
        self._order.append(key)

    def backup_made(self) -> None:
        self._sometimes["a backup was made"] += 1

    def restored(self) -> None:
        """The database is an older one: what came since is unknown to it, and owed to nobody."""
        before, ids = set(self._recorded), set(self._ids)
        self._look()
        self._lost_keys |= before - set(self._recorded)
        self._once_lost |= self._lost_keys
        self._lost_ids |= ids - self._ids

    def interrupted(self, digest: bytes) -> None:
        """A worker that decided these bytes alone was killed, or met with a fault, just then."""
        self._interrupted[digest] += 1

    def batch(self, report: Report) -> None:
        """What a worker says of a batch: only counted, never believed."""
        some = self._sometimes
        for decision in report.decided:
            key = decision.submitter, decision.body
            before, now = self._outcomes[key], (decision.outcome, decision.code)
            some[f"code {decision.code}"] += 1
            some["an answer had to wait"] += decision.outcome is Outcome.WAITING
            some["an answer met its parent at once"] += bool(decision.answers) and now == (Outcome.ACCEPTED, "0000")
            some["refused first, accepted later"] += decision.outcome is not Outcome.REJECTED and any(
                outcome is Outcome.REJECTED and code != HELD for outcome, code in before
            )
            some["a corrected message took its id"] += now[0] is Outcome.ACCEPTED and (
                decision.message_id in self._refused_ids
            )
            some["a lost message was decided again"] += key in self._once_lost
            if decision.code == "0002":
                self._refused_ids.add(decision.message_id)
            before.add(now)
        for decision, stored in report.repeated:
            some["answered from the record"] += 1
            some["a repeat brought what was owed"] += bool(stored.unsent)
            some["the record stood against today's decision"] += (
                decision.outcome is Outcome.REJECTED and stored.outcome is not Outcome.REJECTED
            )
            some["held again, answered from the record"] += decision.code == stored.code == HELD
        self._note_failed(report.failed)

    def swept(self, sent: Sent) -> None:
        self._sometimes["an answer met its parent later"] += len(sent.matched)
        matched = {decision.exchange_id for decision in sent.matched}
        for copy, fate in sent.fates:
            self._sometimes["the forwarder sent a copy"] += fate is Fate.CONFIRMED
            left = (copy.exchange_id, copy.to) not in self._failed and copy.exchange_id not in matched
            self._sometimes["what a crash left was sent after a minute"] += left
        self._note_failed([(copy, fate) for copy, fate in sent.fates if fate is not Fate.CONFIRMED])

    def _note_failed(self, failed: list[tuple[Copy, Fate]]) -> None:
        for copy, fate in failed:
            self._failed.add((copy.exchange_id, copy.to))
            self._sometimes[f"a copy was {fate}"] += 1

    # -- at any moment

    def _look(self) -> None:
        found = self._raw.execute("SELECT submitter, body, exchange_id FROM exchange").fetchall()
        self._recorded = {(sender, body): number for sender, body, number in found}
        self._ids = {number for _, _, number in found}

    def check(self) -> None:
        """No message is nowhere, and nothing went out that is not recorded."""
        self._look()
        in_broker = set(self._in_broker())
        for key, letter in self._letters.items():
            assert key in self._recorded or key in in_broker or key in self._lost_keys, f"{letter.name} is lost"
        for key in self._recorded:
            assert key in self._letters, f"nobody sent {key[1][:40]!r}"
        for name, message in self._new_copies():
            number = dict(message.headers)["swx-exchange"]
            assert number in self._ids | self._lost_ids, f"{name}: a copy of {number}, which is not recorded"

    def _in_broker(self) -> Iterator[Key]:
        waiting = list(self._broker.queues[INTAKE])
        for link in self._broker.links:
            if isinstance(link, SimulatedIntake):
                waiting += [message for _, message in link.unacked]
        return ((submitter(message.exchange), message.body) for message in waiting)

    def _new_copies(self) -> Iterator[tuple[str, Message]]:
        for name, messages in self._arrived():
            for message in list(messages)[self._looked_at[name] :]:
                yield name, message
            self._looked_at[name] = len(messages)

    def _arrived(self) -> Iterator[tuple[str, Sequence[Message]]]:
        """What came to whom: into the queues of our own broker, and to the upstream."""
        yield from ((name, messages) for name, messages in self._broker.queues.items() if name != INTAKE)
        yield AT_UPSTREAM, self._upward

    # -- at rest

    def held(self) -> list[Decision]:
        """Held messages whose bytes were not decided since, oldest first."""
        rows = self._rows()
        open_ = (r for r in rows if r.code == HELD and not any(o.key == r.key and o.code != HELD for o in rows))
        return [
            Decision(r.exchange_id, _at(r), r.submitter, r.body, sha256(r.body).digest(), "", Outcome.REJECTED)
            for r in open_
        ]

    def is_at_rest(self) -> bool:
        """Whether nothing is owed any more."""
        return not any(self.open().values())

    def open(self) -> dict[str, int]:
        """What is still owed."""
        rows = self._rows()
        return {
            "in the broker": len(list(self._in_broker())),
            "copies due": self._count("copy WHERE state = 'due'"),
            "copies queued": self._count("copy WHERE state = 'queued'"),
            "batches unsettled": self._count("batch WHERE settled_at IS NULL"),
            "answers that could be matched": sum(
                r.outcome == Outcome.WAITING and self._has_parent(r, rows) for r in rows
            ),
        }

    def _count(self, what: str) -> int:
        (found,) = self._raw.execute(f"SELECT count(*) FROM {what}").fetchone()
        return int(found)

    def _has_parent(self, answer: Row, rows: list[Row]) -> bool:
        number = answer.message_id.rpartition("-")[2]
        if answer.message_id.startswith("RES-"):
            return any(r.message_id == f"ANS-{number}" and r.is_delivered for r in rows)
        asked = f"M-{ENTERPRISE[-5:]}-{number}"
        return any(r.message_id == asked and r.is_delivered and CUSTOMS in self._recipients(r) for r in rows)

    def _rows(self) -> list[Row]:
        return [Row(*found) for found in self._raw.execute(_ROWS)]

    def _recipients(self, row: Row, kind: Kind = Kind.MESSAGE) -> dict[str, bytes]:
        """To whom copies of this kind go, with their bytes."""
        query = "SELECT recipient, coalesce(body, ?) FROM copy WHERE seq = ? AND kind = ?"
        return dict(self._raw.execute(query, (row.body, row.seq, str(kind))).fetchall())

    def check_at_rest(self) -> None:
        """Every promise, when nothing is owed any more."""
        self.check()
        rows = self._rows()
        self._check_each_is_decided_once(rows)
        for row in rows:
            self._check_decision(row, rows)
        self._check_copies(rows)
        if not (self.has_moved or self._lost_ids or self._once_lost):
            self._check_lanes(rows)
        if self.is_calm:
            self._check_order(rows)

    def _check_each_is_decided_once(self, rows: list[Row]) -> None:
        recorded = {row.key for row in rows}
        for key, letter in self._letters.items():
            assert key in recorded or key in self._lost_keys, f"{letter.name} was never decided"
        taken = Counter((r.sender, r.message_id) for r in rows if r.outcome != Outcome.REJECTED)
        kinds = Counter((r.key, r.outcome == Outcome.REJECTED, r.code == HELD) for r in rows)
        assert max([0, *taken.values(), *kinds.values()]) <= 1, "one message was decided twice"
        if not self._lost_keys:
            sent = {r.message_id for r in rows if r.sender == ENTERPRISE and r.code in ("0000", CONFLICT)}
            assert sent <= {message_id for _, message_id in taken}, "a conflict without a holder"

    def _check_decision(self, row: Row, rows: list[Row]) -> None:
        letter = self._letters[row.key]
        assert letter.may_be_accepted or row.outcome == Outcome.REJECTED, f"{letter.name} was accepted"
        if row.code == HELD:
            by_chance = self._interrupted[sha256(row.body).digest()] >= DEATHS
            assert letter.kills or by_chance, f"{letter.name} is innocent and was held"
            self._sometimes["killed twice by chance over the same message alone"] += not letter.kills
            return
        fresh = decided(Delivery(0, row.submitter, row.body), rules_of(row.rules_digest), _at(row))
        if row.code == CONFLICT:
            assert fresh.outcome is not Outcome.REJECTED
            return
        outcome = Outcome.ACCEPTED if row.parent else fresh.outcome
        assert (row.outcome, row.code, row.route) == (outcome, fresh.code, fresh.route), letter.name
        asked = [r.sender for r in rows if r.exchange_id == row.parent]
        expected = {copy.to for copy in fresh.copies if copy.kind is Kind.MESSAGE}
        assert set(self._recipients(row)) == expected | ({ENTERPRISE} if row.parent else set()), letter.name
        assert len(asked) == bool(row.parent) or self._lost_ids

    def _check_copies(self, rows: list[Row]) -> None:
        bytes_of: dict[str, bytes] = {}
        ids: dict[tuple[str, bytes], set[str]] = defaultdict(set)
        for place, messages in self._arrived():
            name = inbox(PROVINCE) if place == AT_UPSTREAM else place
            for message in messages:
                assert bytes_of.setdefault(message.message_id, message.body) == message.body, "one id, other bytes"
                ids[name, message.body].add(message.message_id)
            arrived = Counter(message.message_id for message in messages)
            self._sometimes[f"a copy came twice{' to the upstream' * (place == AT_UPSTREAM)}"] += any(
                times > 1 for times in arrived.values()
            )
        owed = {(queue(kind, to), body) for row in rows for kind in Kind for to, body in self._copies(row, kind)}
        for name, body in owed:
            assert ids[name, body], f"{name} never got {body[:60]!r}"
        for (name, body), found in ids.items():
            assert len(found) == 1, f"{name} got {body[:60]!r} under several ids"
            assert (name, body) in owed or self._lost_ids, f"{name} got {body[:60]!r}, which is owed to nobody"

    def _copies(self, row: Row, kind: Kind) -> Iterator[tuple[str, bytes]]:
        return iter(self._recipients(row, kind).items())

    def _check_lanes(self, rows: list[Row]) -> None:
        """Of each business number, what came to the upstream for the first time came in the order of the record."""
        recorded = {row.body: row.seq for row in rows if row.is_delivered}
        lane_of = {letter.body: letter.lane for letter in self._letters.values()}
        lanes: dict[str, list[int]] = defaultdict(list)
        for body in dict.fromkeys(message.body for message in self._upward):
            if lane := lane_of[body]:
                lanes[lane].append(recorded[body])
        for lane, came in lanes.items():
            assert came == sorted(came), f"{lane} came out of order"
            self._sometimes["a lane of several came in order"] += len(came) > 1

    def _check_order(self, rows: list[Row]) -> None:
        accepted = {row.key for row in rows if row.is_delivered and not row.parent}
        sent = [body for who, body in dict.fromkeys(self._order) if (who, body) in accepted]
        for name, messages in self._broker.queues.items():
            if name.startswith(inbox("")):
                got = [m.body for m in messages if m.body in sent]
                assert got == [body for body in sent if body in got], f"{name} is out of order"
                self._sometimes["several messages kept their order"] += len(got) > 1


def _at(row: Row) -> datetime:
    return _EPOCH + timedelta(microseconds=row.received_at)


__all__ = ["History", "Key", "Row"]
