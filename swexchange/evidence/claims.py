"""Whether what archived exchanges took is still taken: otherwise a message could take effect a second time.

Of an exchange whose rows were pruned the database keeps the identity alone, and that is no leaf
of the log. So it is compared with the archive files.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Protocol

from swexchange.core.log import Claim
from swexchange.core.model import Outcome
from swexchange.evidence.archive_file import ArchiveFile

AT_ONCE = 1_000  # claims


class Log(Protocol):
    """The database as it is needed here. Every method raises StoreDown."""

    def takers(self, identities: Collection[str]) -> Mapping[str, Claim]:
        """Who took these, by identity: exchanges that are there, and such as were pruned."""

    def pruned_claims(self) -> Iterator[Claim]:
        """What pruned exchanges took."""


def lost(log: Log, file: ArchiveFile) -> Iterator[str]:
    """What accepted exchanges of a file took and do not have any more. Raises Damaged."""
    claims = _claims(file)
    while some := list(islice(claims, AT_ONCE)):
        takers = log.takers([one.identity for one in some])
        yield from (_what(one, takers.get(one.identity)) for one in some if takers.get(one.identity) != one)


def added(log: Log, files: Iterable[ArchiveFile]) -> Iterator[str]:
    """What is said to be taken by exchanges that are in none of these files. Raises Damaged.

    Needs every file: `files` is read behind what pruned exchanges took, so that none is missing.
    """
    left = {one.exchange_id for one in log.pruned_claims()}
    for file in files if left else ():
        left.difference_update(one.exchange_id for one in _claims(file))
    for number in sorted(left):
        yield f"exchange {number} is in no file, but a row of `taken` says that it was pruned: it keeps a message out"


def _claims(file: ArchiveFile) -> Iterator[Claim]:
    with file.reading():
        for stored in file.records():
            said = json.loads(stored.entry) if stored.is_exchange else {}
            if said.get("outcome") == Outcome.ACCEPTED:
                yield Claim(said["identity"], said["exchange"], bytes.fromhex(said["digest"]))


def _what(claim: Claim, taker: Claim | None) -> str:
    if taker is None:
        now = "nobody, so that it can take effect again"
    elif taker.exchange_id != claim.exchange_id:
        now = f"exchange {taker.exchange_id}"
    else:
        now = "other bytes of it"
    return f"exchange {claim.exchange_id} took {claim.identity.removeprefix('A:')}; the database says {now}"
