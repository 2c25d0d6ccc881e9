"""Asks the audit log's witnesses over the broker: a request to a queue of theirs, the answer in one of ours."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

from swexchange.broker import Message, Outlet, Server
from swexchange.broker.client import Mailbox
from swexchange.broker.topology import COSIGNATURES, checkpoints
from swexchange.cli.wiring_broker import server
from swexchange.core.model import Fate
from swexchange.core.witness import Answer
from swexchange.errors import BrokerLost, ConfigFault, Fault, StoreDown
from swexchange.evidence.witness import OtherHistory, confront, read_keys
from swexchange.evidence.witnessing import Observer, WitnessingThread
from swexchange.settings import Settings
from swexchange.store import open_evidence

REQUEST_BYTES = 256 * 1024
START_SECONDS = 5.0  # how long a start waits for all of them
ANSWER_SECONDS = 20.0  # how long the daemon waits for each answer, beside its work

Ask = Callable[[str], Answer]


@contextmanager
def witnessing(settings: Settings, observer: Observer) -> Iterator[None]:
    """Has the witnesses sign beside the sealer, on a thread with connections of its own. Raises ConfigFault."""
    witnesses = read_keys(settings.witnesses)
    stopping = threading.Event()
    to_ask = partial(asking, server(settings), settings, ANSWER_SECONDS, stopping.is_set)
    with open_evidence(settings.database_url) as log:
        thread = WitnessingThread(log, witnesses, to_ask, settings.seal_seconds, observer, stopping)
        thread.start()
        try:
            yield
        finally:
            thread.stop()


def refuse_other_history(settings: Settings) -> Iterator[Fault]:
    """Ask the log's witnesses once whether it is the one they know; yields why one could not be asked.

    Raises ConfigFault where one has seen another or a longer history. All together take `START_SECONDS`
    beside the time to connect: who waits for it takes no messages yet.
    """
    witnesses = read_keys(settings.witnesses)
    end = time.monotonic() + START_SECONDS
    share = START_SECONDS / max(1, len(witnesses))  # one that is away leaves the others their time
    try:
        to_ask = asking(server(settings), settings, share, lambda: time.monotonic() > end)
        with open_evidence(settings.database_url) as log, to_ask as ask:
            for witness in witnesses:
                try:
                    confront(log, witness, ask(witness.name))
                except OtherHistory as fault:
                    what = f"witness {fault.where}: {fault.what}"
                    raise OtherHistory(what, do=f"{fault.do}, or start with --no-check") from None
                except (BrokerLost, ConfigFault) as fault:
                    yield fault
    except (BrokerLost, StoreDown) as fault:
        yield fault


@contextmanager
def asking(
    broker: Server, settings: Settings, wait: float, is_stopping: Callable[[], bool] = lambda: False
) -> Iterator[Callable[[str], Ask]]:
    """Asks witnesses by name, one after the other; what comes late, from an earlier time, is dropped.

    So is what another process asked for at this moment: all answers come in one queue, and nobody could tell these
    two apart. Put back, an answer whose asker is dead would go round for ever.
    """
    with Outlet(broker, settings.confirm_seconds) as outlet, Mailbox(broker, COSIGNATURES) as mailbox:

        def ask(name: str, asked: str) -> Answer:
            number = publish(outlet, "", checkpoints(name), asked, "add-checkpoint")
            deadline = time.monotonic() + wait
            while (left := deadline - time.monotonic()) > 0 and not is_stopping():
                for received in mailbox.read(1, REQUEST_BYTES, min(left, 0.5)):
                    mailbox.ack_through(received.tag)
                    if received.correlation_id == number and re.fullmatch("[1-5][0-9]{2}", received.type):
                        return Answer(int(received.type), received.body.decode("utf-8", "replace"))
            raise BrokerLost(
                f"no answer within {wait:g} s",
                where=name,
                do="Is `swexchange witness run` running there? Another process that asks may have taken it: ask again",
            )

        yield lambda name: lambda asked: ask(name, asked)


def publish(outlet: Outlet, exchange: str, queue: str, body: str, kind: str, about: str = "") -> str:
    """Publish one text and wait for the confirm; its id."""
    number = uuid4().hex
    message = Message(exchange, queue, body.encode(), number, kind, about, content_type="text/plain")
    if outlet.publish_raw([message]) != [Fate.CONFIRMED]:
        raise BrokerLost("it was not taken", where=exchange or queue, do="Run `swexchange topology check`")
    return number
