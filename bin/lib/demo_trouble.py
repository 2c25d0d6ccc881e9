"""Why the demo cannot go on, as one line for people and an exit code."""

from __future__ import annotations

UNFIT = 2  # something here does not allow a demo: folder, port, broker, routes.yaml
FAILED = 1  # the exchange did not do what it should


class Trouble(Exception):  # noqa: N818 - not always an error of the demo's
    """Ends the demo: what, where and what to do, in one line."""

    def __init__(self, line: str, code: int = UNFIT) -> None:
        super().__init__(line)
        self.code = code
