"""Work that is the same many times over, done on all cores, each in a process of its own."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def on_all_cores(work: Callable[[S], T], pieces: Iterable[S]) -> Iterator[T]:
    """What comes of each piece, in their order; `work` must be found in another process by its name.

    Pieces are taken a few ahead. What `work` raises is raised here. The processes end with this one, whatever ends it.
    """
    cores = len(os.sched_getaffinity(0))
    # Started anew, not forked: a forked process would share this one's connections.
    context = get_context("spawn")
    with ProcessPoolExecutor(cores, context, _follow_parent) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for piece in pieces:
                waiting.append(pool.submit(work, piece))
                if len(waiting) > 2 * cores:  # bounds what is in memory, and keeps every core busy
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Signals are for the parent to hear. One that is killed tells nobody: then there is no more work, ever."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parent = parent_process()
    assert parent, "this is no process of a pool"

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    Thread(target=end_with_it, daemon=True).start()
