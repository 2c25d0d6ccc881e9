"""An agency's queue that confirms nothing: nobody else waits for it, and it gets everything once it is well."""

from __future__ import annotations

from swexchange.broker.topology import inbox, receipts
from tests import rabbit
from tests.process.house import CUSTOMS, INTEGRATOR, House


def test_a_queue_that_hangs_stops_nobody_else(home: House) -> None:
    """Its process stands still, as one does that has lost its majority, before the daemon first sends to it."""
    with rabbit.shared().hanging(home.url.rpartition("/")[2], inbox(CUSTOMS)):
        daemon = home.daemon(environment={"SWX_CONFIRM_SECONDS": "2"})
        for number in range(3):
            home.send([home.declaration(f"HANGS-{number}")])
            assert len(home.collect(receipts(INTEGRATOR), 1)) == 1
        assert f"1 to {inbox(CUSTOMS)}" in daemon.log_file.read_text("utf-8")
    home.collect(inbox(CUSTOMS), 3)
