"""The sealer's process: seals the audit log and has it witnessed, beside the workers and behind them."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, suppress

from swexchange.cli.wiring_store import sealer
from swexchange.evidence.sealer import Sealing
from swexchange.observe.metrics import SealerMetrics
from swexchange.observe.sealing import SealerObserver
from swexchange.settings import Settings
from swexchange.store import open_evidence

NICE = 10  # what it does can wait; where a core is short, a message in a worker or in the broker goes first


def seal(settings: Settings, number: int) -> None:
    """Seal until asked to stop, then finish the step in hand.

    Raises ConfigFault where the log has no key or was rolled back, and StoreDown before the first look.
    """
    with suppress(PermissionError):  # a filter of system calls may forbid it: then it is as quick as the others
        os.nice(NICE)
    metrics = SealerMetrics()
    observer = SealerObserver(metrics)
    with ExitStack() as stack:
        log = stack.enter_context(open_evidence(settings.database_url))
        sealing = sealer(settings, log)
        entries = sealing.check().size
        ending = _Ending()
        if settings.witnesses:
            from swexchange.cli.asking import witnessing  # noqa: PLC0415 - who has none needs none of the broker

            stack.enter_context(witnessing(settings, observer))
        if settings.metrics_port:
            metrics.serve(settings.metrics_port + number)
        observer.started(number, entries)
        Sealing(sealing, settings.seal_seconds, observer, ending.wait).run()
        observer.stopping()


class _Ending:
    """Waits for SIGTERM and Ctrl-C. They are blocked, not handled: no handler runs in the midst of a wait's own locks.

    Make it before any thread, so that none of them takes the signals.
    """

    SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)
        self._asked = False

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until asked to end; whether that was asked, now or before."""
        self._asked = self._asked or signal.sigtimedwait(self.SIGNALS, seconds) is not None
        return self._asked
