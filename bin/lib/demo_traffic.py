"""The traffic of a demo: everybody sends, everybody reads, until all that was expected has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice

from demo_cases import Case, Desk, answers, early_answer, ordinary, originals
from demo_folder import KEYS, Rules
from demo_papers import Numbers
from demo_post import Post
from demo_trouble import FAILED, Trouble
from demo_view import Step, View
from demo_watch import Watch
from demo_wrong import sent_again, wrong

from swexchange import keyfile
from swexchange.broker import Server
from swexchange.core.keys import Key
from swexchange.errors import BrokerLost

CHUNK = 200  # messages sent in one go
PATIENCE = 20.0  # seconds without any arrival after which the rest counts as lost
AFTERWARDS = 0.5  # seconds in which nothing more must come
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def exchange(rules: Rules, server: Server, volume: int, check_daemon: Callable[[], None], view: View) -> Watch:
    """Play all participants; what became of every message. `volume` ordinary declarations come on top."""
    signing = {owner: keyfile.read(KEYS / f"{key_id}.key") for owner, key_id in rules.key_of.items()}
    registry = {key.id: Key(key.id, owner, key.public, _LONG_AGO) for owner, key in signing.items()}
    now = datetime.now(UTC)
    desk, watch = Desk(signing, Numbers(now), now), Watch(rules.platform, registry)
    try:
        with Post(server, rules.participants) as post:
            _play(desk, Traffic(post, watch, check_daemon), volume, view)
    except BrokerLost as fault:
        raise Trouble(str(fault), FAILED) from None
    return watch


def _play(desk: Desk, traffic: Traffic, volume: int, view: View) -> None:
    known, refused = originals(desk), wrong(desk)
    with view.step("messages") as step:
        traffic.send([early_answer(desk, known)], step)
        traffic.settle(step, but=1)  # its receipt: now it is surely there before its manifest
        traffic.send([*known.cases(), *refused], step)
        traffic.send((ordinary(desk) for _ in range(volume)), step)
        traffic.settle(step)
    with view.step("answers") as step:
        traffic.send([*sent_again(desk, known.declarations[0], refused[0]), *answers(desk, known)], step)
        traffic.settle(step)
        traffic.listen()


class Traffic:
    """Sends and reads in turn, so that nobody's queue grows."""

    def __init__(self, post: Post, watch: Watch, check_daemon: Callable[[], None]) -> None:
        self._post, self._watch, self._check_daemon = post, watch, check_daemon

    def send(self, cases: Iterable[Case], step: Step) -> None:
        """Send all, a chunk at a time, reading what comes meanwhile."""
        rest = iter(cases)
        while chunk := list(islice(rest, CHUNK)):
            self._watch.expect(chunk)
            self._post.send(chunk)
            self._read(step)

    def settle(self, step: Step, but: int = 0) -> None:
        """Read until all has come `but` so many, or nothing has come for long."""
        last = time.monotonic()
        while self._watch.owed > but and time.monotonic() - last < PATIENCE:
            if self._read(step):
                last = time.monotonic()
            self._check_daemon()

    def listen(self) -> None:
        """Read a moment longer: what comes now comes too often."""
        end = time.monotonic() + AFTERWARDS
        while time.monotonic() < end:
            self._read(None)

    def _read(self, step: Step | None) -> bool:
        arrived = self._post.read()
        for mail in arrived:
            self._watch.take(mail)
        if step and arrived:
            counts = self._watch.counts()
            step.show(f"{counts.sent} sent, {counts.receipts} receipts, {counts.delivered} deliveries")
        return bool(arrived)
