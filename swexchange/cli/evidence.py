"""`swexchange audit key`, `seal`, `checkpoint`, `verify`, `prove`, `export`: the Merkle log over the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from swexchange.cli import exits
from swexchange.cli.audit import audit as group
from swexchange.cli.auditing import comparing
from swexchange.cli.filters import filter_options, given
from swexchange.cli.output import emit, file_bytes, number_of, table, write_file
from swexchange.cli.progress import progress
from swexchange.cli.wiring_store import audit_verifier, sealer
from swexchange.core.canonical import local_time
from swexchange.core.checkpoint import BadNote, Verifier
from swexchange.core.log import key_history
from swexchange.core.prune_record import PruneRecord, removed_runs
from swexchange.errors import ConfigFault
from swexchange.evidence import bundle
from swexchange.evidence.archive_folder import entries_of
from swexchange.evidence.auditor import Findings, audit
from swexchange.evidence.selection import select
from swexchange.rules.load import load_parties
from swexchange.settings import Settings
from swexchange.store import Filter, open_archives, open_audit_log, open_evidence

MOST_SHOWN = 100  # problems, unless as JSON


@group.command()
@click.pass_obj
def key(settings: Settings) -> None:
    """Print the public key of the log, as everybody needs it who checks evidence.

    It names the log, SWX_AUDIT_ORIGIN, and the public half of the key SWX_AUDIT_KEY: a verifier key
    of the signed note format. Hand it out once, on a way that nobody can change unseen.

    \b
    Example:
      swexchange audit key > audit.vkey
    """
    with open_evidence(settings.database_url) as log:
        click.echo(sealer(settings, log).verifier)


@group.command()
@click.pass_obj
def seal(settings: Settings) -> None:
    """Seal what was recorded since the last checkpoint, now.

    The daemon does the same every SWX_SEAL_SECONDS; both may run at the same time. Rows whose
    numbers were left out earlier are looked for in the whole log.

    \b
    Example:
      swexchange audit seal
    """
    with open_evidence(settings.database_url) as log:
        sealing = sealer(settings, log)
        added = sum(sealing.seal_all(everywhere=True))
        head = log.head()
    click.echo(f"{added} entries sealed, the log has {head.size if head else 0}")


@group.command()
@click.pass_obj
def checkpoint(settings: Settings) -> None:
    """Print the newest checkpoint with all its signatures. Exit code 1: there is none yet.

    \b
    Example:
      swexchange audit checkpoint > today.checkpoint
    """
    with open_evidence(settings.database_url) as log:
        head = log.head()
    if head is None:
        click.echo("nothing is sealed yet", err=True)
        raise SystemExit(exits.PROBLEMS)
    click.echo(head.note, nl=False)


@group.command()
@click.option("--key", "keys", multiple=True, metavar="VKEY", help="A key of the log [default: audit key].")
@click.option(
    "--checkpoint",
    "kept",
    multiple=True,
    type=click.Path(dir_okay=False),
    help="A checkpoint that somebody kept: the log must begin with it.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def verify(settings: Settings, keys: tuple[str, ...], kept: tuple[str, ...], as_json: bool) -> None:
    """Compare the whole log with the rows it is about; name each that was changed, removed or added.

    So is each row of the index by business key, which is no part of the log.

    By itself a database can only show that it fits together. Whether its end was rewritten shows
    a checkpoint that somebody else kept: a witness, a sender with a bundle, a printed one.
    Uses all cores. Exit code 1: something does not fit.

    \b
    Examples:
      swexchange audit verify
      swexchange audit verify --checkpoint customs.checkpoint
    """
    known = {file: file_bytes(file).decode("utf-8", "replace") for file in kept}
    found = Findings()
    with open_archives(settings.database_url) as log:
        head, last, removed = log.head(), log.last_archive(), log.removed()
        with progress("leaves", head.size if head else 0) as advance:
            trusted = verifiers(settings, keys)
            compare = comparing(settings.database_url)
            problems = list(audit(log, trusted, known, found, advance, last.end if last else 0, log.gone(), compare))
    rows = [(problem.place, problem.what) for problem in problems]
    told = {
        "entries": found.size,
        "checkpoints": found.checkpoints,
        "bodies_deleted": found.deleted,
        "bodies_archived": found.archived,
        "rows_archived": found.gone,
        "files_removed": sorted(removed),
        "problems": [{"place": place, "what": what} for place, what in rows],
    }
    emit(told, as_json, lambda: _print(rows, found, removed.values()))
    raise SystemExit(exits.PROBLEMS if problems else exits.DONE)


def _print(rows: list[tuple[str, str]], found: Findings, removed: Iterable[PruneRecord]) -> None:
    if not rows:
        for line in (_summary(found), *removed_lines(removed)):
            click.echo(line)
        return
    table(rows[:MOST_SHOWN])
    if len(rows) > MOST_SHOWN:
        click.echo(f"and {len(rows) - MOST_SHOWN} more; --json shows all", err=True)


def _summary(found: Findings) -> str:
    gone = found.deleted - found.archived
    archived = f", the bytes of {found.archived} lie in archives" if found.archived else ""
    deleted = f", {gone} of them without their bytes" if gone else ""
    archived += f", the rows of {found.gone} were pruned" if found.gone else ""
    entries, checkpoints = number_of(found.size, "entry", "entries"), number_of(found.checkpoints, "checkpoint")
    return f"all well: {entries}{archived}{deleted}, {checkpoints}"


@group.command()
@click.argument("exchange_id", metavar="EXCHANGE")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write here [EXCHANGE.zip].")
@click.pass_obj
def prove(settings: Settings, exchange_id: str, output: str | None) -> None:
    """Write one file that proves an exchange to anybody: message, receipt, decision, keys, schemas, proofs.

    It is checked with bin/verify-evidence, which needs none of this program, and the log's key. A schema
    that was changed since is left out, and named: what is there now was not what decided. Exit code 1:
    there is no exchange of this id.

    \b
    Example:
      swexchange audit prove 019cac2a9dc017bb841883fa7d7020a8 -o evidence.zip
    """
    with open_archives(settings.database_url) as log:
        was_pruned = bool(log.gone())
        if name := log.pruned(exchange_id):
            what = f"the message is left out: its bytes lie in the archive {name}"
            click.echo(f"{what}; `swexchange archive prove {exchange_id}` takes all of it from there", err=True)
        made = bundle.prove(log, exchange_id, lambda: _known_keys(settings), schemas_in(settings), tell_left_out)
    if made is None:
        hint = f"; if it was pruned, `swexchange archive prove {exchange_id}` may have it" if was_pruned else ""
        click.echo(f"there is no exchange of this id; search finds ids{hint}", err=True)
        raise SystemExit(exits.PROBLEMS)
    path = Path(output or f"{exchange_id}.zip")
    write_file(path, made)
    click.echo(str(path))


def _known_keys(settings: Settings) -> str:
    _, registered = load_parties(Path(settings.routes))
    return key_history(registered.values())


def schemas_in(settings: Settings) -> bundle.Schemas:
    """The documents of the schemas folder."""
    top = Path(settings.schemas).resolve()

    def read(name: str) -> bytes | None:
        try:
            file = (top / name).resolve()
            return file.read_bytes() if file.is_relative_to(top) and file.is_file() else None
        except (OSError, ValueError, RuntimeError):  # the name comes from evidence: it may be none, or lead in a circle
            return None

    return read


def tell_left_out(name: str) -> None:
    """Say that a bundle is without a schema."""
    click.echo(f"left out: schema {name} is not there, or not what it was when the message was decided", err=True)


@group.command()
@click.argument("folder", type=click.Path(file_okay=False))
@filter_options
@click.pass_obj
def export(settings: Settings, folder: str, wanted: Filter) -> None:
    """Write the whole log into a folder, or what a filter finds: entries, hashes, checkpoint as C2SP's tlog-tiles.

    Entries hold digests, no messages. Those of archive files that went by retention are left out: their
    hashes stand for them. bin/verify-evidence checks the folder, and so does whatever else reads tiled
    logs.

    With a filter the folder holds the hashes of the whole log, but entries, messages and receipts of the exchanges
    found alone, each as a bundle as `audit prove` writes it, without schemas. Exit code 1: nothing is found, or
    sealed yet.

    \b
    Examples:
      swexchange audit export log-2026-11
      swexchange audit export case-117 --sender DXPENT0000012345 --since 2026-11-01
    """
    if wanted != Filter():
        _export_found(settings, folder, wanted)
        return
    with open_archives(settings.database_url) as log:
        head = log.checkpoint_over(0)
        if head is None:
            click.echo("nothing is sealed yet", err=True)
            raise SystemExit(exits.PROBLEMS)
        known = log.archives() if log.gone() else ()
        archived = entries_of(Path(settings.archive), known, log.removed().keys())
        with progress("entries", head.size) as advance:
            for name, content in bundle.export(log, advance, archived, known[-1].end if known else 0):
                write_file(Path(folder, name), content)
    click.echo(f"{head.size} entries in {folder}")


def _export_found(settings: Settings, folder: str, wanted: Filter) -> None:
    with open_audit_log(settings.database_url) as audit_log:
        found = list(audit_log.ids(wanted))
    files = 0
    with open_archives(settings.database_url) as log, progress("exchanges", len(found)) as advance:
        for name, content in select(log, found, given(wanted), lambda: _known_keys(settings), advance):
            write_file(Path(folder, name), content)
            files += name.parts[0] == "exchanges"
    if len(found) > files:
        click.echo(f"not sealed yet, so left out: {number_of(len(found) - files, 'exchange')}", err=True)
    if not files:
        click.echo("there is nothing to export", err=True)
        raise SystemExit(exits.PROBLEMS)
    click.echo(f"{number_of(files, 'exchange')} in {folder}, all others by hash alone")


def removed_lines(removed: Iterable[PruneRecord]) -> Iterator[str]:
    """Of each run of archive files that went by retention, what is left of them."""
    for run in removed_runs(removed):
        first, *_, last = sorted([run[0].at, *(one.at for one in run)])
        days = dict.fromkeys(local_time(at)[:10] for at in (first, last))
        files = f"archive files of leaves {run[0].first} to {run[-1].last}"
        yield f"{files} were removed by retention, {' to '.join(days)}; the log is proved by its hashes"


def verifiers(settings: Settings, given: tuple[str, ...]) -> list[Verifier]:
    """The keys by which the log is trusted: those given, else its own. Raises ConfigFault."""
    try:
        return [Verifier.read(text) for text in given] or [audit_verifier(settings)]
    except BadNote as error:
        raise ConfigFault(str(error), do="Use what `swexchange audit key` printed") from None
