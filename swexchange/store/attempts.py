"""What workers decide of what was redelivered, noted before: a note that outlives its worker tells over what it died.

Implements quarantine.Attempts. Notes survive the end of a process, not a power cut: they are not synced.
"""

from __future__ import annotations

from collections.abc import Collection, Set

from sqlalchemy import Connection, bindparam, delete, insert, select

from swexchange.store.database import Database
from swexchange.store.tables import attempt

Note = tuple[str, int]  # the worker who decides bytes alone, and how many it had so decided by then
TOGETHER = 0  # attempt.turn of bytes that are decided with others


class Attempts(Database):
    """The notes of one worker, whose name no other has; for one thread. Close it."""

    def __init__(self, url: str, worker: str) -> None:
        super().__init__(url)
        self._worker, self._turn = worker, 0

    def begin_together(self, digests: Collection[bytes]) -> Set[bytes]:
        """Note that this worker decides all these, nothing else; see quarantine.Attempts."""
        asked = {"me": self._worker, "digests": list(digests)}
        with self._writing(synced=False) as connection:
            self._note(connection, digests, TOGETHER)
            return {bytes(digest) for digest in connection.execute(_of_others, asked).scalars()}

    def begin_alone(self, digest: bytes) -> Set[Note]:
        """Note that this worker decides these bytes alone, nothing else; see quarantine.Attempts."""
        self._turn += 1
        asked = {"me": self._worker, "of": digest}
        with self._writing(synced=False) as connection:
            self._note(connection, (digest,), self._turn)
            return {(worker, turn) for worker, turn in connection.execute(_alone_of_others, asked)}

    def _note(self, connection: Connection, digests: Collection[bytes], turn: int) -> None:
        connection.execute(_mine_end, {"me": self._worker})
        notes = [{"worker": self._worker, "digest": digest, "turn": turn} for digest in digests]
        connection.execute(_add, notes)

    def end(self) -> None:
        """Withdraw all notes of this worker; see quarantine.Attempts."""
        with self._writing(synced=False) as connection:
            connection.execute(_mine_end, {"me": self._worker})

    def forget(self, digest: bytes) -> None:
        """Remove every worker's note on these bytes; see quarantine.Attempts."""
        with self._writing(synced=False) as connection:
            connection.execute(_forget, {"of": digest})


# Made once: SQLAlchemy takes longer to make a statement than to run it.
_is_anothers = attempt.c.worker != bindparam("me")
_of_others = select(attempt.c.digest).where(attempt.c.digest.in_(bindparam("digests", expanding=True)), _is_anothers)
_alone_of_others = select(attempt.c.worker, attempt.c.turn).where(
    attempt.c.digest == bindparam("of"), _is_anothers, attempt.c.turn != TOGETHER
)
_add = insert(attempt)
_mine_end = delete(attempt).where(attempt.c.worker == bindparam("me"))
_forget = delete(attempt).where(attempt.c.digest == bindparam("of"))
