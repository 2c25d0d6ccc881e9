"""Actors of which one runs at a time: who goes on, and what befalls it, is the schedule's choice.

An actor stops at every point it passes (`Stage.point`) and goes on when it is told to, perhaps
with an order: to die there, or to meet with a fault. So an interleaving is a list of choices, and
the same list gives the same run. Actors are greenlets: a switch costs nothing, and no thread of
the machine has a say.
"""

from __future__ import annotations

from collections.abc import Callable

from greenlet import greenlet


class Killed(BaseException):
    """The process is gone: nothing catches this, no transaction survives it."""


class Actor:
    """One that acts, and where it stands."""

    def __init__(self, stage: Stage, name: str, play: Callable[[], object]) -> None:
        self.name, self.at = name, "start"
        self._stage, self._play = stage, play
        self._strand = greenlet(self._run)

    @property
    def is_over(self) -> bool:
        """Whether it has played to its end, or was killed."""
        return bool(self._strand.dead)

    def go_on(self, order: BaseException | None = None) -> None:
        """Let it run to its next point, or its end; with an order, this is raised where it stands."""
        assert not self.is_over, f"{self.name} has ended"
        self._stage.acting = self
        try:
            self._strand.switch(order)
        finally:
            self._stage.acting = None

    def kill(self) -> None:
        """End it where it stands."""
        while not self.is_over:
            self.go_on(Killed())

    def stop_at(self, point: str) -> None:
        """Called by the actor itself: hand over, and go on when told."""
        self.at = point
        order = self._strand.parent.switch()
        if order:
            raise order

    def _run(self, order: BaseException | None) -> None:
        if order is None:
            try:
                self._play()
            except Killed:
                self.at = "dead"


class PointEvent:
    """What actors have in place of threading.Event: to wait is to pass a point, and time is the schedule's."""

    def __init__(self, point: Callable[[str], None]) -> None:
        self._point, self._is_set = point, False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, _seconds: float) -> bool:
        self._point("pause")
        return self._is_set


class Stage:
    """Where actors meet."""

    def __init__(self) -> None:
        self.acting: Actor | None = None

    def point(self, name: str) -> None:
        """The one that acts passes a point; nothing for who is no actor."""
        if self.acting:
            self.acting.stop_at(name)
