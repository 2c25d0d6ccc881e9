"""A folder of archive files: which there are by their names, and whether they are those that the database knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import closing
from itertools import repeat
from pathlib import Path

from swexchange.core.log import Archived
from swexchange.core.model import Event
from swexchange.core.prune_record import PruneRecord
from swexchange.errors import ConfigFault
from swexchange.evidence.archive_file import ArchiveFile

_NAME = re.compile(r"([0-9]{12,})-([0-9]{12,})\.zip")


def name_of(first: int, entries: int) -> str:
    """The name of a file with so many entries from this leaf on: by name they are in the order of their leaves."""
    return f"{first:012}-{first + entries - 1:012}.zip"


def begins_with(path: Path, leaf: int) -> bool:
    """Whether, by its name, a file begins with this leaf."""
    return path.name.startswith(f"{leaf:012}-")


def files_in(folder: Path) -> list[Path]:
    """The archive files of a folder in the order of their leaves, which their names say. Raises ConfigFault."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".zip")
    except OSError as error:  # not as if there were none
        what = f"cannot look for archive files: {error.strerror}"
        raise ConfigFault(what, where=str(folder), do="Set SWX_ARCHIVE to the folder in which they are") from None


def holes(folder: Path) -> Iterator[tuple[int, int]]:
    """Where, by their names, the files of a folder leave out leaves: the first and the last of each hole.

    What may be missing behind the last file no name says. Raises ConfigFault.
    """
    end = 0
    for name in (_NAME.fullmatch(path.name) for path in files_in(folder)):
        if name is None:  # a stranger
            continue
        first, last = map(int, name.groups())
        if first > end:
            yield end, first - 1
        end = max(end, last + 1)


def entries_of(folder: Path, archives: Iterable[Archived], removed: Set[str] = frozenset()) -> Iterator[bytes | None]:
    """The entries of archive files in order, None for each of a file that went by retention. Raises Damaged."""
    for one in archives:
        if one.name in removed:
            yield from repeat(None, one.leaves)
            continue
        with closing(ArchiveFile(folder / one.name)) as file:
            yield from (stored.entry for stored in file.records())


def gaps(archives: Sequence[Archived]) -> Iterator[tuple[str, str]]:
    """Where known archive files do not follow each other from leaf 0 on: the file behind a gap, and what is missing."""
    end = 0
    for one in archives:
        if one.first != end:
            yield one.name, f"between leaf {end} and its first, {one.first}, something is missing or twice"
        end = one.end


def unknown_removals(archives: Sequence[Archived], records: Iterable[PruneRecord]) -> Iterator[tuple[str, str]]:
    """Files that the log says were removed, and that are none of these: the file, and what is wrong."""
    known = {(one.name, one.digest.hex()) for one in archives}
    for record in records:
        if record.event is Event.REMOVED and (record.file, record.sha256) not in known:
            yield record.file, "the log says that it was removed, the database knows no such file, or another"


def strangers(folder: Path, archives: Sequence[Archived]) -> Iterator[tuple[str, str]]:
    """Archive files in a folder that are none of these, and what to do: a search would find what is in them.

    One that begins where these end was written and not noted: the next run takes it up. Raises ConfigFault.
    """
    known, end = {one.name for one in archives}, archives[-1].end if archives else 0
    for path in files_in(folder):
        if path.name not in known and not begins_with(path, end):
            yield path.name, "the database knows no such file: move it out of the folder"
