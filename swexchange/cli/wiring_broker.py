"""Builds from settings what stands on the broker; apart from `wiring`, since not all of it needs the rules."""

from __future__ import annotations

from swexchange.broker import Server, Tls
from swexchange.settings import Settings


def server(settings: Settings) -> Server:
    """The broker."""
    return Server(settings.amqp_url, Tls(settings.amqp_ca, settings.amqp_cert, settings.amqp_key))
