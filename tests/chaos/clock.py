"""`swexchange` with a clock that a test can set: `python -m tests.chaos.clock run`.

The file that CHAOS_CLOCK names holds seconds to add to the time, or `frozen` and a time; empty or
absent: nothing. Only the clock that the daemon hands to its parts is changed, which by the rules
of the house is the only one they ask.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from swexchange import clock

FILE = Path(os.environ["CHAOS_CLOCK"])


def skewed_now() -> datetime:
    """The time, moved by what the file says at this moment."""
    said = FILE.read_text("ascii").strip() if FILE.exists() else ""
    if said.startswith("frozen "):
        return datetime.fromisoformat(said.removeprefix("frozen "))
    return datetime.now(UTC) + timedelta(seconds=float(said or 0))


if __name__ == "__main__":
    clock.utc_now = skewed_now
    from swexchange.cli import main  # only now: its modules take the clock as they are imported

    main()
