"""What is archived, and what is to be: sealed leaves with all that belongs to them. Implements archiver.Log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, Connection, Select, and_, insert, select, union_all

from swexchange.core.log import Archived, Claim, Kind, LoggedRules, Record, Span
from swexchange.core.model import Event
from swexchange.core.prune_record import PruneRecord
from swexchange.store import leaves, rows
from swexchange.store.archive_tables import archive, taken
from swexchange.store.candidates import among, is_among
from swexchange.store.evidence import Evidence
from swexchange.store.evidence_tables import rules, sealed
from swexchange.store.exhibit import entries_of
from swexchange.store.tables import HAS_BYTES, THE_LOG, event, exchange

_COLUMNS = {"first": "first_leaf"} | {name: name for name in ("leaves", "name", "digest", "size", "since", "until")}

AT_ONCE = 5_000  # claims


class Archives(Evidence):
    """A database as archiver.Log; for one thread. Close it."""

    def last_archive(self) -> Archived | None:
        """The newest archive file; None before the first."""
        return next(self._archives(_newest_first.limit(1)), None)

    def archives(self) -> Sequence[Archived]:
        """All archive files in the order of their leaves."""
        return list(self._archives(select(archive).order_by(archive.c.first_leaf)))

    def _archives(self, query: Select[Any]) -> Iterator[Archived]:
        with self._reading() as connection:
            found = connection.execute(query).mappings().all()
        yield from (Archived(**{name: row[column] for name, column in _COLUMNS.items()}) for row in found)

    def prune_records(self) -> Sequence[PruneRecord]:
        """What was pruned and removed, by whom, as the log keeps it, oldest first."""
        query = select(event.c.at, event.c.event, event.c.detail).where(event.c.exchange_id == THE_LOG)
        with self._reading() as connection:
            return _records(connection, query.order_by(event.c.id))

    def removed(self) -> Mapping[str, PruneRecord]:
        """The archive files that went by retention, by name; only such as the log says of the very file."""
        with self._reading() as connection:
            return removed_files(connection)

    def spans_from(self, leaf: int, most: int = 100) -> Sequence[Span]:
        """The next spans that begin with this leaf or behind it, in order; spans without leaves are left out."""
        query = select(sealed).where(sealed.c.first_leaf >= leaf, sealed.c.leaves > 0)
        with self._reading() as connection:
            found = connection.execute(query.order_by(sealed.c.first_leaf).limit(most)).mappings().all()
        return [leaves.span_of(row) for row in found]

    def records(self, span: Span) -> Iterator[Record]:
        """The leaves of a span in order, with all that belongs to them; few are in memory at a time."""
        if span.kind is not Kind.BATCH:
            yield from map(Record, self.leaves(span))
            return
        first, last = leaves.seqs(span.first, span.last)
        while first <= last:
            with self._reading() as connection:
                found = leaves.records(connection, first, last)
            yield from found
            first = found[-1].leaf.number + 1 if len(found) == leaves.TOGETHER else last + 1

    def logged_rules(self, digests: Collection[str]) -> Sequence[LoggedRules]:
        """The leaves that say which keys these rules knew; rules that are not sealed are left out."""
        found = []
        with self._reading() as connection:
            query = select(rules.c.id, rules.c.digest, rules.c.known_keys, rules.c.manifest)
            query = query.where(rules.c.digest.in_(digests))
            for number, digest, keys, manifest in connection.execute(query.order_by(rules.c.id)).all():
                for leaf, entry in entries_of(connection, Kind.RULES, number, number):
                    found.append(LoggedRules(digest, leaf, entry, keys, manifest))
        return found

    def pruned(self, exchange_id: str) -> str:
        """The archive file where an exchange's bytes lie that are not in the database any more; '' = they are."""
        query = select(exchange.c.batch_id).where(exchange.c.exchange_id == exchange_id, ~HAS_BYTES)
        with self._reading() as connection:
            batch_id = connection.execute(query).scalar()
            return archive_of(connection, batch_id) if batch_id is not None else ""

    def takers(self, identities: Collection[str]) -> Mapping[str, Claim]:
        """Who took these, by identity: exchanges that are there, and such as were pruned."""
        with self._reading() as connection:
            found = among(connection, _takers, identities).all()
        return {claim.identity: claim for claim in map(_claim, found)}

    def pruned_claims(self) -> Iterator[Claim]:
        """What pruned exchanges took, by identity."""
        last = ""
        while True:
            query = select(taken).where(taken.c.identity > last).order_by(taken.c.identity).limit(AT_ONCE)
            with self._reading() as connection:
                found = connection.execute(query).all()
            yield from map(_claim, found)
            if not found:
                return
            last = found[-1].identity

    def note_archive(self, made: Archived, now: datetime) -> None:
        """Remember an archive file. Raises Unstorable where another archiver was quicker."""
        row = {column: getattr(made, name) for name, column in _COLUMNS.items()}
        with self._writing() as connection:
            connection.execute(insert(archive), {**row, "made_at": rows.microseconds(now)})


def _takers_of(of_sqlite: bool) -> CompoundSelect[Any]:
    """In one statement: an exchange that is pruned meanwhile is in one of the two tables."""
    claims = ([table.c[name] for name in ("identity", "exchange_id", "digest")] for table in (exchange, taken))
    return union_all(*(select(*own).where(is_among(own[0], "values", of_sqlite)) for own in claims))


_takers = {of_sqlite: _takers_of(of_sqlite) for of_sqlite in (True, False)}


def _claim(row: Any) -> Claim:
    return Claim(row.identity, row.exchange_id, bytes(row.digest))


def removed_files(connection: Connection) -> Mapping[str, PruneRecord]:
    """The archive files that went by retention, by name."""
    known = connection.execute(select(archive.c.name, archive.c.digest)).all()
    files = {(name, bytes(digest).hex()) for name, digest in known}
    this = and_(event.c.exchange_id == THE_LOG, event.c.event == str(Event.REMOVED))
    query = select(event.c.at, event.c.event, event.c.detail).where(this).order_by(event.c.id)
    return {one.file: one for one in _records(connection, query) if (one.file, one.sha256) in files}


def _records(connection: Connection, query: Select[Any]) -> list[PruneRecord]:
    """What cannot be read explains nothing; whoever changed it is found by an audit."""
    found = (PruneRecord.read(rows.moment(at), name, detail) for at, name, detail in connection.execute(query).all())
    return [record for record in found if record]


def archive_of(connection: Connection, batch_id: int) -> str:
    """The archive file that holds a batch; '' where it lies in none."""
    begun = and_(sealed.c.kind == str(Kind.BATCH), sealed.c.first <= batch_id)
    span = connection.execute(select(sealed).where(begun).order_by(sealed.c.first.desc()).limit(1)).mappings().first()
    if span is None or span["last"] < batch_id:
        return ""
    found = connection.execute(_newest_first.where(archive.c.first_leaf <= span["first_leaf"]).limit(1)).first()
    return found.name if found and span["first_leaf"] < found.first_leaf + found.leaves else ""


_newest_first = select(archive).order_by(archive.c.first_leaf.desc())
