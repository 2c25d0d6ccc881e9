"""Exit codes, the same for every command."""

from __future__ import annotations

DONE = 0
PROBLEMS = 1  # the command worked and found problems: a check failed, nothing was found
USAGE = 2  # wrong options or arguments; also a wrong setting or routes.yaml
UNAVAILABLE = 3  # broker or database cannot be reached: try later; or a row of the database cannot be read
STOPPED = 4  # stopped half-way by a limit or by its operator; what was done stands, the rest can be resumed
