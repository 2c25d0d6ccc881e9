"""What the daemon does for an upstream: forward to it on a thread of its own, take what it sends as everything else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from swexchange import keyfile
from swexchange.broker import Intake, LastingOutlet, Outlet, Server, Tls
from swexchange.broker.management import Management
from swexchange.cli.wiring import server
from swexchange.cli.wiring_store import free_disk, watermarks
from swexchange.core.rulebook import Rulebook, Upstream
from swexchange.errors import ConfigFault
from swexchange.observe import Observer, utc_now
from swexchange.settings import Settings
from swexchange.store import open_backlog
from swexchange.upstream import Forwarder
from swexchange.worker import InTurn, Links

_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


def upstream_server(settings: Settings, name: str) -> Server:
    """An upstream's broker: `upstream-<name>.url`, PEM files beside it, in the folders of keys. Raises ConfigFault."""
    path = _url_file(settings, name)
    broker = Server(keyfile.text(path), _tls(path))
    parameters = broker.parameters()
    _require_tls(parameters.host, parameters.ssl_options is not None, "amqps", path)
    return broker


def upstream_management(settings: Settings, name: str) -> Management | None:
    """Its management API: `upstream-<name>.management.url` beside the other; None without. Raises ConfigFault."""
    path = _url_file(settings, name)
    file = path.with_suffix(".management.url")
    if not file.is_file():
        return None
    url = urlsplit(keyfile.text(file))
    _require_tls(url.hostname or "", url.scheme == "https", "https", file)
    return Management(url.geturl(), _tls(path))


def _url_file(settings: Settings, name: str) -> Path:
    found = (folder / f"upstream-{name}.url" for folder in settings.key_folders)
    if path := next((path for path in found if path.is_file()), None):
        return path
    where = " or ".join(str(folder) for folder in settings.key_folders)
    raise ConfigFault(
        f"no upstream-{name}.url in {where}",
        do="Put the URL there, amqps://user:password@host:5671/vhost, mode 0600, or set SWX_KEYS",
    )


def _tls(path: Path) -> Tls:
    return Tls(*(_beside(path, part) for part in ("ca", "cert", "key")))


def _beside(path: Path, part: str) -> str:
    file = path.with_suffix(f".{part}.pem")
    return str(file) if file.is_file() else ""


def _require_tls(host: str, is_used: bool, scheme: str, path: Path) -> None:
    """Passwords go over the net by TLS alone."""
    if not is_used and host not in _HERE:
        raise ConfigFault(
            f"the URL of {host} is not {scheme}", where=str(path), do=f"Use TLS: {scheme}://, and its port"
        )


def connect(settings: Settings, upstream: Upstream) -> Links:
    """The links of a worker for what an upstream sends: from its queues, to our own broker."""
    outlet = LastingOutlet(partial(Outlet, server(settings), settings.confirm_seconds))
    sources: list[Intake] = []
    try:
        if upstream.queues:
            there = upstream_server(settings, upstream.name)
            prefetch = 2 * settings.batch
            sources.extend(Intake(there, queue.name, prefetch, queue.sender) for queue in upstream.queues)
        return Links(InTurn(sources, time.sleep), outlet)
    except BaseException:
        outlet.close()
        for source in sources:
            source.close()
        raise


@contextmanager
def forwarding(
    settings: Settings,
    name: str,
    rules: Callable[[], Rulebook],
    observer: Observer,
    on_end: Callable[[], object],
) -> Iterator[None]:
    """Forward to an upstream meanwhile; `on_end` is called should that end by itself, and what ended it is raised."""
    there = upstream_server(settings, name)
    with open_backlog(settings.database_url) as backlog, ThreadPoolExecutor(1, f"forward {name}") as thread:
        forwarder = Forwarder(
            name,
            lambda upstream: LastingOutlet(partial(Outlet, there, settings.confirm_seconds, upstream.exchange)),
            backlog,
            rules,
            observer,
            utc_now,
            holder=f"{socket.gethostname()}:{os.getpid()}",
            max_bytes=settings.batch_bytes,
            free_disk=free_disk(settings),
            disk_stop=watermarks(settings).disk_stop,
        )
        running = thread.submit(forwarder.run)
        running.add_done_callback(lambda _: on_end())
        try:
            yield
        finally:
            forwarder.stop()
        running.result()
