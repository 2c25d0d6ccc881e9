"""Logs, metrics and the service manager: the one place where what happened is told."""

from datetime import UTC, datetime

from swexchange.observe.logs import configure_logs, flush_logs
from swexchange.observe.metrics import Metrics
from swexchange.observe.observer import Observer

__all__ = ["Metrics", "Observer", "configure_logs", "flush_logs", "utc_now"]


def utc_now() -> datetime:
    """The time now: the clock that the daemon gives to everything that needs one."""
    return datetime.now(UTC)
