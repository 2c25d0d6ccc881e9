"""The province: a RabbitMQ node of its own, reached over TLS with a client certificate, with nobody behind it."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika

from swexchange.broker import Message, Outlet, Server
from swexchange.broker.client import Mailbox, Received
from swexchange.core.model import Fate
from tests import rabbit

PROVINCE, PLATFORM = "DXPGDP4400000001", "DXPESW0000004403"
EXCHANGE, INBOX = f"swx.outbox.{PLATFORM}", "province.intake"
OURS, OUR_RECEIPTS = f"swx.inbox.{PLATFORM}", f"swx.receipts.{PLATFORM}"


@dataclass
class Province:
    """A running node; `url` is what the city uses, over TLS."""

    folder: Path
    node: rabbit.Rabbit
    url: str

    def declare(self) -> None:
        """What the province declares for its tenant: where it publishes, and what it reads."""
        connection = pika.BlockingConnection(pika.URLParameters(self.node.url))
        channel = connection.channel()
        quorum = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
        channel.exchange_declare(EXCHANGE, "fanout", durable=True)
        for queue in (INBOX, OURS, OUR_RECEIPTS):
            channel.queue_declare(queue, durable=True, arguments=quorum)
        channel.queue_bind(INBOX, EXCHANGE)
        connection.close()

    def credentials(self, folder: Path) -> None:
        """Put the city's URL and TLS files where its daemon looks for them."""
        for name, source in (("ca.pem", "ca.pem"), ("cert.pem", "city.pem"), ("key.pem", "city.key")):
            (folder / f"upstream-province.{name}").write_bytes((self.folder / source).read_bytes())
        path = folder / "upstream-province.url"
        path.touch(mode=0o600)
        path.write_text(self.url)

    def received(self) -> list[Received]:
        """What came since last asked, in order."""
        found: list[Received] = []
        with Mailbox(Server(self.node.url), INBOX) as mailbox:
            while taken := mailbox.read(1000, 2**30, 0.3):
                mailbox.ack_through(taken[-1].tag)
                found += taken
        return found

    def send(self, *bodies: bytes) -> None:
        """Put documents into the queue that the city reads."""
        with Outlet(Server(self.node.url)) as outlet:
            assert set(outlet.publish_raw([Message("", OURS, body) for body in bodies])) == {Fate.CONFIRMED}

    def restart(self) -> None:
        """Start the node again, with its data."""
        rabbit.start(self.folder / "node", *self.options)

    options: tuple[str, ...] = ()


def start(folder: Path) -> Province:
    """A node with certificates of its own authority; a client without one of these is refused."""
    _certificates(folder)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    files = {"cacertfile": "ca.pem", "certfile": "server.pem", "keyfile": "server.key"}
    lines = [f"listeners.ssl.default = 127.0.0.1:{port}", "ssl_options.verify = verify_peer"]
    lines += ["ssl_options.fail_if_no_peer_cert = true"]
    lines += [f"ssl_options.{key} = {folder / name}" for key, name in files.items()]
    options = tuple(word for line in lines for word in ("--conf", line))
    node = rabbit.start(folder / "node", *options)
    node.ctl("add_user", "city", "secret")
    node.ctl("set_permissions", "city", "^$", f"^{EXCHANGE}$", f"^({OURS}|{OUR_RECEIPTS})$")
    province = Province(folder, node, f"amqps://city:secret@localhost:{port}/%2F", options)
    province.declare()
    return province


def _certificates(folder: Path) -> None:
    _openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    for name, subject, extra in (("server", "localhost", " -extfile names"), ("city", "city", "")):
        _openssl(folder, f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={subject}")
        _openssl(folder, f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -out {name}.pem -days 2{extra}")


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)


def behind_upstream(rules: dict[str, Any]) -> None:
    """Put the province behind an upstream; declarations at customs 99 go there, its receipts to who asked."""
    participant = next(p for p in rules["participants"] if p["id"] == PROVINCE)
    participant["upstream"] = "province"
    rules["upstreams"] = [
        {"name": "province", "exchange": EXCHANGE, "queues": [{"name": OURS, "from": PROVINCE}]},
    ]
    rules["namespaces"] |= {"dxp": "http://www.chinaport.gov.cn/dxp", "ds": "http://www.w3.org/2000/09/xmldsig#"}
    rules["types"].append(
        {
            "id": "DxpRep",
            "root": "dxp:DxpRep",
            "editions": [{"schema": "dxp/202205/DxpRep.xsd", "from": "2018-01-01"}],
            "bare": {
                "id": "ds:Signature/ds:SignatureValue",
                "sender": "dxp:AdNodeId",
                "receivers": "dxp:OriHead/dxp:SenderId",
            },
            "answers": {"MessageId": "dxp:OriHead/dxp:CopMsgId"},
        }
    )
    there = {"name": "upstream", "when": {"type": "DecMessage", "CustomMaster": ["99*"]}, "to": [PROVINCE]}
    rules["routes"].insert(0, there)
    next(r for r in rules["routes"] if r["name"] == "answers")["when"]["type"].append("DxpRep")
