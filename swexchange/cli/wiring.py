"""Builds the objects of the house from settings: the only place that knows how they fit together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from swexchange import yamlfile
from swexchange.clock import utc_now
from swexchange.core.rulebook import Rulebook
from swexchange.rules import samples
from swexchange.rules.load import load
from swexchange.schemas.compiled import Schemas
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from swexchange.yamlfile import YamlFile


def rules_file(settings: Settings) -> YamlFile:
    """routes.yaml as it is now. Raises ConfigFault."""
    return yamlfile.read(Path(settings.routes))


def load_rules(settings: Settings, explainer: Explainer, *, with_keys: bool = True) -> Rulebook:
    """The rules that the settings name; without keys they sign nothing of the platform's. Raises RulesInvalid."""
    return _load(rules_file(settings), settings, explainer, settings.key_folders if with_keys else None)


def tested_rules(settings: Settings, explainer: Explainer) -> Rulebook:
    """The rules for the daemon: their own tests must pass too. Raises RulesInvalid."""
    file = rules_file(settings)  # read once: an edit now must not be tested in place of what was loaded
    rules = _load(file, settings, explainer, settings.key_folders)
    with explainer.silent():  # the decision is compared, not its words
        samples.require(file, rules, utc_now())
    return rules


@contextmanager
def checked_rules(settings: Settings, file: YamlFile | None = None) -> Iterator[Rulebook]:
    """The rules for a command that signs nothing of the platform's; of a file read already. Raises RulesInvalid."""
    with closing(Explainer(proven=settings.cache_folder)) as explainer:
        yield _load(file or rules_file(settings), settings, explainer, None)


def _load(file: YamlFile, settings: Settings, explainer: Explainer, key_folders: Sequence[Path] | None) -> Rulebook:
    return load(file, Schemas(Path(settings.schemas), explainer), key_folders)
