"""doctor, and the look that `run` takes before it starts, at an upstream's broker: another vhost, as a tenant there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pika
import pytest

from tests import rabbit
from tests.process.house import House, house
from tests.process.province import EXCHANGE, OUR_RECEIPTS, OURS, behind_upstream

THERE = "there"
TENANT = "tenant", "secret"
QUORUM = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}


@dataclass
class City:
    """A house with the province behind an upstream, and the vhost that stands for the province's broker."""

    house: House
    admin_url: str

    def declare(self) -> None:
        """What the province declares for its tenant."""
        with pika.BlockingConnection(pika.URLParameters(self.admin_url)) as connection:
            channel = connection.channel()
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            for queue in (OURS, OUR_RECEIPTS):
                channel.queue_declare(queue, durable=True, arguments=QUORUM)

    def credentials(self, url: str, management_url: str = "") -> None:
        """Put them where the city's commands look for them."""
        keys = self.house.folder / "keys"
        for name, text in (("upstream-province.url", url), ("upstream-province.management.url", management_url)):
            path = keys / name
            path.unlink(missing_ok=True)
            if text:
                path.touch(mode=0o600)
                path.write_text(text)

    def said(self, code: int) -> list[str]:
        """What doctor says of the upstream, each with its danger; the exit code, unless this machine's disk has one."""
        done = self.house.cli("doctor", "--json")
        checks = json.loads(done.stdout)
        assert done.returncode == code or any("tmpfs" in check["said"] for check in checks), done
        assert any(check["name"] == "broker" and check["danger"] is None for check in checks)
        mine = [check for check in checks if check["name"].startswith("upstream")]
        assert {check["name"] for check in mine} == {"upstream province"}
        return [f"{check['danger'] or 'ok'}: {check['where']}: {check['said']}: {check['do']}" for check in mine]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """One house for all tests here."""
    node = rabbit.shared()
    city = City(house(Path(tmp_path_factory.mktemp("city")), change=behind_upstream), node.vhost(THERE))
    node.manage("PUT", "users", TENANT[0], password=TENANT[1], tags="")
    node.manage("PUT", "permissions", THERE, TENANT[0], configure="^$", write=f"^{EXCHANGE}$", read=f"^{OURS}$")
    yield city
    city.house.close()


@pytest.fixture
def city(made: City) -> City:
    """As the province should be, and as little told as tenants usually are."""
    made.declare()
    made.credentials(rabbit.shared().url_of(*TENANT, THERE))
    return made


@pytest.fixture
def expiring(city: City) -> Iterator[None]:
    """The province has a policy under which what is for the city expires."""
    rabbit.shared().manage("PUT", "policies", THERE, "ttl", pattern=OURS, definition={"message-ttl": 10**6})
    yield
    rabbit.shared().manage("DELETE", "policies", THERE, "ttl")


def test_a_tenant_sees_that_all_exists_and_is_told_what_it_does_not_see(city: City) -> None:
    """Release, exchange and queue over AMQP; the rest is named as not looked into, and is no failure."""
    version, exists, rest = city.said(0)
    assert version.startswith("ok: : broker: RabbitMQ ")
    assert exists == "ok: : topology: everything exists: "
    assert rest.startswith("risk: : broker: not looked into: Put a URL into upstream-province.management.url")


def test_what_is_missing_there_is_said_and_who_can_mend_it(city: City) -> None:
    """A queue that is gone: messages do not flow, and the city cannot declare it."""
    with pika.BlockingConnection(pika.URLParameters(city.admin_url)) as connection:
        connection.channel().queue_delete(OURS)
    (missing,) = [line for line in city.said(1) if line.startswith("stop")]
    assert missing == (f"stop: {OURS}: topology: the queue does not exist: Ask who runs that broker: Declare it")


@pytest.mark.usefixtures("expiring")
def test_with_its_management_api_losses_are_found_there_too(city: City) -> None:
    """doctor says LOSES; a topic exchange is no problem there, and `run` starts, with a warning that names it."""
    city.credentials(rabbit.shared().url_of(*TENANT, THERE), rabbit.shared().management_url)
    lines = city.said(1)
    (loses,) = [line for line in lines if line.startswith("loss")]
    assert loses.startswith(f"loss: {OURS}: topology: messages expire after 1000000 ms: Ask who runs that broker: ")
    assert not any(EXCHANGE in line for line in lines)
    daemon = city.house.daemon("--upstream", "province")
    (warned,) = [event for event in daemon.log() if event["event"] == "topology"]
    assert (warned["upstream"], warned["name"], warned["danger"]) == ("province", OURS, "loss")
    assert daemon.stop() == 0


def test_a_management_api_that_is_not_for_tenants_is_no_failure(city: City) -> None:
    """RabbitMQ answers 401 to a user without a tag: said, and what AMQP shows is looked at."""
    url = rabbit.shared().management_url.replace("guest:guest", ":".join(TENANT))
    city.credentials(rabbit.shared().url_of(*TENANT, THERE), url)
    version, exists, rest = city.said(0)
    assert (version[:2], exists[:2]) == ("ok", "ok")
    assert rest.startswith("risk: : broker: not looked into: Correct user and password")


def test_an_upstream_that_is_away_is_named(city: City) -> None:
    """The other checks go on, and so does the daemon's start."""
    city.credentials("amqp://a:b@127.0.0.1:9/there", "http://a:b@127.0.0.1:9")
    (away,) = city.said(1)
    assert away.startswith("stop: : ")
    assert "127.0.0.1:9" in away
    daemon = city.house.daemon()
    (warned,) = [event for event in daemon.log() if event["event"] == "topology not checked"]
    assert warned["upstream"] == "province"
    assert daemon.stop() == 0


def test_the_password_for_the_management_api_goes_by_tls_alone(city: City) -> None:
    """As for AMQP: only this machine may be reached without."""
    city.credentials(rabbit.shared().url_of(*TENANT, THERE), "http://a:b@province.example:15672")
    (found,) = city.said(1)
    assert "the URL of province.example is not https" in found
