"""One at a time at work on the archive files of a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swexchange.errors import Busy, ConfigFault


@contextmanager
def locked(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file, which the end of the process frees too.

    Raises Busy, saying so, where another has it, ConfigFault where its folder cannot be written.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        # Only to read, which is enough to lock it: an operator's root may have made it, and a timer's user comes next.
        held = os.fdopen(os.open(lock, os.O_RDONLY | os.O_CREAT, 0o644))
    except OSError as error:
        raise ConfigFault(f"archives cannot be written: {error.strerror}", where=str(lock)) from None
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(busy, where=str(lock.parent)) from None
        yield
