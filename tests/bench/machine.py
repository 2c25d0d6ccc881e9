"""Where the benchmark ran: versions of everything that counts, the machine, and how fast its disk syncs."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lxml import etree

from swexchange import __version__
from swexchange.broker.admin import server_version
from tests.bench.lab import Lab

PACKAGES = ("lxml", "xmlschema", "pynacl", "pika", "sqlalchemy", "psycopg")
SYNCS = 100


def versions(lab: Lab) -> dict[str, str]:
    """Versions by name."""
    return {
        "swexchange": __version__,
        "python": platform.python_version(),
        "rabbitmq": server_version(lab.node.server),
        **{name: database.version for name, database in lab.databases.items()},
        **{name: version(name) for name in PACKAGES},
        "libxml2": ".".join(map(str, etree.LIBXML_VERSION)),
    }


def machine(folder: Path) -> dict[str, Any]:
    """The machine; `fsync_ms` is the median of syncing 4 KB appended to a file in the folder."""
    return {
        "cores": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory_mb": int(_field("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "kernel": platform.release(),
        "fsync_ms": round(_fsync_ms(folder), 2),
        "load_at_start": os.getloadavg()[0],  # well above 0, others were at work: distrust the figures
    }


def _field(path: str, name: str) -> str:
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "0 unknown")


def _fsync_ms(folder: Path) -> float:
    return statistics.median(_sync_times(folder)) * 1000


def _sync_times(folder: Path) -> list[float]:
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return times
