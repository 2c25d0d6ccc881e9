"""The messages of the benchmark: signed cargo declarations, made in parallel, kept in files.

Each is the project's typical declaration in a DXP envelope with numbers of its own, signed by
one of the integrators in turn. Message number n is the same bytes in every run.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from swexchange.broker import Message
from swexchange.broker.client import submission
from swexchange.core.canonical import dxp_msg
from swexchange.core.model import BusinessKey, Head
from swexchange.core.signature import XML_DECLARATION, seal
from tests.bench.parties import AGENCY, INTEGRATORS
from tests.own_rules import ROOT, signing_key

SAMPLE = ROOT / "schemas/dec/4.9.7/samples/DecMessage.valid.typical.xml"
CLIENT_SEQ_NO, BILL_NO = b"NHW20250311-0027", b"HLCUHAM250187664"  # the sample's own
CHUNK = 2000  # messages in one file
_SIZE = struct.Struct(">I")


def sender_of(number: int) -> str:
    """The integrator whose message this is."""
    return INTEGRATORS[number % len(INTEGRATORS)]


def message_id_of(number: int) -> str:
    """The CopMsgId of message number n; serial within its sender."""
    return f"{sender_of(number)[-5:]}-20261124-{number // len(INTEGRATORS):09d}"


def client_seq_no_of(number: int) -> str:
    """The ClientSeqNo of message number n."""
    return f"BNC{sender_of(number)[-5:]}-{number // len(INTEGRATORS):07d}"


def bill_no_of(number: int) -> str:
    """The BillNo of message number n."""
    return f"HLCUHAM{number:09d}"


def body_of(number: int, sample: bytes) -> bytes:
    """Message number n, made from the sample: signed, canonical, about 5.4 KB."""
    document = sample.replace(CLIENT_SEQ_NO, client_seq_no_of(number).encode())
    document = document.replace(BILL_NO, bill_no_of(number).encode())
    head = Head(message_id_of(number), sender_of(number), (AGENCY,), "2026-11-24T10:05:37+08:00", "DECMSG")
    keys = (BusinessKey("ClientSeqNo", client_seq_no_of(number)), BusinessKey("CustomMaster", "5304"))
    return XML_DECLARATION + seal(dxp_msg(head, document, keys), signing_key(sender_of(number)))


@dataclass(frozen=True, slots=True)
class Stock:
    """Prepared messages, by number from 0, in a folder."""

    folder: Path

    def prepare(self, count: int) -> None:
        """Make what is missing of the first `count`."""
        self.folder.mkdir(exist_ok=True)
        missing = [start for start in range(0, count, CHUNK) if not self._file(start).exists()]
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
            list(pool.map(partial(_write_chunk, self.folder), missing))

    def bodies(self, start: int, count: int) -> list[bytes]:
        """The bytes of `count` messages from number `start` on."""
        first = start - start % CHUNK
        found = [body for at in range(first, start + count, CHUNK) for body in _read(self._file(at))]
        return found[start - first : start - first + count]

    def submissions(self, start: int, count: int) -> list[Message]:
        """The same as their senders publish them."""
        bodies = enumerate(self.bodies(start, count), start)
        return [submission(sender_of(number), body, message_id_of(number)) for number, body in bodies]

    def _file(self, start: int) -> Path:
        return _chunk_file(self.folder, start)


def _chunk_file(folder: Path, start: int) -> Path:
    return folder / f"{start:08d}.messages"


def _write_chunk(folder: Path, start: int) -> None:
    sample = SAMPLE.read_bytes()
    bodies = (body_of(number, sample) for number in range(start, start + CHUNK))
    _chunk_file(folder, start).write_bytes(b"".join(part for body in bodies for part in (_SIZE.pack(len(body)), body)))


def _read(path: Path) -> Iterator[bytes]:
    data, at = path.read_bytes(), 0
    while at < len(data):
        end = at + 4 + _SIZE.unpack_from(data, at)[0]
        yield data[at + 4 : end]
        at = end
