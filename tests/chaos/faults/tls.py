"""The way to RabbitMQ is TLS, and for a while the other end is not who it should be."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from tests import rabbit
from tests.chaos.frame import Fault
from tests.chaos.scene import SQLITE, Scene

AUTHORITY = "basicConstraints=critical,CA:TRUE"
WRONG = {  # certificates, and what the daemon says to them
    "expired": "certificate has expired",
    "renamed": "Hostname mismatch",
    "strange": "unable to get local issuer certificate",
}
PLAIN = "WRONG_VERSION_NUMBER"  # what TLS says to an answer that is no TLS


def _over_tls(scene: Scene) -> None:
    """The lane's node gets a TLS listener beside its plain one, and the daemon's way leads there."""
    folder = _folder(scene)
    folder.mkdir()
    _certificates(folder)
    _show(folder, "good")
    node, port = scene.lab.broker, scene.lab.broker.state()["port"]
    with socket.create_server(("127.0.0.1", 0)) as probe:
        tls = int(probe.getsockname()[1])
    lines = [f"listeners.ssl.default = 127.0.0.1:{tls}", f"ssl_options.cacertfile = {folder / 'ca.pem'}"]
    lines += [f"ssl_options.certfile = {folder / 'server.pem'}", f"ssl_options.keyfile = {folder / 'server.key'}"]
    options = [word for line in lines for word in ("--conf", line)]
    node.stop()
    rabbit.start(node.folder, "--plugins", "rabbitmq_management", "--port", str(port), *options)
    scene.to_broker.targets[:] = [("127.0.0.1", tls)]
    url = f"amqps://guest:guest@localhost:{scene.to_broker.port}/{scene.vhost}"
    scene.supervisor.plain.environment = {"SWX_AMQP_URL": url, "SWX_AMQP_CA": str(folder / "ca.pem")}


def _not_who_it_should_be(scene: Scene) -> None:
    """Three wrong certificates, then none at all: a plain listener where the TLS one was. Each until it is refused."""
    (secure,) = scene.to_broker.targets
    for name, said in WRONG.items():
        scene.note(f"the broker's certificate: {name}")
        _show(_folder(scene), name)
        scene.lab.broker.ctl("eval", "ssl:clear_pem_cache().")
        _require_refusal(scene, said)
    scene.note("a plain listener in the place of the TLS one")
    scene.to_broker.targets[:] = [("127.0.0.1", scene.lab.broker.state()["port"])]
    _require_refusal(scene, PLAIN)
    scene.note("right again")
    scene.to_broker.targets[:] = [secure]
    _show(_folder(scene), "good")
    scene.lab.broker.ctl("eval", "ssl:clear_pem_cache().")


def _require_refusal(scene: Scene, said: str) -> None:
    """The daemon says why it does not connect, and nothing reaches it meanwhile."""
    scene.to_broker.cut()
    scene.until(lambda: any(said.encode() in log.read_bytes() for log in scene.supervisor.logs), said)
    recorded = scene.database.recorded()  # the daemon is between two attempts: no batch is in work
    scene.pause(3)
    if more := len(scene.database.recorded() - recorded):
        raise RuntimeError(f"{more} messages came through, in spite of {said!r}")


def _folder(scene: Scene) -> Path:
    return scene.folder / "tls"


def _show(folder: Path, name: str) -> None:
    """From the next connection on; RabbitMQ keeps what it has read until its cache is cleared."""
    shutil.copy(folder / f"{name}.pem", folder / "server.pem")


def _certificates(folder: Path) -> None:
    """One key, and certificates for it: a good one, and one for each thing that can be wrong."""
    for name in ("ca", "stranger"):
        _openssl(folder, "req", "-x509", *_key(name), "-out", f"{name}.pem", "-days", "2", "-addext", AUTHORITY)
    _openssl(folder, "req", *_key("server"), "-out", "server.csr")
    for name, host, authority, days in (
        ("good", "localhost", "ca", "2"),
        ("expired", "localhost", "ca", "-1"),
        ("renamed", "other.example", "ca", "2"),
        ("strange", "localhost", "stranger", "2"),
    ):
        (folder / "names").write_text(f"subjectAltName=DNS:{host}\n")
        by = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", "names")
        _openssl(folder, "x509", "-req", "-in", "server.csr", *by, "-days", days, "-out", f"{name}.pem")


def _key(name: str) -> tuple[str, ...]:
    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    return (*made, "-keyout", f"{name}.key", "-subj", f"/CN={name}")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


FAULTS = (
    Fault(
        "wrong certificates",
        "F33",
        "the broker's certificate has expired, then is for another host, then by another authority;"
        " then a plain listener is in its place",
        _not_who_it_should_be,
        _over_tls,
        databases=(SQLITE,),
        rate=20,
        felt="TLS with RabbitMQ failed",
    ),
)
