"""One at a time at work on the archive files of a folder."""

from __future__ import annotations

import fcntl
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
        held = lock.open("w")
    except OSError as error:
        raise ConfigFault(f"archives cannot be written: {error.strerror}", where=str(lock.parent)) from None
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(busy, where=str(lock.parent)) from None
        yield
