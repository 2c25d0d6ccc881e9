"""The audit log as anybody sees it who has an export and kept checkpoints: entries, and hashes by RFC 6962.

A third way of computing them, beside the daemon's and that of bin/verify-evidence: the definition, as it stands there.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TILE = 256  # entries in a file of an export


@dataclass(frozen=True, slots=True)
class Log:
    """An exported log, the checkpoints of it that were seen, and what bin/verify-evidence said."""

    entries: Sequence[bytes]
    checkpoints: Sequence[str]  # signed notes, as they were seen
    refused: str = ""  # why bin/verify-evidence does not prove it; '' = it does


def sealed(checkpoint: str) -> tuple[int, bytes]:
    """Size and root that a checkpoint says. Raises ValueError."""
    _, size, root, *_ = checkpoint.split("\n")
    return int(size), base64.b64decode(root, validate=True)


def exchanges(entries: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """The entries of exchanges."""
    for entry in map(json.loads, entries):
        if entry["entry"] == "exchange/v1":
            yield entry


def roots(entries: Sequence[bytes], sizes: Sequence[int]) -> dict[int, bytes]:
    """The roots that the log had at these sizes: MTH of RFC 6962, 2.1."""

    @cache  # of a growing log the subtrees to the left stay
    def tree(begin: int, end: int) -> bytes:
        if end - begin < 2:
            return hashlib.sha256(b"".join(b"\0" + entry for entry in entries[begin:end])).digest()
        middle = begin + (1 << (end - begin - 1).bit_length() - 1)  # the largest power of two below the number
        return hashlib.sha256(b"\1" + tree(begin, middle) + tree(middle, end)).digest()

    return {size: tree(0, size) for size in sizes}


def read_entries(folder: Path, size: int) -> list[bytes]:
    """The entries of an export of this size, each behind its length in two bytes. Raises OSError, ValueError."""
    found: list[bytes] = []
    for number in range(-(-size // TILE)):
        data = _tile(folder, number, min(TILE, size - number * TILE)).read_bytes()
        while data:
            length = int.from_bytes(data[:2])
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
    if len(found) != size:
        raise ValueError(f"{len(found)} entries, the checkpoint says {size}")
    return found


def _tile(folder: Path, number: int, width: int) -> Path:
    """Where C2SP's tlog-tiles has it: 1234067 is x001/x234/067."""
    thousands = f"{number:0{-(-len(str(number)) // 3) * 3}d}"
    parts = [thousands[at : at + 3] for at in range(0, len(thousands), 3)]
    name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    return folder / "tile" / "entries" / (name if width == TILE else f"{name}.p/{width}")
