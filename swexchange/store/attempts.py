"""What workers decide one by one, noted before: a note that outlives its worker tells over what it died.

Implements quarantine.Attempts. Notes survive the end of a process, not a power cut: they are not synced.
"""

from __future__ import annotations

from collections.abc import Set

from sqlalchemy import delete, insert, select, update

from swexchange.store.database import Database
from swexchange.store.tables import attempt

Note = tuple[str, int]  # the worker who wrote it, and how many it had written by then


class Attempts(Database):
    """The notes of one worker, whose name no other has; for one thread. Close it."""

    def __init__(self, url: str, worker: str) -> None:
        super().__init__(url)
        self._worker, self._turn = worker, 0

    def begin(self, digest: bytes) -> Set[Note]:
        """Note that this worker decides these bytes, no longer those before; see quarantine.Attempts."""
        self._turn += 1
        own, values = attempt.c.worker == self._worker, {"digest": digest, "turn": self._turn}
        others = select(attempt.c.worker, attempt.c.turn).where(attempt.c.digest == digest, ~own)
        with self._writing(synced=False) as connection:
            if not connection.execute(update(attempt).where(own).values(values)).rowcount:
                connection.execute(insert(attempt), {"worker": self._worker, **values})
            return {(worker, turn) for worker, turn in connection.execute(others)}

    def end(self) -> None:
        """Withdraw this worker's note; see quarantine.Attempts."""
        with self._writing(synced=False) as connection:
            connection.execute(delete(attempt).where(attempt.c.worker == self._worker))

    def forget(self, digest: bytes) -> None:
        """Remove every worker's note on these bytes; see quarantine.Attempts."""
        with self._writing(synced=False) as connection:
            connection.execute(delete(attempt).where(attempt.c.digest == digest))
