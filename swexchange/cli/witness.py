"""`swexchange witness` for who watches a log, `swexchange audit witness` for the log that is watched."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import click

from swexchange import keyfile
from swexchange.broker import Outlet
from swexchange.broker.client import Mailbox
from swexchange.broker.topology import checkpoints, cosignatures
from swexchange.cli.asking import REQUEST_BYTES, asking, publish
from swexchange.cli.audit import audit
from swexchange.cli.root import cli
from swexchange.cli.wiring_broker import server
from swexchange.core.checkpoint import COSIGNATURE, Verifier, is_name
from swexchange.errors import ConfigFault
from swexchange.evidence.witness import Witness, collect, read_keys
from swexchange.evidence.witnessing import Seen, last_seen
from swexchange.settings import Settings
from swexchange.store import open_evidence

_name_option = click.option("--name", required=True, help="The witness's name, one that nobody else has.")
_key_option = click.option("--key", "key_id", required=True, help="Id of its private key in the keys folder.")


@cli.group()
def witness() -> None:
    """Watch a log of somebody else: sign only that it grew."""


@witness.command(name="key")
@_name_option
@_key_option
@click.pass_obj
def show_key(settings: Settings, name: str, key_id: str) -> None:
    """Print the witness's public key, for SWX_WITNESSES of the log and for everybody who checks evidence.

    \b
    Example:
      swexchange witness key --name customs.example/witness --key witness-2026
    """
    if not is_name(name):
        raise ConfigFault(f"{name!r} is no name for a witness", do="Give it one without blanks or '+'")
    click.echo(Verifier(name, keyfile.load(key_id, settings.key_folders).public, COSIGNATURE))


@witness.command()
@_name_option
@_key_option
@click.option("--log", "logs", required=True, multiple=True, metavar="VKEY", help="A log to watch: its audit key.")
@click.option("--memory", required=True, type=click.Path(dir_okay=False), help="Where to remember what was seen.")
@click.pass_obj
def run(settings: Settings, name: str, key_id: str, logs: tuple[str, ...], memory: str) -> None:
    """Answer requests for cosignatures until SIGTERM or Ctrl-C.

    Signs a checkpoint only with the proof that its log grew from the last one signed, which is
    remembered on disk before the answer leaves. Loses it, and the log could begin anew: back it up.

    \b
    Example:
      swexchange witness run --name customs.example/eye --key eye-2026 --log VKEY --memory seen.json
    """
    key = keyfile.load(key_id, settings.key_folders)
    witnessing = Witness(name, key, read_keys(" ".join(logs)), Path(memory), time.time)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    broker = server(settings)
    with Outlet(broker, settings.confirm_seconds) as outlet, Mailbox(broker, checkpoints(name)) as mailbox:
        click.echo(f"{name} watches", err=True)
        while not stopping.is_set():
            for asked in mailbox.read(1, REQUEST_BYTES, 0.5):
                found = witnessing.answer(asked.body.decode("utf-8", "replace"))
                publish(outlet, cosignatures(name), "", found.body, str(found.status), asked.message_id)
                mailbox.ack_through(asked.tag)
                click.echo(f"{found.status} {found.seen.size if found.seen else found.body.strip()}", err=True)


@audit.command(name="witness")
@click.option("--wait", default=30.0, show_default=True, help="Seconds to wait for each answer.")
@click.pass_obj
def ask_witnesses(settings: Settings, wait: float) -> None:
    """Have every witness of SWX_WITNESSES sign the newest checkpoint.

    The daemon does the same by itself, beside its work. Run this before it starts: exit code 2 says that
    a witness has seen another history of this log; 3, that one does not answer.

    \b
    Example:
      swexchange audit witness
    """
    witnesses = read_keys(settings.witnesses)
    if not witnesses:
        raise ConfigFault("the log has no witness", where="SWX_WITNESSES", do="Use what `witness key` printed")
    with open_evidence(settings.database_url) as log, asking(server(settings), settings, wait) as ask:
        for verifier in witnesses:
            size = collect(log, verifier, ask(verifier.name))
            click.echo(f"{verifier.name} has signed {size} entries" if size else "nothing is sealed yet")


def witnesses_of(settings: Settings) -> Mapping[str, Seen | None]:
    """What each witness of the log has signed last, by its name. Raises ConfigFault, StoreDown."""
    witnesses = read_keys(settings.witnesses)
    if not witnesses:
        return {}
    with open_evidence(settings.database_url) as log:
        return last_seen(log.witnessed(), witnesses)
