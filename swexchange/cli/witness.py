"""`swexchange witness` for who watches a log, `swexchange audit witness` for the log that is watched."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import click

from swexchange import keyfile
from swexchange.broker import Message, Outlet, Server
from swexchange.broker.client import Mailbox
from swexchange.broker.topology import COSIGNATURES, checkpoints, cosignatures
from swexchange.cli.audit import audit
from swexchange.cli.root import cli
from swexchange.cli.wiring import server
from swexchange.core.checkpoint import COSIGNATURE, Verifier, is_name
from swexchange.core.model import Fate
from swexchange.core.witness import Answer
from swexchange.errors import BrokerLost, ConfigFault
from swexchange.evidence.witness import Witness, collect, read_keys
from swexchange.evidence.witnessing import Seen, WitnessingThread, last_seen
from swexchange.observe import Observer
from swexchange.settings import Settings
from swexchange.store import open_evidence

REQUEST_BYTES = 256 * 1024
ANSWER_SECONDS = 20.0  # how long the daemon waits for each answer, beside its work
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
                _publish(outlet, cosignatures(name), "", found.body, str(found.status), asked.message_id)
                mailbox.ack_through(asked.tag)
                click.echo(f"{found.status} {found.seen.size if found.seen else found.body.strip()}", err=True)


def _publish(outlet: Outlet, exchange: str, queue: str, body: str, kind: str, about: str = "") -> str:
    """Publish one text and wait for the confirm; its id."""
    number = uuid4().hex
    message = Message(exchange, queue, body.encode(), number, kind, about, content_type="text/plain")
    if outlet.publish_raw([message]) != [Fate.CONFIRMED]:
        raise BrokerLost("it was not taken", where=exchange or queue, do="Run `swexchange topology check`")
    return number


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
    with open_evidence(settings.database_url) as log, _asking(server(settings), settings, wait) as ask:
        for verifier in witnesses:
            size = collect(log, verifier, ask(verifier.name))
            click.echo(f"{verifier.name} has signed {size} entries" if size else "nothing is sealed yet")


Ask = Callable[[str], Answer]


@contextmanager
def witnessing(settings: Settings, observer: Observer) -> Iterator[None]:
    """Has the witnesses sign beside the worker, on a thread with connections of its own. Raises ConfigFault."""
    witnesses = read_keys(settings.witnesses)
    stopping = threading.Event()
    asking = partial(_asking, server(settings), settings, ANSWER_SECONDS, stopping.is_set)
    with open_evidence(settings.database_url) as log:
        thread = WitnessingThread(log, witnesses, asking, settings.seal_seconds, observer, stopping)
        thread.start()
        try:
            yield
        finally:
            thread.stop()


def witnesses_of(settings: Settings) -> Mapping[str, Seen | None]:
    """What each witness of the log has signed last, by its name. Raises ConfigFault, StoreDown."""
    witnesses = read_keys(settings.witnesses)
    if not witnesses:
        return {}
    with open_evidence(settings.database_url) as log:
        return last_seen(log.witnessed(), witnesses)


@contextmanager
def _asking(
    broker: Server, settings: Settings, wait: float, is_stopping: Callable[[], bool] = lambda: False
) -> Iterator[Callable[[str], Ask]]:
    """Asks witnesses by name, one after the other; what comes late, from an earlier time, is dropped."""
    with Outlet(broker, settings.confirm_seconds) as outlet, Mailbox(broker, COSIGNATURES) as mailbox:

        def ask(name: str, asked: str) -> Answer:
            number = _publish(outlet, "", checkpoints(name), asked, "add-checkpoint")
            deadline = time.monotonic() + wait
            while (left := deadline - time.monotonic()) > 0 and not is_stopping():
                for received in mailbox.read(1, REQUEST_BYTES, min(left, 0.5)):
                    mailbox.ack_through(received.tag)
                    if received.correlation_id == number and received.type.isdigit():
                        return Answer(int(received.type), received.body.decode("utf-8", "replace"))
            raise BrokerLost(
                f"no answer within {wait:g} s", where=name, do="Is `swexchange witness run` running there?"
            )

        yield lambda name: lambda asked: ask(name, asked)
