"""Builds the objects of the house from settings: the only place that knows how they fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from swexchange import yamlfile
from swexchange.broker import Server, Tls
from swexchange.core.rulebook import Rulebook
from swexchange.explain import Explainer
from swexchange.observe import utc_now
from swexchange.rules import samples
from swexchange.rules.load import load
from swexchange.schemas import Schemas
from swexchange.settings import Settings


def load_rules(settings: Settings, explainer: Explainer, *, with_keys: bool = True) -> Rulebook:
    """The rules that the settings name. Raises RulesInvalid."""
    schemas = Schemas(Path(settings.schemas), explainer)
    return load(Path(settings.routes), schemas, settings.key_folders if with_keys else None)


def tested_rules(settings: Settings, explainer: Explainer) -> Rulebook:
    """The rules for the daemon: their own tests must pass too. Raises RulesInvalid."""
    rules = load_rules(settings, explainer)
    samples.require(yamlfile.read(Path(settings.routes)), rules, utc_now())
    return rules


@contextmanager
def checked_rules(settings: Settings) -> Iterator[Rulebook]:
    """The rules for a command that signs nothing of the platform's. Raises RulesInvalid."""
    with closing(Explainer()) as explainer:
        yield load_rules(settings, explainer, with_keys=False)


def server(settings: Settings) -> Server:
    """The broker."""
    return Server(settings.amqp_url, Tls(settings.amqp_ca, settings.amqp_cert, settings.amqp_key))
