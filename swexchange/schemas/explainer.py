"""The slow engine as seen from the daemon: a child process, asked within a deadline, replaced when it fails.

It never raises for a document: what it cannot say in time is None, and the caller uses libxml2's
own words. A schema that is known to compile is compiled when the first refused document needs it.
A child that replaces another compiles in the background. Make one per process, after any fork.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from threading import Timer
from time import monotonic
from types import TracebackType
from typing import Any
from weakref import WeakSet

from swexchange.core.schema import Bundle, Reason
from swexchange.errors import ConfigFault, Fault
from swexchange.schemas.proven import Proven

_GIBIBYTE = 1 << 30
_ENDINGS = (EOFError, OSError)  # what a connection raises once its other end is gone


class Explainer:
    """Explains by xmlschema; for one thread. `close` it, or use it as a context manager."""

    def __init__(
        self,
        deadline: float = 2.0,
        largest: int = 1 << 18,
        compile_deadline: float = 120.0,
        restart_pause: float = 5.0,
        memory: int = _GIBIBYTE,
        proven: Path | None = None,
    ) -> None:
        """What limits there are, and the folder that remembers what compiled before (see `proven`).

        Seconds for one document, bytes of a document to be explained, seconds for one bundle, and from one
        start of a child to the next; bytes of its memory.
        """
        self._deadline, self._largest, self._compile_deadline = deadline, largest, compile_deadline
        self._restart_pause, self._memory = restart_pause, memory
        with _room():
            self._folder = TemporaryDirectory(prefix="swexchange-schemas-")
        self._proven = Proven(proven)
        self._held: dict[bytes, WeakSet[Bundle]] = {}  # all that compile, by digest, and those whom each still serves
        self._needed: set[bytes] = set()  # those that a child has compiled, or is compiling
        self._child: _Child | None = None
        self._start_after = 0.0  # on the monotonic clock

    def __enter__(self) -> Explainer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return self._child.pid if self._child else None

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """What is held, one of each digest."""
        return tuple(bundle for users in self._held.values() for bundle in list(users)[:1])

    def compile(self, bundles: Sequence[Bundle]) -> None:
        """Hold these bundles as long as anyone else does: all of them compile when it returns.

        Raises ConfigFault for what does not compile, Fault where there is no room to. What is held already
        is not compiled again, and what did compile before is only when it is needed first.
        """
        for digest in [digest for digest, users in self._held.items() if not users]:
            self._forget(digest)
        for bundle in bundles:
            if bundle.digest not in self._held:
                self._admit(bundle)
            self._held.setdefault(bundle.digest, WeakSet()).add(bundle)

    def explain(self, digest: bytes, document: bytes, cap: int) -> list[Reason] | None:
        """Why a document is refused by the bundle of `digest`, at most `cap` reasons; none if it is valid after all.

        None after the deadline, and at once for large documents and while the child is not ready.
        The first to need a bundle waits until it is compiled, as the load would have.
        """
        if len(document) > self._largest:
            return None
        is_first = digest in self._held and digest not in self._needed
        is_ready = self._is_compiled(digest) if is_first else self._is_ready(0.0)
        return self._reasons(digest, document, cap) if is_ready else None

    def judge(self, digest: bytes, document: bytes, cap: int) -> list[Reason] | None:
        """As `explain`, for documents of any size; waits for a child that is not ready, up to the deadline."""
        return self._reasons(digest, document, cap) if self._is_ready(self._deadline) else None

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Meanwhile nothing is explained: for who only wants to know what is refused."""
        largest, self._largest = self._largest, 0
        try:
            yield
        finally:
            self._largest = largest

    def close(self) -> None:
        """End the child."""
        self._end_child()
        self._folder.cleanup()

    # -- bundles

    def _admit(self, bundle: Bundle) -> None:
        """Make sure that a bundle compiles. What judges, by XSD 1.1, must not keep its first document waiting."""
        with _room():
            _write(bundle, self._place(bundle.digest))
        if bundle.version == "1.1" or bundle not in self._proven:
            self._compile(bundle)
            self._needed.add(bundle.digest)
            self._proven.add(bundle)

    def _compile(self, bundle: Bundle) -> None:
        self._start_after = 0.0
        ready = self._is_ready(self._compile_deadline)
        reply = self._ask(self._compile_request(bundle.digest), self._compile_deadline) if ready else None
        if reply is None:
            what = (
                f"xmlschema did not start, took longer than {self._compile_deadline:g} s or too much memory to compile"
            )
            raise ConfigFault(what, where=bundle.where("", 0), do="Make the schema smaller, or name fewer documents")
        if "failed" in reply:
            where = bundle.where(reply.get("source", ""), reply.get("element", sys.maxsize))
            raise ConfigFault(reply["failed"], where=where, do="Correct the schema")

    def _forget(self, digest: bytes) -> None:
        del self._held[digest]
        self._needed.discard(digest)
        self._ask({"do": "forget", "digest": digest.hex()}, self._deadline)
        rmtree(self._place(digest), ignore_errors=True)

    def _compile_request(self, digest: bytes) -> dict[str, Any]:
        return {"do": "compile", "digest": digest.hex(), "folder": str(self._place(digest))}

    def _place(self, digest: bytes) -> Path:
        return Path(self._folder.name, digest.hex())

    # -- the child

    def _reasons(self, digest: bytes, document: bytes, cap: int) -> list[Reason] | None:
        request = {"do": "explain", "digest": digest.hex(), "cap": cap}
        reply = self._ask(request, self._deadline, document)
        return None if reply is None or "failed" in reply else [Reason(*said) for said in reply["reasons"]]

    def _is_compiled(self, digest: bytes) -> bool:
        """Have a bundle compiled that was not needed before; whether that was done in time."""
        self._needed.add(digest)
        if self._child is not None:  # a new one begins with all that is needed
            with suppress(*_ENDINGS):
                self._child.post(self._compile_request(digest), self._compile_deadline)
        return self._is_ready(self._compile_deadline)

    def _is_ready(self, seconds: float) -> bool:
        """Whether there is a child that holds what is needed, within so many seconds; starts one if there is none."""
        child = self._child or self._start()
        if child is None:
            return False
        try:
            return child.has_settled(seconds)
        except _ENDINGS:
            self._end_child()
            return False

    def _start(self) -> _Child | None:
        """A new child that compiles what is needed; None if the last one started a moment ago, or none can be made."""
        if monotonic() < self._start_after:
            return None
        self._start_after = monotonic() + self._restart_pause
        try:
            self._child = _Child(self._folder.name, self._memory)
        except OSError:  # no memory, process or descriptor is left for it
            return None
        with suppress(*_ENDINGS):
            for digest in self._needed:
                self._child.post(self._compile_request(digest), self._compile_deadline)
        return self._child

    def _ask(self, request: dict[str, Any], seconds: float, document: bytes | None = None) -> dict[str, Any] | None:
        """The reply to a request, None if the child did not live to give it."""
        if self._child is None:
            return None
        guard = Timer(seconds, self._child.kill)
        guard.daemon = True
        guard.start()
        try:
            return self._child.ask(request, seconds, document)
        except _ENDINGS:
            self._end_child()
            return None
        finally:
            guard.cancel()

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """A running `explainer_child`; answers in the order of the requests. Its methods raise _ENDINGS when it is gone."""

    def __init__(self, folder: str, memory: int) -> None:
        ours, its = socket.socketpair()
        with ours, its:
            command = [
                sys.executable,
                "-m",
                "swexchange.schemas.explainer_child",
                str(its.fileno()),
                str(memory),
                folder,
            ]
            self._process = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
                command,
                pass_fds=[its.fileno()],
                cwd=folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a traceback could show a document
            )
            self._connection = Connection(ours.detach())
        self.pid = self._process.pid
        self._unanswered = 0  # posted requests

    def post(self, request: Mapping[str, Any], seconds: float) -> None:
        """Send a small request and do not wait for its reply."""
        self._send(request, seconds)
        self._unanswered += 1

    def has_settled(self, seconds: float) -> bool:
        """Whether all posted requests are done, within so many seconds."""
        until = monotonic() + seconds
        while self._unanswered:
            if not self._connection.poll(max(0.0, until - monotonic())):
                return False
            self._connection.recv_bytes()
            self._unanswered -= 1
        return True

    def ask(self, request: Mapping[str, Any], seconds: float, document: bytes | None) -> dict[str, Any]:
        """Send a request, and a document with it, and wait for the reply."""
        self._send(request, seconds)
        if document is not None:
            self._connection.send_bytes(document)
        reply: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return reply

    def kill(self) -> None:
        """Kill it; whoever waits for it wakes."""
        self._process.kill()

    def end(self) -> None:
        """Kill it and free what it held."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _send(self, request: Mapping[str, Any], seconds: float) -> None:
        alarm = math.ceil(seconds) + 1  # after ours: for the case that we are no more
        self._connection.send_bytes(json.dumps({**request, "seconds": alarm}).encode())


def _environment() -> dict[str, str]:
    """What the child needs to find its modules, and nothing else of ours."""
    places = [str(Path(__file__).parents[1]), *map(os.path.abspath, filter(None, sys.path))]
    return {"PYTHONPATH": os.pathsep.join(places), "PYTHONSAFEPATH": "1", "LC_ALL": "C.UTF-8"}


@contextmanager
def _room() -> Iterator[None]:
    """Around what is written for the child. Its failure is no fault of the rules, so no ConfigFault."""
    try:
        yield
    except OSError as error:
        what = f"schemas cannot be compiled: {error.strerror}"
        raise Fault(what, where=error.filename or "", do="Make room there, or set TMPDIR to another folder") from None


def _write(bundle: Bundle, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, source in bundle.sources.items():
        (folder / name).write_bytes(source.text)
    (folder / "bundle.json").write_text(json.dumps({"version": bundle.version, "roots": sorted(bundle.roots)}))
