"""An outlet that lives as long as a worker: a channel that RabbitMQ goes on refusing is given up for a new one.

A quorum queue that is full tells each publishing channel to refuse everything for it, and takes
that back when it has room. Some releases forget to: when the limit was raised or taken away by a
policy (rabbitmq-server#12206, in 3.10 at least), the channel refuses for good, while any new one
is served.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from swexchange.broker.link import Outlet
from swexchange.core.model import Copy, Fate

RENEW_SECONDS = 30.0  # a queue that stays full costs a new connection as often as this, no more


class LastingOutlet:
    """Publishes over one outlet after another; see `Outlet`."""

    def __init__(self, connect: Callable[[], Outlet], renew_seconds: float = RENEW_SECONDS) -> None:
        self._connect, self._renew_seconds = connect, renew_seconds
        self._outlet = connect()
        self._connected_at = time.monotonic()
        self._was_refused = False

    def publish(self, copies: Sequence[Copy]) -> list[Fate]:
        """Send copies; one fate each, in order. Raises BrokerLost."""
        if self._was_refused and time.monotonic() - self._connected_at >= self._renew_seconds:
            self._renew()
        fates = self._outlet.publish(copies)
        self._was_refused = self._was_refused or Fate.REFUSED in fates
        return fates

    def _renew(self) -> None:
        """Nothing is under way between two calls of `publish`, so nothing is lost with the old one."""
        self._outlet.close()
        self._outlet = self._connect()
        self._connected_at = time.monotonic()
        self._was_refused = False

    def check(self) -> None:
        """Raise BrokerLost when the link has ended."""
        self._outlet.check()

    @property
    def blocked(self) -> bool:
        """Whether an alarm of the broker holds publishers back."""
        return self._outlet.blocked

    def close(self) -> None:
        """End the link."""
        self._outlet.close()
