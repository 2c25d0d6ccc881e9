"""Builds from settings what stands on the broker; apart from `wiring`, since not all of it needs the rules."""

from __future__ import annotations

from functools import partial

from swexchange.broker import LastingOutlet, Outlet, PassingOver, Server, Tls
from swexchange.core.silence import SilentQueues
from swexchange.settings import Settings


def server(settings: Settings) -> Server:
    """The broker."""
    return Server(settings.amqp_url, Tls(settings.amqp_ca, settings.amqp_cert, settings.amqp_key))


def worker_outlet(settings: Settings, silent: SilentQueues) -> PassingOver:
    """What a worker sends to participants over, whichever broker it takes from. Raises BrokerLost."""
    return PassingOver(LastingOutlet(partial(Outlet, server(settings), settings.confirm_seconds)), silent)
