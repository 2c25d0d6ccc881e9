"""The fault catalogue, one module per family; `all_faults` is the list that a run goes through."""

from __future__ import annotations

from tests.chaos.faults import (
    broker,
    cluster,
    config,
    content,
    database,
    power,
    process,
    restore,
    sealing,
    timeouts,
    tls,
    upgrade,
    upstream,
)
from tests.chaos.frame import Fault

NOT_COVERED = (
    ("F26", "a queue set to drop messages: found by `swexchange topology check`, tests/contract/test_topology.py"),
    ("F43", "rows of the audit log altered afterwards; tests/contract/test_evidence.py has every kind"),
    ("F44", "a database of another version; tests/contract/test_store_migrate.py"),
    ("F52 F53", "old messages, times at the edges of their window; tests/unit/test_decide_documents.py"),
)
"""Numbers of the catalogue, and why, or where else."""


def all_faults() -> tuple[Fault, ...]:
    """In the order of the table."""
    return (
        *process.FAULTS,
        *sealing.FAULTS,
        *broker.FAULTS,
        *timeouts.FAULTS,
        *tls.FAULTS,
        *cluster.FAULTS,
        *upstream.FAULTS,
        *database.FAULTS,
        *power.FAULTS,
        *upgrade.FAULTS,
        *restore.FAULTS,
        *config.FAULTS,
        *content.FAULTS,
    )
