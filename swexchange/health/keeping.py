"""Judges whether what is to be kept is kept: archive files of the audit log, pruning, backups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from swexchange.core.log import Archived, LogState
from swexchange.health.problem import Danger, Problem

FILE = 10_000  # entries that fill an archive file, unless it was asked for otherwise
LATE = timedelta(days=2)  # without what is to be done every night


def judge_archiving(state: LogState, keep: timedelta | None, now: datetime) -> Iterator[Problem]:
    """Whether what is sealed gets into archive files; `keep`: the age at which messages may be pruned (None: never)."""
    since, waiting = state.unarchived_since, state.sealed - state.archived
    why = "Nothing is pruned that lies in no archive file: the database grows"
    if since and keep is not None and now - since > keep:
        what = (
            f"{waiting} entries lie in no archive file, the oldest {_days(now - since)}; retention is {keep.days} days"
        )
        yield Problem("archive", what, "Run `swexchange archive write --all`", why, Danger.RISK)
    elif state.archived_at and waiting >= FILE and now - state.archived_at > LATE:
        what = f"{waiting} entries lie in no archive file, and the newest was made {_days(now - state.archived_at)} ago"
        yield Problem("archive", what, "Run `swexchange archive write`, every night by its timer", why, Danger.RISK)


def judge_pruning(full: Sequence[Archived], before: datetime) -> Iterator[Problem]:
    """Archive files of which messages are in the database, against the time before which they may be pruned."""
    due = [one for one in full if _microseconds(before - LATE) > one.until]
    if due:
        what = f"messages of {len(due)} archive files, from {due[0].name} on, are older than retention says"
        do = "Run `swexchange archive prune`: it says what could go, what is open, and what a hold keeps"
        yield Problem("archive", what, do, "They are still in the database, which grows", Danger.RISK)


def judge_files(known: Sequence[str], there: Collection[str], emptied: Collection[str]) -> Iterator[Problem]:
    """Archive files by name: which are known, which are in the folder, and of which no message is in the database."""
    missing = [name for name in known if name not in there]
    if not missing:
        return
    what = f"{len(missing)} of {len(known)} archive files are not in SWX_ARCHIVE, the first: {missing[0]}"
    lost = [name for name in missing if name in emptied]
    if lost and there:
        why = f"The messages of {len(lost)} of them were pruned: they are in no other place of this program"
        yield Problem("archive", what, "Put them back from a copy", why, Danger.LOSS)
    else:
        why = "They may lie elsewhere; what was pruned is in them alone"
        yield Problem("archive", what, "Set SWX_ARCHIVE to their folder, or put them back", why, Danger.RISK)


def judge_backup(newest: datetime | None, folder: str, now: datetime) -> Iterator[Problem]:
    """The newest backup of a folder by the moment whose rows it has; None: there is none."""
    if newest is None or now - newest > LATE:
        what = f"the newest in {folder} is {_days(now - newest)} old" if newest else f"there is none in {folder}"
        do = "Run `swexchange backup`, every night by its timer, and `swexchange drill`"
        yield Problem("backup", what, do, "All that came since is lost with the disk", Danger.RISK)


def _days(age: timedelta) -> str:
    return f"{age.days} days" if age.days != 1 else "1 day"


def _microseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
