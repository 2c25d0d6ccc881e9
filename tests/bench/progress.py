"""What a person sees while the benchmark runs: a bar and one line a result, on stderr."""

from __future__ import annotations

from types import TracebackType

import rich.progress
from rich.console import Console


class Progress:
    """A bar that grows by the steps that measures expect."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeElapsedColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task("benchmark", total=0)
        self._expected = 0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def expect(self, steps: int) -> None:
        """So many more steps are to come."""
        self._expected += steps
        self._bar.update(self._task, total=self._expected)

    def done(self, result: str) -> None:
        """One step is done; its result."""
        self._bar.advance(self._task)
        self._console.print(result)
