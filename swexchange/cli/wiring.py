"""Builds the objects of the house from settings: the only place that knows how they fit together."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from swexchange import keyfile, yamlfile
from swexchange.broker import Server, Tls
from swexchange.core.checkpoint import is_name
from swexchange.core.rulebook import Rulebook
from swexchange.core.watermark import Watermarks
from swexchange.errors import ConfigFault
from swexchange.evidence.sealer import HighWater, Sealer
from swexchange.explain import Explainer
from swexchange.observe import utc_now
from swexchange.rules import samples
from swexchange.rules.load import load
from swexchange.schemas import Schemas
from swexchange.settings import Settings
from swexchange.store import Evidence
from swexchange.store.engine import folder_of
from swexchange.yamlfile import YamlFile

MB = 1_000_000


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


def watermarks(settings: Settings) -> Watermarks:
    """When the intake stops and resumes. Raises ConfigFault where a mark to resume is on the wrong side."""
    if settings.backlog_resume >= settings.backlog_stop or settings.disk_resume_mb <= settings.disk_stop_mb:
        raise ConfigFault(
            "the intake would stop and resume at once",
            where="environment",
            do="Set SWX_BACKLOG_RESUME below SWX_BACKLOG_STOP, and SWX_DISK_RESUME_MB above SWX_DISK_STOP_MB",
        )
    disk = (mb * MB for mb in (settings.disk_stop_mb, settings.disk_resume_mb))
    return Watermarks(settings.backlog_stop, settings.backlog_resume, *disk)


def free_disk(settings: Settings) -> Callable[[], int | None]:
    """Looks how many bytes are free beside an SQLite database; None: PostgreSQL's disk cannot be seen from here."""
    folder = folder_of(settings.database_url)
    return lambda: shutil.disk_usage(folder).free if folder else None


def server(settings: Settings) -> Server:
    """The broker."""
    return Server(settings.amqp_url, Tls(settings.amqp_ca, settings.amqp_cert, settings.amqp_key))


def sealer(settings: Settings, log: Evidence) -> Sealer:
    """What seals the log. Raises ConfigFault where the settings name no log or no key of it."""
    if not settings.audit_key:
        raise ConfigFault(
            "the audit log has no key",
            where="SWX_AUDIT_KEY",
            do="See docs/how-to/prove-an-exchange.md#switch-it-on",
        )
    if not is_name(settings.audit_origin):
        raise ConfigFault(
            f"{settings.audit_origin!r} is no name for the audit log",
            where="SWX_AUDIT_ORIGIN",
            do="Give it one that nobody else has, without blanks or '+': sw.example.gov.cn/audit",
        )
    key = keyfile.load(settings.audit_key, settings.key_folders)
    return Sealer(log, settings.audit_origin, key, HighWater(Path(settings.audit_head)), utc_now)
