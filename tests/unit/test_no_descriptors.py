"""A process without a file descriptor to spare goes on, and says what is wrong."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from swexchange.broker import Outlet, Server
from swexchange.cli.work import _resident_mb
from swexchange.errors import BrokerLost


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing can be opened any more; what is open stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_link_that_cannot_be_made_is_a_lost_link() -> None:
    """The worker waits and tries again, as when the broker is away."""
    with pytest.raises(BrokerLost, match="Too many open files"), no_descriptors():
        Outlet(Server("amqp://guest:guest@127.0.0.1:1/%2F"))


def test_memory_that_cannot_be_known_ends_no_worker() -> None:
    """A worker starts afresh because it has grown, never because it could not look."""
    with no_descriptors():
        found = _resident_mb()
    assert found == 0
