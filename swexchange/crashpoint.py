"""Named points at which a test kills the process without warning; nothing at all in normal use.

SWX_CRASH_AT=committed:3 sends SIGKILL to the process at its third pass of `committed`.
"""

from __future__ import annotations

import os
import signal

CRASH_AT = "SWX_CRASH_AT"  # the variable of the environment
_name, _, _count = os.environ.get(CRASH_AT, "").partition(":")
_passes = iter(range(int(_count or "1") - 1, -1, -1))


def crashpoint(name: str) -> None:
    """Die here if the environment says so."""
    if name == _name and next(_passes, 1) == 0:
        os.kill(os.getpid(), signal.SIGKILL)
