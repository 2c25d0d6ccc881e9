"""The links in trouble, on a real RabbitMQ: what ends them, what it is called, and that nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pika
import pytest
from pika import spec
from pika.frame import Method

from swexchange.broker import (
    Intake,
    LastingOutlet,
    Message,
    Outlet,
    PassingOver,
    Server,
    Tls,
    Topology,
    admin,
    link,
)
from swexchange.broker.topology import INTAKE, inbox, outbox, receipts
from swexchange.core.model import Copy, Fate, Kind
from swexchange.core.silence import SilentQueues
from swexchange.errors import BrokerLost, ConfigFault
from tests import rabbit

MANY = 10**9
TOPOLOGY = Topology(("alice",))
COPY = Copy("id-1", Kind.MESSAGE, "alice", "DEC001", "of-1", "01EXCHANGE", b"<a/>")
FRAME_ROOM = 131072 - 8  # bytes of body in a frame of the size RabbitMQ proposes


@pytest.fixture
def server() -> Server:
    """An empty vhost of the shared node with the topology of one participant."""
    server = Server(rabbit.shared().vhost("trouble"))
    admin.apply(server, TOPOLOGY)
    return server


def _messages(number: int, body: bytes = b"<a/>") -> list[Message]:
    return [Message(outbox("alice"), "", body, message_id=f"m{n}") for n in range(number)]


def _lost(action: Callable[[], object]) -> str:
    with pytest.raises(BrokerLost) as caught:
        action()
    return str(caught.value)


def _take(intake: Intake, number: int) -> list[Any]:
    got: list[Any] = []
    while len(got) < number:
        batch = intake.take(number - len(got), MANY, 10)
        assert batch, f"only {len(got)} of {number} messages came"
        got += batch
        intake.ack_through(batch[-1].tag)
    return got


# -- a full queue


def test_a_queue_that_has_room_again_gets_its_copies(server: Server) -> None:
    """RabbitMQ 3.10 goes on refusing the channel that it refused (rabbitmq-server#12206): a new one is served."""
    node, name = rabbit.shared(), ("policies", "trouble", "small")
    node.manage("PUT", *name, pattern=r"inbox\.alice", definition={"max-length": 3}, **{"apply-to": "queues"})
    patient, hasty = (LastingOutlet(partial(Outlet, server), seconds) for seconds in (600, 0))
    try:
        _until(lambda: patient.publish([COPY]) == hasty.publish([COPY]) == [Fate.REFUSED])
        assert hasty.publish([COPY]) == [Fate.REFUSED], "it is full for a new channel too"
        node.manage("DELETE", *name)
        _until(lambda: hasty.publish([COPY]) == [Fate.CONFIRMED])
    finally:
        patient.close()
        hasty.close()


def test_a_queue_that_confirms_nothing_costs_the_others_a_while(server: Server) -> None:
    """Its process hangs, as one does that has lost its majority; once it is well, it gets its copies again."""
    silent = SilentQueues()
    both = [COPY, replace(COPY, kind=Kind.RECEIPT)]
    with ExitStack() as links:

        def new(silent: SilentQueues) -> PassingOver:
            """Closed when the queue is well: before, that takes its time."""
            return links.enter_context(closing(PassingOver(LastingOutlet(partial(Outlet, server, 3)), silent)))

        def publish() -> list[Fate]:
            with suppress(BrokerLost):
                return new(silent).publish(both)
            return []

        known = new(SilentQueues())
        assert known.publish(both) == [Fate.CONFIRMED] * 2
        with rabbit.shared().hanging("trouble", inbox("alice")):
            assert known.publish(both) == [Fate.UNKNOWN, Fate.CONFIRMED]
            assert "did not confirm within 3 seconds: 1 to swx.inbox.alice" in _lost(lambda: known.publish(both))
            assert "1 to swx.inbox.alice, 1 to swx.receipts.alice" in _lost(lambda: new(silent).publish(both))
            _until(lambda: publish() == [Fate.UNKNOWN, Fate.CONFIRMED])  # the second or third time
        _until(lambda: publish() == [Fate.CONFIRMED] * 2)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


# -- bodies and properties


def test_bodies_of_every_size_pass_unchanged(server: Server) -> None:
    """Empty, around the size of one and two frames, and of megabytes: the same bytes come out."""
    sizes = [0, 1, FRAME_ROOM - 1, FRAME_ROOM, FRAME_ROOM + 1, 2 * FRAME_ROOM, 3_000_000]
    bodies = [bytes([n]) * size for n, size in enumerate(sizes)]
    with Outlet(server) as outlet, Intake(server, INTAKE) as intake:
        assert set(outlet.publish_raw([Message(outbox("alice"), "", body) for body in bodies])) == {Fate.CONFIRMED}
        assert [d.body for d in _take(intake, len(bodies))] == bodies


def test_odd_properties_are_cleaned_and_never_fail(server: Server) -> None:
    """Control and direction characters go, numbers and tables are no texts, missing ones are ''."""
    odd = [
        pika.BasicProperties(),
        pika.BasicProperties(message_id="a\x00b\r\nc\u202ed", type="\ud800".encode("utf-8", "replace").decode()),
        pika.BasicProperties(headers={"t": {"n": 1}, "l": [1, None]}, priority=9, expiration="3600000", timestamp=0),
        pika.BasicProperties(message_id="单" * 85, content_type="x", user_id="guest", cluster_id="c", app_id="a"),
    ]
    connection = pika.BlockingConnection(server.parameters())
    channel = connection.channel()  # one for all: order is promised within a channel only
    for properties in odd:
        channel.basic_publish(outbox("alice"), "", b"<a/>", properties)
    connection.close()
    with Intake(server, INTAKE) as intake:
        found = [delivery.properties for delivery in _take(intake, len(odd))]
    assert [p.message_id for p in found] == ["", "abcd", "", "单" * 85]
    assert [p.user_id for p in found] == ["", "", "", "guest"]


def test_more_than_may_be_in_flight_is_sent_in_parts(server: Server) -> None:
    """Thousands of messages in one call are confirmed and come in order."""
    with Outlet(server) as outlet, Intake(server, INTAKE) as intake:
        assert set(outlet.publish_raw(_messages(3 * link.IN_FLIGHT + 1))) == {Fate.CONFIRMED}
        found = [d.properties.message_id for d in _take(intake, 3 * link.IN_FLIGHT + 1)]
    assert found == [f"m{n}" for n in range(3 * link.IN_FLIGHT + 1)]


def test_what_is_not_taken_does_not_fill_the_memory(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading pauses at the bound and goes on by itself; everything comes."""
    monkeypatch.setattr(link, "BUFFER_BYTES", 1_000_000)
    with Outlet(server) as outlet:
        outlet.publish_raw(_messages(300, bytes(100_000)))
    with Intake(server, INTAKE, prefetch=300) as intake:
        assert intake._wait(lambda: intake._paused, 10)
        assert intake._bytes < 4_000_000  # the bound, one read and what pika had in hand
        assert len(_take(intake, 300)) == 300


# -- the end of a link


def test_a_closed_connection_wakes_a_waiting_take(server: Server) -> None:
    """An operator closes the connection: `take` raises at once, naming the reason, and so ever after."""
    intake = Intake(server, INTAKE)
    said: list[str] = []
    waiting = threading.Thread(target=lambda: said.append(_lost(lambda: intake.take(1, MANY, 60))))
    waiting.start()
    rabbit.shared().ctl("close_all_connections", "--vhost", "trouble", "maintenance")
    waiting.join(30)
    assert "320" in said[0]
    assert "maintenance" in said[0]
    _lost(lambda: intake.ack_through(1))


def test_an_exception_on_the_io_thread_ends_the_link(server: Server) -> None:
    """Whatever ends the I/O thread, a waiting caller hears of it."""
    intake = Intake(server, INTAKE)
    intake._call(lambda: 1 // 0)
    assert "ZeroDivisionError" in _lost(lambda: intake.take(1, MANY, 60))


def test_an_acknowledgement_out_of_turn_ends_the_link_and_loses_nothing(server: Server) -> None:
    """A tag that was never given is refused by RabbitMQ: the link ends, the message comes again."""
    with Outlet(server) as outlet:
        outlet.publish_raw(_messages(1))
    intake = Intake(server, INTAKE)
    intake.take(1, MANY, 10)
    intake.ack_through(99)
    assert "406" in _lost(lambda: intake.take(1, MANY, 30))
    with Intake(server, INTAKE) as again:
        assert len(_take(again, 1)) == 1


def test_a_missing_exchange_ends_the_outlet(server: Server) -> None:
    """Publishing where there is no exchange says so; no fate is invented."""
    with Outlet(server) as outlet:
        assert "404" in _lost(lambda: outlet.publish_raw([Message("swx.outbox.nobody", "", b"<a/>")]))


def test_a_link_lost_midway_leaves_what_is_known(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages confirmed before the loss stay CONFIRMED, the others are UNKNOWN; the next call raises."""
    monkeypatch.setattr(link, "IN_FLIGHT", 2)  # so that the first is confirmed before the third goes out
    messages = [*_messages(2), Message("swx.outbox.nobody", "", b"<a/>"), *_messages(1)]
    with Outlet(server) as outlet:
        fates = outlet.publish_raw(messages)
        assert (fates[0], *fates[2:]) == (Fate.CONFIRMED, Fate.UNKNOWN, Fate.UNKNOWN)
        assert "404" in _lost(lambda: outlet.publish_raw(messages))


def test_a_link_is_kept_alive_while_nothing_happens(server: Server) -> None:
    """With a heartbeat of one second, a link without traffic for several is still good."""
    with Intake(Server(server.url, heartbeat=1), INTAKE) as intake, Outlet(Server(server.url, heartbeat=1)) as outlet:
        assert intake.take(1, MANY, 4) == []
        assert outlet.publish_raw(_messages(1)) == [Fate.CONFIRMED]
        assert len(_take(intake, 1)) == 1


# -- alarms


@pytest.fixture
def alarm() -> Iterator[Callable[[bool], None]]:
    """Switches the disk alarm of the shared node on and off."""
    node = rabbit.shared()

    def switch(on: bool) -> None:
        node.ctl("set_disk_free_limit", "999GB" if on else "50MB")

    yield switch
    node.ctl("set_disk_free_limit", "50MB")


def test_an_alarm_makes_fates_unknown_and_the_outlet_lives_on(server: Server, alarm: Callable[[bool], None]) -> None:
    """While RabbitMQ blocks publishers: UNKNOWN at the deadline, consuming goes on; afterwards CONFIRMED."""
    with Outlet(server, confirm_seconds=1) as outlet, Intake(server, INTAKE) as intake:
        outlet.publish_raw(_messages(2))
        alarm(True)
        assert outlet.publish_raw(_messages(1)) == [Fate.UNKNOWN]
        assert outlet.publish_raw(_messages(1)) == [Fate.UNKNOWN]
        assert len(_take(intake, 2)) == 2
        alarm(False)
        assert outlet._wait(lambda: not outlet._blocked, 30)
        assert outlet.publish_raw(_messages(3)) == [Fate.CONFIRMED] * 3


def test_closing_does_not_wait_for_an_alarm(server: Server, alarm: Callable[[bool], None]) -> None:
    """A blocked outlet closes in seconds, and its thread ends."""
    alarm(True)
    outlet = Outlet(server, confirm_seconds=0.5)
    assert outlet.publish_raw(_messages(1)) == [Fate.UNKNOWN]
    outlet.close()
    assert not outlet._thread.is_alive()


# -- connecting


def test_a_connection_that_ends_during_the_login_does_not_blame_the_credentials() -> None:
    """pika takes any end there for a wrong password; an upstream's breaker would open at once for it."""
    start = spec.Connection.Start(server_properties={}, mechanisms=b"PLAIN", locales=b"en_US")
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(8)
                connection.sendall(Method(0, start).marshal())
                connection.recv(4096)

        thread.submit(hang_up)
        with pytest.raises(BrokerLost, match="the connection ended during the login") as lost:
            Outlet(Server(f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}/%2F?connection_attempts=1"))
    assert lost.value.code == 0


def test_connecting_says_what_is_wrong_without_the_password() -> None:
    """Refused password, unknown vhost, nobody there, unknown host: one clear line each."""
    node = rabbit.shared()
    port = node.state()["port"]
    said = {
        url: _lost(partial(Outlet, Server(url)))
        for url in (
            node.url_of("guest", "s3cret"),
            node.url_of("guest", "guest", "nowhere"),
            "amqp://guest:guest@127.0.0.1:9/%2F",
            f"amqp://guest:guest@no.such.host.invalid:{port}/%2F",
        )
    }
    expected = ["refused the credentials", "nowhere not found", "not running", "host name is unknown"]
    for (url, text), words in zip(said.items(), expected, strict=True):
        assert words in text, url
        assert "s3cret" not in text
        assert "guest@" in text


def test_a_server_that_never_answers_is_given_up() -> None:
    """A port that accepts and stays silent costs the connect deadline, no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/%2F"
        assert "in time" in _lost(lambda: Outlet(Server(url, connect_seconds=0.5)))


def test_a_server_that_is_not_rabbitmq_is_recognised() -> None:
    """Something else on the port is said to speak no AMQP."""
    with socket.create_server(("127.0.0.1", 0)) as web:
        answering = threading.Thread(target=_refuse, args=(web,))
        answering.start()
        said = _lost(lambda: Outlet(Server(f"amqp://guest:guest@127.0.0.1:{web.getsockname()[1]}/%2F")))
        answering.join()
    assert "does not speak AMQP" in said


def _refuse(web: socket.socket) -> None:
    with web.accept()[0] as visitor:
        visitor.recv(8)
        visitor.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://a/", "amqp://guest:guest@host:port/", "amqp://h/?heartbeat=x"]
)
def test_a_wrong_url_is_a_fault_of_configuration(url: str) -> None:
    """What is no AMQP URL is refused before any connection."""
    with pytest.raises(ConfigFault, match="broker URL"):
        Server(url).parameters()


# -- a node of its own: TLS, and a crash


AUTHORITY = """\
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
SERVER = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate authority, a certificate for localhost, and a stranger's authority."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "authority.cnf").write_text(AUTHORITY)
    for name in ("ca", "stranger"):
        issue = f"-config authority.cnf -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"
        _openssl(folder, f"req -x509 -newkey rsa:2048 -nodes {issue}")
    _openssl(folder, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost")
    (folder / "server.ext").write_text(SERVER)
    _openssl(folder, "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -out server.pem -days 2 -extfile server.ext")
    _openssl(folder, "verify -x509_strict -purpose sslserver -CAfile ca.pem server.pem")  # as Python does from 3.13 on
    return folder


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def own(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbit.Rabbit]:
    """A node with a TLS listener that may be killed; its TLS port stands in the file tls_port."""
    folder = tmp_path_factory.mktemp("node")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (authority / "port").write_text(str(port))
    files = {"cacertfile": "ca.pem", "certfile": "server.pem", "keyfile": "server.key"}
    lines = [f"listeners.ssl.default = 127.0.0.1:{port}"]
    lines += [f"ssl_options.{key} = {authority / name}" for key, name in files.items()]
    node = rabbit.start(folder, *(word for line in lines for word in ("--conf", line)))
    admin.apply(Server(node.url), TOPOLOGY)
    yield node
    node.stop()


def _secure(authority: Path, host: str, ca: str) -> Server:
    port = (authority / "port").read_text()
    return Server(f"amqps://guest:guest@{host}:{port}/%2F", Tls(str(authority / ca)), connect_seconds=5)


@pytest.mark.usefixtures("own")
def test_tls_checks_authority_and_host_name(authority: Path) -> None:
    """A stranger's authority or another host name is refused; there is no falling back."""
    assert "TLS" in _lost(lambda: Outlet(_secure(authority, "localhost", "stranger.pem")))
    assert "TLS" in _lost(lambda: Outlet(_secure(authority, "127.0.0.1", "ca.pem")))
    with pytest.raises(ConfigFault, match="TLS files"):
        _secure(authority, "localhost", "missing.pem").parameters()


@pytest.mark.usefixtures("own")
def test_tls_carries_everything(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS too, large batches pass unchanged and reading pauses at the bound."""
    monkeypatch.setattr(link, "BUFFER_BYTES", 1_000_000)
    server = _secure(authority, "localhost", "ca.pem")
    with Outlet(server) as outlet:
        assert set(outlet.publish_raw(_messages(200, bytes(50_000)))) == {Fate.CONFIRMED}
    with Intake(server, INTAKE) as intake:
        assert intake._wait(lambda: intake._paused, 10)
        assert intake._bytes < 4_000_000
        got = _take(intake, 200)
    assert [d.properties.message_id for d in got] == [f"m{n}" for n in range(200)]


def test_a_broker_that_hangs_is_given_up(own: rabbit.Rabbit) -> None:
    """Stopped in its tracks: overdue confirms end the outlet, missed heartbeats the intake; messages stay."""
    pid = own.state()["server"]["pid"]
    server = Server(own.url, heartbeat=1)
    intake, outlet = Intake(server, inbox("alice")), Outlet(server, confirm_seconds=1)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert "did not confirm within 1 seconds" in _lost(lambda: outlet.publish_raw(_messages(1)))
        assert "fell silent" in _lost(lambda: intake.take(1, MANY, 30))
    finally:
        os.kill(pid, signal.SIGCONT)
    for lost in (intake, outlet):
        lost.close()


def test_a_crash_of_the_broker_loses_no_confirmed_message(own: rabbit.Rabbit) -> None:
    """kill -9: both links end; after the restart every confirmed message is there."""
    server = Server(own.url)
    copies = [Copy(f"c{n}", Kind.MESSAGE, "alice", "DEC001", "", "E", b"<a/>") for n in range(100)]
    intake, outlet = Intake(server, receipts("alice")), Outlet(server)
    assert set(outlet.publish(copies)) == {Fate.CONFIRMED}
    own.kill()
    _lost(lambda: intake.take(1, MANY, 30))
    _lost(lambda: outlet.publish(copies) and outlet.publish(copies))
    _until(lambda: "not running" in _lost(lambda: Outlet(server)))  # at first the kernel may answer for it
    again = rabbit.start(own.folder)
    assert again.url == own.url
    with Intake(server, inbox("alice")) as mailbox:
        assert [d.properties.message_id for d in _take(mailbox, 100)] == [c.id for c in copies]
