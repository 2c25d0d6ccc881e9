"""One exchange for one fault: broker, proxies, database, rules, keys, daemons and load, in a folder of its own.

A `Lab` is what several faults use one after the other: a private RabbitMQ node and PostgreSQL cluster.
"""

from __future__ import annotations

import base64
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests import postgres, rabbit, world
from tests.chaos import cluster, province
from tests.chaos.disk import Disk
from tests.chaos.evidence import Database, Drained
from tests.chaos.history import History
from tests.chaos.proof import Watch
from tests.chaos.province import Province
from tests.chaos.proxy import Proxy, via
from tests.chaos.sender import Sender
from tests.chaos.supervisor import Start, Supervisor
from tests.chaos.traffic import Mix
from tests.postgres import Cluster
from tests.process.house import INTEGRATOR, House
from tests.process.province import behind_upstream
from tests.rabbit import Rabbit

CANARIES = ("聚丙烯粒子", "深圳市启桥塑胶原料有限公司")  # stand in every declaration, and in no log
FURNISHING = threading.Lock()  # its commands run in this process, and change the environment of all lanes
SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass
class Lab:
    """Servers of one lane; PostgreSQL and the province's broker are started when they are first needed."""

    folder: Path
    broker: Rabbit
    numbers: Iterator[int] = field(default_factory=count)
    _cluster: Cluster | None = None
    _there: Rabbit | None = None

    @property
    def cluster(self) -> Cluster:
        """The PostgreSQL cluster of this lane."""
        if self._cluster is None:
            place = self.folder / "postgresql"
            place.mkdir()
            self._cluster = postgres.new(place)
        return self._cluster

    @property
    def there(self) -> Rabbit:
        """The node that stands for the province's broker."""
        if self._there is None:
            self._there = rabbit.start(self.folder / "there", "--plugins", "rabbitmq_management")
        return self._there

    def close(self) -> None:
        """End what was started here."""
        if self._cluster is not None:
            self._cluster.stop("immediate")
        if self._there is not None:
            self._there.stop()


@contextmanager
def lab(*, clustered: bool = False) -> Iterator[Lab]:
    """A lane's servers, ended and removed at the end whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="swx-chaos-"))
    folder.chmod(0o711)  # PostgreSQL's own user has to reach its data
    try:
        with cluster.started(folder) if clustered else _single(folder / "rabbit") as broker:
            built = Lab(folder, broker)
            try:
                yield built
            finally:
                built.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _single(folder: Path) -> Iterator[Rabbit]:
    broker = rabbit.start(folder, "--plugins", "rabbitmq_management")
    try:
        yield broker
    finally:
        broker.stop()


@dataclass
class Scene:
    """What a fault may lay hands on."""

    lab: Lab
    kind: str  # sqlite or postgresql
    folder: Path
    house: House  # the admin's commands, straight to the servers
    vhost: str
    history: History
    mix: Mix
    random: random.Random
    to_broker: Proxy  # between the daemon and RabbitMQ
    to_database: Proxy | None  # between the daemon and PostgreSQL
    database: Database
    log: Watch
    supervisor: Supervisor
    sender: Sender
    there: Province | None  # behind an upstream
    at_end: Callable[[Callable[[], object]], object]  # have something undone when the scene is over
    taken: list[Drained] = field(default_factory=list)  # what participants took from their queues before the end
    disk: Disk | None = None  # of the database, where a fault has moved it to one that it can cut off

    @property
    def url(self) -> str:
        """The administrator's AMQP URL, past the proxy."""
        return self.house.url

    @property
    def upstream(self) -> Province:
        """The province, in a scene that has one."""
        assert self.there
        return self.there

    def pause(self, seconds: float) -> None:
        """Let the load run."""
        time.sleep(seconds)

    def await_daemons(self, seconds: float = 240) -> None:
        """Wait until all daemons run and take messages."""
        self.until(self.supervisor.ready, "all daemons to take messages", seconds)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
        """Wait for a condition; the fault could not be injected where it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                tail = self.supervisor.logs[-1].read_text("utf-8", "replace")[-500:] if self.supervisor.logs else ""
                raise RuntimeError(f"waited {seconds:g} s for {what}; the log ends: {tail}")
            time.sleep(0.05)

    def note(self, what: str) -> None:
        """Write into the history what is done to the system."""
        self.history.nemesis(what)

    def queues(self) -> list[str]:
        """Every queue of every participant of our own broker."""
        rules = yaml.safe_load((self.folder / "routes.good.yaml").read_text("utf-8"))
        ids = [entry["id"] for entry in rules["participants"] if "upstream" not in entry]
        return [f"swx.{kind}.{id_}" for kind in ("inbox", "receipts") for id_ in ids]

    def platform_keys(self) -> dict[str, bytes]:
        """The platform's public keys as the rules publish them."""
        rules = yaml.safe_load((self.folder / "routes.good.yaml").read_text("utf-8"))
        return {entry["id"]: base64.b64decode(entry["public"]) for entry in rules["platform"]["keys"]}

    def secrets(self) -> list[str]:
        """What must not stand in any log: keys, passwords, content."""
        seeds = [base64.b64encode(world.signing_key(o).secret[:32]).decode() for o in (world.PLATFORM, INTEGRATOR)]
        passwords = [self.lab.cluster.password] if self.kind == POSTGRESQL else []
        return [*seeds, *passwords, self.log.secret, province.PASSWORD, *CANARIES]


@contextmanager
def opened(lab: Lab, kind: str, seed: str, rate: float, daemons: int, *, upstream: bool = False) -> Iterator[Scene]:
    """Furnish it: rules, keys, tables, queues; neither daemons nor load run yet."""
    number = next(lab.numbers)
    folder = lab.folder / f"{number:03d}"
    folder.mkdir(mode=0o711)
    vhost = f"chaos{number}"
    with ExitStack() as stack:
        url = lab.broker.vhost(vhost)
        to_broker = _proxy(stack, url)
        database_url, to_database = _database(stack, lab, kind, folder, f"chaos{number}")
        with FURNISHING:
            house = House(folder, url, database_url).furnish(behind_upstream if upstream else lambda _: None)
        shutil.copy(house.routes, folder / "routes.good.yaml")
        history = History(folder / "history.ndjson")
        stack.callback(history.close)
        through = {"SWX_AMQP_URL": via(url, to_broker), "SWX_BATCH": "50", "SWX_CONFIRM_SECONDS": "10"}
        if to_database:
            through["SWX_DATABASE_URL"] = via(database_url, to_database)
        log = Watch(house)
        stack.callback(log.stop)
        supervisor = Supervisor({**house.environment, **through, **log.environment}, folder, Start(), daemons)
        stack.callback(supervisor.stop)
        mix = Mix(house, seed)
        sender = Sender(url, _proxy(stack, url), mix, history, 0, seed)
        stack.callback(sender.stop)
        there = None
        if upstream:
            there = stack.enter_context(province.opened(lab.there, vhost, house, history, seed))
            mix.shares["to_province"] = 60
        yield Scene(
            lab=lab,
            kind=kind,
            folder=folder,
            house=house,
            vhost=vhost,
            history=history,
            mix=mix,
            random=random.Random(seed),
            to_broker=to_broker,
            to_database=to_database,
            database=Database(database_url),
            log=log,
            supervisor=supervisor,
            sender=sender,
            there=there,
            at_end=stack.callback,
        )
    lab.broker.manage("DELETE", "vhosts", vhost)


def _database(stack: ExitStack, lab: Lab, kind: str, folder: Path, name: str) -> tuple[str, Proxy | None]:
    if kind == SQLITE:
        (folder / "db").mkdir()
        return f"sqlite:///{folder}/db/exchange.db", None
    url = lab.cluster.create(name)
    return url, _proxy(stack, url)


def _proxy(stack: ExitStack, url: str) -> Proxy:
    parts = urlsplit(url)
    proxy = Proxy([(str(parts.hostname), int(parts.port or 0))])
    stack.callback(proxy.close)
    return proxy
