"""Three RabbitMQ nodes, each in a network namespace of its own, on one bridge: for partitions and the loss of nodes.

Needs root and a network namespace of the run's own (bin/chaos makes one): bridge and addresses are
made where this runs, and go with it.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.proxy import Proxy
from tests.rabbit import Rabbit

BINARIES = Path("/usr/lib/rabbitmq/bin")
BRIDGE, NETWORK = "chaos0", "10.99.0."
AMQP, MANAGEMENT = 5672, 15672
SECONDS = 120.0
CONF = """\
listeners.tcp.default = {amqp}
management.tcp.port = {management}
raft.wal_max_size_bytes = 64000000
net_ticktime = 8
cluster_partition_handling = pause_minority
cluster_keepalive_interval = 2000
loopback_users = none
log.file.level = info
"""


@dataclass
class Node:
    """One node: its namespace lives as long as the process that holds it."""

    number: int
    folder: Path
    cookie: str
    holder: subprocess.Popen[bytes]
    epmd: subprocess.Popen[bytes] | None = None
    server: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """On the bridge."""
        return f"{NETWORK}{10 + self.number}"

    @property
    def name(self) -> str:
        """The Erlang name, with the address for a host."""
        return f"swx@{self.address}"

    @property
    def port(self) -> str:
        """The bridge's port to this node."""
        return f"chaos-n{self.number}"

    def inside(self, *command: str) -> list[str]:
        """A command in this node's namespace."""
        return ["nsenter", "--net", f"--target={self.holder.pid}", *command]

    def start(self) -> None:
        """Start the server, with an epmd that can be ended; returns at once."""
        if self.epmd is None:
            self.epmd = self._begin("epmd")
        self.server = self._begin(str(BINARIES / "rabbitmq-server"))

    def _begin(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "server.out").open("ab") as out:
            return subprocess.Popen(
                self.inside(*command),
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def await_up(self) -> None:
        """Wait until the node has booted."""
        self.ctl("await_startup", "--timeout", str(int(SECONDS)))

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl at this node; its output. Raises RuntimeError."""
        command = self.inside(str(BINARIES / "rabbitmqctl"), "-n", self.name, "--longnames", *arguments)
        deadline = time.monotonic() + SECONDS
        while True:
            done = subprocess.run(
                command, env=self._environment(), cwd="/", capture_output=True, text=True, timeout=180, check=False
            )
            if done.returncode == 0:
                return done.stdout
            if arguments[0] != "await_startup" or time.monotonic() > deadline:
                raise RuntimeError(f"rabbitmqctl {' '.join(arguments)} at {self.name}: {done.stderr or done.stdout}")
            time.sleep(0.5)

    def kill(self) -> None:
        """SIGKILL to the Erlang machine and all its children."""
        if self.server is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()

    def end(self) -> None:
        """Kill it, and its epmd."""
        self.kill()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()

    def connect(self, up: bool) -> None:
        """Plug or unplug the node's cable, at the bridge."""
        _run("ip", "link", "set", self.port, "up" if up else "down")

    def configure(self) -> None:
        """Write its files."""
        self.folder.mkdir(mode=0o700)
        (self.folder / "rabbitmq.conf").write_text(CONF.format(amqp=AMQP, management=MANAGEMENT))
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "env.conf").touch()
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text(self.cookie)
        cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "beam.pid"),
            "detached": "true",
        }


@dataclass(frozen=True)
class Cluster(Rabbit):
    """All nodes behind one address, as behind a load balancer: the first that answers gets the connection."""

    nodes: tuple[Node, ...] = ()
    front: Proxy | None = None
    managing: Proxy | None = None

    @property
    def management_url(self) -> str:
        """The management API of the first node that answers."""
        assert self.managing
        return f"http://guest:guest@127.0.0.1:{self.managing.port}"

    def url_of(self, user: str, password: str, vhost: str = "%2F") -> str:
        """The AMQP URL of another user or vhost."""
        assert self.front
        return f"amqp://{user}:{password}@127.0.0.1:{self.front.port}/{vhost}"

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl at the last node, which no fault touches."""
        return self.nodes[-1].ctl(*arguments)

    def leader(self, vhost: str, queue: str) -> Node:
        """The node where a quorum queue's leader is."""
        lines = self.ctl("list_queues", "--silent", "--vhost", vhost, "name", "leader").splitlines()
        of = dict(line.split("\t")[:2] for line in lines if "\t" in line)
        return next(node for node in self.nodes if node.name == of[queue])

    def prefer(self, node: Node) -> None:
        """New connections go to this node first."""
        for proxy, port in ((self.front, AMQP), (self.managing, MANAGEMENT)):
            assert proxy
            others = [other for other in self.nodes if other is not node]
            proxy.targets[:] = [(each.address, port) for each in (node, *others)]


@contextmanager
def started(folder: Path) -> Iterator[Cluster]:
    """Three nodes, clustered; everything ends with them."""
    with ExitStack() as stack:
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        stack.callback(_run, "ip", "link", "del", BRIDGE)
        _run("ip", "addr", "add", f"{NETWORK}1/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        cookie = secrets.token_hex(16)
        nodes = tuple(_node(stack, number, folder / f"node{number}", cookie) for number in range(3))
        for node in nodes:
            node.start()
            stack.callback(node.end)
        for node in nodes:
            node.await_up()
        for node in nodes[1:]:
            node.ctl("stop_app")
            node.ctl("join_cluster", nodes[0].name)
            node.ctl("start_app")
        front = Proxy([(node.address, AMQP) for node in nodes])
        managing = Proxy([(node.address, MANAGEMENT) for node in nodes])
        for proxy in (front, managing):
            stack.callback(proxy.close)
        yield Cluster(folder, f"amqp://guest:guest@127.0.0.1:{front.port}/%2F", nodes, front, managing)


def _node(stack: ExitStack, number: int, folder: Path, cookie: str) -> Node:
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdin=subprocess.DEVNULL)
    stack.callback(holder.wait)
    stack.callback(holder.kill)
    time.sleep(0.3)  # until it has its own namespace
    node = Node(number, folder, cookie, holder)
    node.configure()
    _run("ip", "link", "add", node.port, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
    _run("ip", "link", "set", node.port, "master", BRIDGE, "up")
    _run(*node.inside("ip", "addr", "add", f"{node.address}/24", "dev", "eth0"))
    _run(*node.inside("ip", "link", "set", "eth0", "up"))
    _run(*node.inside("ip", "link", "set", "lo", "up"))
    return node


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
