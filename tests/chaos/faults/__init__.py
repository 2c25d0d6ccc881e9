"""The fault catalogue, one module per family; `all_faults` is the list that a run goes through."""

from __future__ import annotations

from tests.chaos.faults import broker, cluster, config, content, database, process
from tests.chaos.frame import Fault


def all_faults() -> tuple[Fault, ...]:
    """In the order of the table."""
    return process.FAULTS + broker.FAULTS + cluster.FAULTS + database.FAULTS + config.FAULTS + content.FAULTS


NOT_COVERED = (
    ("F4", "there are no checkpoints of the audit log"),
    ("F8, F10", "memory limits and the explaining child: unit tests only"),
)
