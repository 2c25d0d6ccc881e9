"""Which keys and files the rules had that something was decided by: a proof depends on them, whatever changes later."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from sqlalchemy import insert, select

from swexchange.core.keys import Key
from swexchange.core.log import key_history
from swexchange.errors import Unstorable
from swexchange.store import rows
from swexchange.store.database import Database
from swexchange.store.evidence_tables import rules


class KnownRules(Database):
    """Notes rules; for one thread. Close it."""

    _noted = ""  # digest of the rules that were noted last

    def _connected(self) -> None:
        self._noted = ""
        super()._connected()

    def note_rules(self, digest: str, keys: Collection[Key], now: datetime, manifest: str = "") -> None:
        """Note rules by their digest with their keys and their manifest, unless they are; see pipeline.Ledger."""
        if digest != self._noted:
            if not self._is_known(digest):
                row = {
                    "at": rows.microseconds(now),
                    "digest": digest,
                    "known_keys": key_history(keys),
                    "manifest": manifest,
                }
                with suppress(Unstorable), self._writing() as connection:
                    connection.execute(insert(rules), row)  # refused where another process was quicker
            self._noted = digest

    def _is_known(self, digest: str) -> bool:
        with self._reading() as connection:
            return connection.execute(select(rules.c.id).where(rules.c.digest == digest)).first() is not None
