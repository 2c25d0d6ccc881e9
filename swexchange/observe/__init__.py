"""Logs, metrics and the service manager: the one place where what happened is told.

`Observer` is imported from `observe.observer`: it knows messages, and so needs more than most commands do.
"""

from datetime import UTC, datetime

from swexchange.observe.logs import configure_logs, flush_logs

__all__ = ["configure_logs", "flush_logs", "utc_now"]


def utc_now() -> datetime:
    """The time now: the clock that the daemon gives to everything that needs one."""
    return datetime.now(UTC)
