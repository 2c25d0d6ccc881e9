"""What /proc says of processes and their descendants: processor time and resident memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Meter:
    """Processor seconds used since it was made, by name of a process tree."""

    roots: Mapping[str, int]  # name -> process id
    start: Mapping[str, float]

    @classmethod
    def of(cls, roots: Mapping[str, int]) -> Meter:
        """A meter that starts now."""
        return cls(roots, {name: _used(root) for name, root in roots.items()})

    def per_message_us(self, messages: int) -> dict[str, int]:
        """Microseconds a message, by name."""
        used = {name: _used(root) - self.start[name] for name, root in self.roots.items()}
        return {name: round(seconds / messages * 1e6) for name, seconds in used.items()}


def tree(root: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield root
    for child in children(root):
        yield from tree(child)


def children(parent: int) -> list[int]:
    """The processes that a process has started and that still run."""
    numbers = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [number for number in numbers if (fields := _stat(number)) and int(fields[1]) == parent]


def command(process: int) -> str:
    """Its command line; '' once it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def has_open(process: int, folder: Path) -> bool:
    """Whether it has a file below a folder open; False once it has ended."""
    with suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if link.readlink().is_relative_to(folder):
                    return True
    return False


def rss_mb(process: int) -> float:
    """Resident memory."""
    status = Path(f"/proc/{process}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return round(int(kilobytes) / 1024, 1)


def _used(root: int) -> float:
    """Processor seconds, with those of children that ended."""
    return sum(sum(map(int, _stat(process)[11:15])) / _TICK for process in tree(root))


def _stat(process: int) -> list[str]:
    """The fields of /proc/N/stat from the third on; [] once it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
