"""A private RabbitMQ for the tests of this process: started on first use, ended and removed at the end."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tests.ending import at_end

TOOL = Path(__file__).parent.parent / "bin" / "rabbitmq-node"


@dataclass(frozen=True)
class Rabbit:
    """A running node; `url` is the administrator's."""

    folder: Path
    url: str

    def state(self) -> dict[str, Any]:
        """What bin/rabbitmq-node remembers of the node: ports, processes, name."""
        return dict(json.loads((self.folder / "node.json").read_text()))

    @property
    def management_url(self) -> str:
        """The management API, where the plugin was enabled at the start."""
        return f"http://guest:guest@127.0.0.1:{self.state()['management_port']}"

    def url_of(self, user: str, password: str, vhost: str = "%2F") -> str:
        """The AMQP URL of another user or vhost."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.state()['port']}/{vhost}"

    def vhost(self, name: str) -> str:
        """Make a vhost of this name, empty; its AMQP URL for the administrator."""
        self.manage("DELETE", "vhosts", name)
        self.manage("PUT", "vhosts", name)
        return self.url_of("guest", "guest", name)

    def manage(self, method: str, *path: str, **body: Any) -> None:
        """One request to the management API; a missing resource is no error."""
        url = "/".join([self.management_url.replace("guest:guest@", ""), "api", *(quote(p, safe="") for p in path)])
        request = Request(url, json.dumps(body).encode(), method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        request.add_header("Content-Type", "application/json")
        try:
            urlopen(request, timeout=30).close()
        except HTTPError as error:
            if error.code != 404:
                raise RuntimeError(f"{method} {url}: {error.read().decode()}") from error
            error.close()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl; its output."""
        return _tool("ctl", "--dir", str(self.folder), *arguments)

    @contextmanager
    def hanging(self, vhost: str, queue: str) -> Iterator[None]:
        """A quorum queue's process stands still meanwhile, as it does without its majority: it confirms nothing."""
        process = f'list_to_atom("{vhost}_{queue}")'
        self.ctl("eval", f"sys:suspend({process}).")
        try:
            yield
        finally:
            self.ctl("eval", f"sys:resume({process}).")

    def kill(self) -> None:
        """End the node's process as a power cut would."""
        os.kill(self.state()["server"]["pid"], signal.SIGKILL)

    def stop(self) -> None:
        """End the node and its epmd in good order."""
        _tool("stop", "--dir", str(self.folder))


def start(folder: Path, *options: str) -> Rabbit:
    """Start the folder's node, or start it again with its data; fails loudly when it cannot."""
    return Rabbit(folder, _tool("start", "--dir", str(folder), *options).strip())


@cache
def shared() -> Rabbit:
    """The one node, with management, that the tests of this process share."""
    folder = Path(tempfile.mkdtemp(prefix="swx-rabbit-"))
    rabbit = start(folder, "--plugins", "rabbitmq_management")
    at_end(_remove, rabbit)
    return rabbit


def _remove(rabbit: Rabbit) -> None:
    rabbit.stop()
    shutil.rmtree(rabbit.folder, ignore_errors=True)


def _tool(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(TOOL), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"rabbitmq-node {' '.join(arguments)}: {done.stderr or done.stdout}")
    return done.stdout
