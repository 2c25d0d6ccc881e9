"""What the sealer tells: like `observer`, but in a process that knows no messages."""

from __future__ import annotations

import sdnotify
import structlog

from swexchange.core.log import LogState
from swexchange.errors import Fault
from swexchange.observe.logs import flush_logs
from swexchange.observe.metrics import SealerMetrics


class SealerObserver:
    """Turns what the sealer did into logs, metrics and messages to the service manager."""

    def __init__(self, metrics: SealerMetrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger()
        self._manager = sdnotify.SystemdNotifier()
        self._witnesses: dict[str, str] = {}  # what was last told of each: an absence is told once

    def started(self, number: int, entries: int) -> None:
        """The sealer goes on from a log of so many entries."""
        self._log.info("sealer started", number=number, entries=entries)
        self._manager.notify("READY=1")
        flush_logs()

    def stopping(self) -> None:
        """A stop was asked for; the step in hand is finished first."""
        self._manager.notify("STOPPING=1")
        self._log.info("sealer stopping")
        flush_logs()

    def alive(self) -> None:
        """The sealer made progress, or is at rest and well: feeds the watchdog."""
        self._manager.notify("WATCHDOG=1")

    def sealed(self, leaves: int) -> None:
        """Entries were added to the Merkle log."""
        self._metrics.sealed.inc(leaves)
        self._metrics.happens(self._metrics.last_seal)

    def log_state(self, state: LogState) -> None:
        """How far the Merkle log has come, and how far the archive files."""
        metrics = self._metrics
        metrics.log_entries.set(state.sealed)
        metrics.last_checkpoint.set(state.sealed_at.timestamp() if state.sealed_at else 0)
        metrics.unsealed.set(state.unsealed)
        metrics.archived.set(state.archived)
        metrics.last_archive.set(state.archived_at.timestamp() if state.archived_at else 0)

    def not_sealed(self, fault: Fault) -> None:
        """The Merkle log cannot be extended; the traffic goes on."""
        self._metrics.fault("NotSealed")
        self._log.error("not sealed", what=fault.what, where=fault.where, do=fault.do)
        flush_logs()

    def witnessed(self, witness: str, size: int) -> None:
        """A witness has signed the log."""
        self._metrics.last_witness.labels(witness).set_to_current_time()
        if self._witnesses.get(witness) != "":
            self._log.info("witnessed", witness=witness, entries=size)
        self._witnesses[witness] = ""
        flush_logs()

    def not_witnessed(self, witness: str, fault: Fault) -> None:
        """A witness has not signed; it is asked again and again, and told of when the reason changes."""
        self._metrics.fault("NotWitnessed")
        if self._witnesses.get(witness) != fault.what:
            self._log.error("not witnessed", witness=witness, what=fault.what, where=fault.where, do=fault.do)
        self._witnesses[witness] = fault.what
        flush_logs()
