"""The province as another RabbitMQ: over TLS, through an outage, a kill, and back, with the real daemon."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from swexchange.broker.client import Received
from swexchange.broker.topology import inbox, receipts
from swexchange.core.decide import decide
from swexchange.core.model import Delivery
from swexchange.core.parse import parse
from swexchange.core.rulebook import Platform
from tests import world
from tests.process import province as provinces
from tests.process.house import CUSTOMS, INTEGRATOR, SECONDS, House, house, until
from tests.process.province import OURS, PROVINCE, Province

pytestmark = pytest.mark.timeout(900)  # a node is stopped and started again


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """One node for all tests here; each leaves it running, its queues empty."""
    started = provinces.start(Path(tmp_path_factory.mktemp("province")))
    yield started
    started.node.stop()


@pytest.fixture
def city(province: Province, tmp_path: Path) -> Iterator[House]:
    """A physical municipal platform: its own broker, the province behind an upstream."""
    built = house(tmp_path, change=provinces.behind_upstream)
    province.credentials(built.folder / "keys")
    yield built
    built.close()
    province.received()


def _for_province(home: House, number: str, lane: str = "") -> bytes:
    document = world.declaration(lane or number, customs="9901")
    return home.signed(world.dxp_msg(document, number, sender=INTEGRATOR))


def _receipt_of_the_province(body: bytes) -> bytes:
    """What the province's own platform answers to a message of the integrator."""
    key, theirs = world.signing_key(PROVINCE), world.registered(INTEGRATOR)
    rules = world.rulebook(
        platform=Platform(PROVINCE, "GDSW4400", replace(key, id=f"{PROVINCE}-2026")),
        keys=world.keys_of(replace(theirs, id=f"{INTEGRATOR}-2026")),
    )
    receipt = decide(Delivery(1, INTEGRATOR, body), rules, world.NOW).receipt
    assert receipt is not None
    assert world.texts(parse(receipt.body, world.LIMIT).root, "CopMsgId") == ["UP-1"]
    return receipt.body


def _collect(province: Province, count: int, home: House) -> list[str]:
    """Message ids in the order of arrival, repeats left out."""
    found: dict[str, str] = {}

    def enough() -> bool:
        found.update({r.message_id: r.correlation_id for r in province.received() if r.message_id not in found})
        return len(found) >= count

    until(enough, f"{count} messages at the province", home.daemons[-1].log_file)
    return list(found.values())


def test_messages_go_up_and_receipts_and_messages_come_down(city: House, province: Province) -> None:
    """What goes up is the sender's own bytes; what comes down takes the same path as everything else."""
    daemon = city.daemon()
    body = _for_province(city, "UP-1")
    city.send([body])
    assert [world.receipt_code(r.body) for r in city.collect(receipts(INTEGRATOR), 1)] == ["0000"]
    until(lambda: bool(up := province.received()) and up[0].body == body, "the message", daemon.log_file)

    # The province's own receipt for it, and a declaration of the province for customs here.
    receipt = _receipt_of_the_province(body)
    down = world.dxp_msg(world.declaration("DOWN-1"), "DOWN-1", sender=PROVINCE)
    province.send(receipt, city.signed(down, PROVINCE))
    (answer,) = city.collect(inbox(INTEGRATOR), 1)
    assert (answer.body, answer.correlation_id, answer.type) == (receipt, "UP-1", "DxpRep")
    assert [copy.correlation_id for copy in city.collect(inbox(CUSTOMS), 1)] == ["DOWN-1"]
    # Our receipt for the province's message went up; its receipt got none.
    assert _collect(province, 1, city) == ["DOWN-1"]
    assert daemon.stop() == 0


def test_an_outage_costs_local_traffic_nothing_and_loses_nothing(city: House, province: Province) -> None:
    """Local messages pass while the province is down; afterwards everything arrives, each lane in order."""
    daemon = city.daemon()
    province.node.stop()
    numbers = [f"{lane}-{i}" for i in range(8) for lane in ("LA", "LB", "LC")]
    city.send([_for_province(city, number, number[:2]) for number in numbers])
    city.send([city.declaration(f"LOCAL-{i}") for i in range(20)])
    assert len(city.collect(inbox(CUSTOMS), 20)) == 20
    assert len(city.collect(receipts(INTEGRATOR), 44)) == 44
    daemon.wait_for("upstream is away, nothing more is tried")
    assert daemon.stop() == 0  # a stop and a start in the outage change nothing
    daemon = city.daemon()
    province.restart()
    came = _collect(province, len(numbers), city)
    assert sorted(came) == sorted(numbers)
    for lane in ("LA", "LB", "LC"):
        assert [n for n in came if n.startswith(lane)] == [f"{lane}-{i}" for i in range(8)]
    daemon.wait_for("upstream is back")
    assert daemon.stop() == 0


def test_watermarks_hold_senders_back_in_the_broker(city: House, province: Province) -> None:
    """At the high mark nothing more is taken; status says how things stand; below the low mark it goes on."""
    few = {"SWX_BACKLOG_STOP": "6", "SWX_BACKLOG_RESUME": "2", "SWX_BATCH": "2"}
    province.node.stop()
    numbers = [f"MARK-{i:02d}" for i in range(40)]
    daemon = city.daemon(ready=True, environment=few)
    for start in range(0, 40, 2):
        city.send([_for_province(city, number, "MARK") for number in numbers[start : start + 2]])
        time.sleep(0.5)  # the gate looks every few seconds: traffic has to last longer than that
    daemon.wait_for("intake stopped, the broker holds senders back")
    until(lambda: _upstream(city)["breaker"] == "open", "the breaker to be told", daemon.log_file)
    told = city.cli("status", environment=few).stdout.partition("\n")[0]
    assert told.startswith("intake")
    assert "stands still: " in told
    assert "resumes when no more than 2 copies are owed" in told
    checked = city.cli("doctor", environment=few)
    assert checked.returncode == 1
    assert "intake: it stands still, nothing was taken since " in checked.stdout
    found = _upstream(city)
    assert found["reason"]
    assert found["oldest"]
    assert 6 <= int(str(found["backlog"])) < 40
    assert found["last_success"] == ""
    until(lambda: _in_intake(city) == 40 - int(str(_upstream(city)["backlog"])), "the rest to wait in the broker")
    province.restart()
    assert _collect(province, 40, city) == numbers
    daemon.wait_for("intake resumed")
    until(lambda: _upstream(city)["backlog"] == 0, "nothing to wait")
    assert _upstream(city)["last_success"]
    assert daemon.stop() == 0


def _upstream(home: House) -> dict[str, object]:
    (one,) = json.loads(home.cli("status", "--json").stdout)["upstreams"]
    return dict(one)


def _in_intake(home: House) -> int:
    listed = home.broker("list_queues", "-q", "name", "messages").splitlines()
    return next(int(line.split()[1]) for line in listed if line.startswith("swx.intake"))


def test_a_replay_goes_up_through_the_forwarder(city: House, province: Province) -> None:
    """Queued while the province is down, the run is done; then it arrives once more, in order, and says so."""
    numbers = ["AGAIN-1", "AGAIN-2", "AGAIN-3"]
    daemon = city.daemon()
    city.send([_for_province(city, number, "AGAIN") for number in numbers])
    assert _collect(province, 3, city) == numbers
    province.node.stop()
    shown = json.loads(city.cli("replay", "plan", "--receiver", PROVINCE, "--to", PROVINCE, "--json").stdout)
    done = city.cli("replay", "run", shown["id"], "--reason", "the province lost them", "--json")
    assert (done.returncode, json.loads(done.stdout)["counts"]) == (0, {"sent": 3}), done.stderr
    province.restart()
    found: list[Received] = []

    def have_come() -> bool:
        found.extend(province.received())
        return len(found) >= len(numbers)

    until(have_come, "the replay", daemon.log_file)
    assert [(copy.correlation_id, copy.replay) for copy in found] == [(number, shown["id"]) for number in numbers]
    again = json.loads(city.cli("replay", "plan", "--receiver", PROVINCE, "--to", PROVINCE, "--json").stdout)
    assert again["items"] == 3
    assert daemon.stop() == 0


def test_an_operator_gives_up_a_copy(city: House, province: Province) -> None:
    """Preview first; then its lane goes on, and the trail says who, when and why."""
    province.received()
    city.send([_for_province(city, number, "DROP") for number in ("DROP-1", "DROP-2")])
    worker = city.daemon("--number", "0")
    city.collect(receipts(INTEGRATOR), 2)
    ((exchange, _),) = [(r["exchange"], 0) for r in _search(city, "DROP-1")]
    drop = ("backlog", "drop", exchange, PROVINCE, "--reason", "withdrawn")
    assert "would drop: message" in city.cli(*drop).stdout
    assert city.cli(*drop, "--yes").stdout == "1 dropped\n"
    assert city.cli(*drop, "--yes").returncode == 1
    shown = city.cli("audit", "show", exchange).stdout
    assert "withdrawn" in shown
    assert "RelayFailure" in shown
    forwarder = city.daemon("--upstream", "province")
    assert _collect(province, 1, city) == ["DROP-2"]
    assert (worker.stop(), forwarder.stop()) == (0, 0)


def _search(home: House, message_id: str) -> list[dict[str, str]]:
    return list(json.loads(home.cli("audit", "search", "--json", "--message-id", message_id).stdout))


def test_killed_between_sending_and_noting_it_the_same_ids_go_again(city: House, province: Province) -> None:
    """At least once, each id with the same bytes, each lane in order."""
    numbers = [f"KILL-{i}" for i in range(5)]
    bodies = [_for_province(city, number, "KILL") for number in numbers]
    city.send(bodies)
    worker = city.daemon("--number", "0")
    city.collect(receipts(INTEGRATOR), 5)
    doomed = city.daemon("--upstream", "province", ready=False, environment={"SWX_CRASH_AT": "forwarded:3"})
    assert doomed.process.wait(SECONDS) == -signal.SIGKILL
    city.daemon("--upstream", "province")
    found = province.received()

    def enough() -> bool:
        found.extend(province.received())
        return len({r.message_id for r in found}) == 5

    until(enough, "all five", city.daemons[-1].log_file)
    assert {r.body for r in found} == set(bodies)
    first = list(dict.fromkeys(r.correlation_id for r in found))
    assert first == numbers
    assert worker.stop() == 0


def test_a_wrong_certificate_or_an_open_connection_is_refused(city: House) -> None:
    """No client certificate, no TLS to another host: nothing is sent, and the log says why."""
    url = city.folder / "keys" / "upstream-province.url"
    for text, said in ((url.read_text().replace("localhost", "127.0.0.1"), "TLS"), ("amqp://a:b@10.0.0.1/", "amqps")):
        url.write_text(text)
        daemon = city.daemon("--upstream", "province", ready=False)
        until(lambda: said in daemon.log_file.read_text(), said, daemon.log_file)  # noqa: B023
        daemon.kill()


def test_the_provinces_own_queue_stays_untouched_while_we_cannot_decide(city: House, province: Province) -> None:
    """What comes down is acknowledged after the commit, as everywhere: without a database it stays there."""
    province.send(city.signed(world.dxp_msg(world.declaration("KEPT-1"), "KEPT-1", sender=PROVINCE), PROVINCE))
    doomed = city.daemon("--upstream", "province", ready=False, environment={"SWX_CRASH_AT": "decided"})
    assert doomed.process.wait(SECONDS) == -signal.SIGKILL
    until(lambda: f"{OURS}\t1" in province.node.ctl("list_queues", "-q", "name", "messages_ready"), "redelivery")
    city.daemon()
    assert [copy.correlation_id for copy in city.collect(inbox(CUSTOMS), 1)] == ["KEPT-1"]
