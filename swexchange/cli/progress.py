"""A bar for long work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


def progress(what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """A bar on stderr with rate and time left, where a person looks on; call what it gives with each number done."""
    return _bar(what, total) if sys.stderr.isatty() else nullcontext(lambda _count: None)


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    import rich.progress  # noqa: PLC0415 - most commands draw no bar, and would start a tenth later
    from rich.console import Console  # noqa: PLC0415

    bar = rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[rate]}"),
        rich.progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    started = time.monotonic()
    with bar:
        task = bar.add_task(what, total=total, rate="")

        def advance(count: int) -> None:
            bar.advance(task, count)
            done = bar.tasks[0].completed
            bar.update(task, rate=f"{done / max(time.monotonic() - started, 0.001):,.0f}/s")

        yield advance
