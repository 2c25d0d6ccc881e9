"""The two example platforms, as they stand in the docs: a virtual one works, and becomes a physical one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from swexchange import yamlfile
from swexchange.broker.topology import inbox, receipts
from tests import rabbit, world
from tests.process import province as provinces
from tests.process.house import CUSTOMS, INTEGRATOR, ROOT, House, house, until
from tests.process.province import PROVINCE, Province

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """The province's own broker."""
    started = provinces.start(Path(tmp_path_factory.mktemp("province")))
    yield started
    started.node.stop()


def _example(name: str) -> dict[str, Any]:
    rules: dict[str, Any] = yamlfile.read(EXAMPLES / f"{name}.yaml").data
    del rules["tests"]  # their samples stand beside the docs; test_commands runs them there
    return rules


def _virtual(rules: dict[str, Any]) -> None:
    rules.clear()
    rules.update(_example("virtual"))


def _go_physical(home: House, province: Province) -> House:
    """The steps of docs/how-to/upstream.md, with the daemon stopped: own broker, credentials, rules."""
    ours = replace(home, url=rabbit.shared().vhost("own"), daemons=[])
    rules, before = _example("physical"), yamlfile.read(home.routes).data
    rules["platform"]["keys"] = before["platform"]["keys"]
    for participant, old in zip(rules["participants"], before["participants"], strict=True):
        participant["keys"] = old["keys"]
    home.routes.write_text(yaml.safe_dump(rules, allow_unicode=True, sort_keys=False), "utf-8")
    province.credentials(home.folder / "keys")
    assert ours.cli("topology", "apply").returncode == 0
    assert ours.cli("routes", "check").returncode == 0
    return ours


def _to_province(home: House, number: str) -> bytes:
    """A declaration that no agency of the city takes; all of one declarant and one number."""
    return home.signed(world.dxp_msg(world.declaration("ONE", customs="2201"), number, sender=INTEGRATOR))


@pytest.mark.timeout(900)
def test_a_virtual_platform_becomes_a_physical_one_and_loses_nothing(tmp_path: Path, province: Province) -> None:
    """What was delivered, owed or waiting at the tenant's vhost, and what comes later, arrives once, in order."""
    virtual = house(tmp_path, change=_virtual)
    daemon = virtual.daemon()
    virtual.send([virtual.declaration("CITY-1"), _to_province(virtual, "UP-1")])
    assert len(virtual.collect(receipts(INTEGRATOR), 2)) == 2
    assert [copy.correlation_id for copy in virtual.collect(inbox(CUSTOMS), 1)] == ["CITY-1"]
    assert [copy.correlation_id for copy in virtual.collect(inbox(PROVINCE), 1)] == ["UP-1"]
    # Owed at the time of the move: their queues are away.
    for queue in (inbox(PROVINCE), inbox(CUSTOMS)):
        virtual.broker("delete_queue", queue)
    virtual.send([_to_province(virtual, "UP-2"), _to_province(virtual, "UP-3"), virtual.declaration("CITY-2")])
    assert len(virtual.collect(receipts(INTEGRATOR), 3)) == 3
    daemon.wait_for("not delivered", 3)
    assert daemon.stop() == 0

    physical = _go_physical(virtual, province)
    physical.send([_to_province(physical, "UP-4"), physical.declaration("CITY-3")])
    try:
        daemon = physical.daemon()
        assert len(physical.collect(receipts(INTEGRATOR), 2)) == 2
        assert {copy.correlation_id for copy in physical.collect(inbox(CUSTOMS), 2)} == {"CITY-2", "CITY-3"}
        came: list[str] = []

        def all_are_there() -> bool:
            came.extend(r.correlation_id for r in province.received())
            return len(set(came)) == 3

        until(all_are_there, "three messages at the province", daemon.log_file)
        assert came == ["UP-2", "UP-3", "UP-4"]
        # A repeat of what was accepted before the move is known: the same receipt, and nothing else.
        physical.send([_to_province(physical, "UP-1")])
        assert len(physical.collect(receipts(INTEGRATOR), 1)) == 1
        assert province.received() == []
        assert daemon.stop() == 0
    finally:
        physical.close()


def test_the_examples_differ_in_the_upstream_alone() -> None:
    """Going from one to the other is what the marked lines say, and no more."""
    virtual, physical = _example("virtual"), _example("physical")
    del physical["upstreams"]
    del physical["participants"][-1]["upstream"]
    assert virtual == physical
