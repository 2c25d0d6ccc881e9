"""The real daemon against an upstream in bad hands: local traffic goes on, and it stops in time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from swexchange.broker.topology import inbox, receipts
from tests import world
from tests.foe import Foe
from tests.process import province as provinces
from tests.process.house import CUSTOMS, INTEGRATOR, House, house, until

CLOSING = 5  # seconds that a link waits for the broker to let it go


def _for_province(home: House, number: str) -> bytes:
    document = world.declaration(number, customs="9901")
    return home.signed(world.dxp_msg(document, number, sender=INTEGRATOR))


@pytest.mark.timeout(300)
def test_one_that_neither_confirms_nor_lets_go_delays_a_stop_by_its_own_deadlines_alone(tmp_path: Path) -> None:
    """Taking from it and sending to it end side by side: while links are closed nothing more is tried."""
    with Foe(lambda line, published: None) as foe:
        foe.lets_go = False
        home = house(tmp_path, change=provinces.behind_upstream)
        try:
            url = home.folder / "keys" / "upstream-province.url"
            url.touch(mode=0o600)
            url.write_text(foe.url)
            daemon = home.daemon(environment={"SWX_CONFIRM_SECONDS": "0.3"})
            home.send([home.declaration(f"LOCAL-{n}") for n in range(20)])
            assert len(home.collect(inbox(CUSTOMS), 20)) == 20
            assert len(home.collect(receipts(INTEGRATOR), 20)) == 20
            home.send([_for_province(home, "UP-1")])
            until(lambda: bool(foe.published), "the message at the upstream", daemon.log_file)
            tried, began = len(foe.published), time.monotonic()
            assert daemon.stop() == 0
            assert len(foe.published) <= tried + 1, "one may have been on its way"
            assert time.monotonic() - began < 2 * CLOSING + 3, "two queues are read there"
        finally:
            home.close()
