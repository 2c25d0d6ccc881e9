"""Settings from the environment: SWX_* variables, read once at the start.

Secrets stand here or in files this names, never in routes.yaml. docs/reference/settings.md is
checked against DEFAULTS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from swexchange.crashpoint import CRASH_AT
from swexchange.errors import ConfigFault


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. Paths are relative to the working directory."""

    amqp_url: str = "amqp://guest:guest@127.0.0.1:5672/%2F"  # the broker
    amqp_ca: str = ""  # CA file for amqps; '' = the system's
    amqp_cert: str = ""  # client certificate and key (PEM) for amqps
    amqp_key: str = ""
    management_url: str = ""  # RabbitMQ management API, for deeper topology checks; '' = none
    database_url: str = "sqlite:///swexchange.db"
    routes: str = "routes.yaml"
    schemas: str = "schemas"  # the folder that holds all schema families
    cache: str = ""  # folder that remembers which schemas compiled, so that the next start is quick; '' = none
    keys: str = "keys"  # folder of private keys, <key id>.key; systemd's $CREDENTIALS_DIRECTORY goes first
    audit_key: str = ""  # id of the key that signs checkpoints of the audit log; '' = it is not sealed
    audit_origin: str = ""  # the log's name in them, one that nobody else has
    audit_head: str = "audit.head"  # file that remembers the last checkpoint, on another disk than the database
    archive: str = "archive"  # folder of the archive files
    backups: str = ""  # folder in which the backups are, for doctor to look at; '' = it does not know
    witnesses: str = ""  # verifier keys of the log's witnesses, with blanks between them
    seal_seconds: float = 60.0  # between two checkpoints, at least
    filters: str = "filters.yaml"  # named filters for commands that search
    batch: int = 500  # messages taken at once, at most
    batch_bytes: int = 16 * 1024 * 1024  # bytes taken at once, at most (one message always passes)
    backlog_stop: int = 1_000_000  # copies owed at which the intake stops; the broker then holds senders back
    backlog_resume: int = 900_000  # and at which it resumes
    disk_stop_mb: int = 1024  # MB free beside an SQLite database below which the intake stops
    disk_resume_mb: int = 2048  # and at which it resumes
    confirm_seconds: float = 30.0  # how long to wait for the broker's confirms
    memory_mb: int = 1024  # a worker that has grown over this starts afresh between two batches
    metrics_port: int = 0  # Prometheus port on 127.0.0.1; process n takes port + n; 0 = none
    log: str = "console"  # console or json
    log_level: str = "info"

    @property
    def key_folders(self) -> tuple[Path, ...]:
        """Where private keys are looked for, in this order."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        return (*((Path(credentials),) if credentials else ()), Path(self.keys))

    @property
    def cache_folder(self) -> Path | None:
        """The folder that remembers; None = nothing is remembered."""
        return Path(self.cache) if self.cache else None


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"SWX_{name.upper()}"


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of an environment (default: the process's). Raises ConfigFault for a wrong value."""
    source = os.environ if environment is None else environment
    values: dict[str, str | int | float] = {}
    for name, default in DEFAULTS.items():
        text = source.get(variable(name))
        if text is not None:
            values[name] = _convert(name, text, type(default))
    settings = Settings(**values)  # type: ignore[arg-type]
    for lower, higher in _APART:
        if getattr(settings, lower) >= getattr(settings, higher):
            what = f"{variable(lower)} is not below {variable(higher)}: the intake would stop and resume at once"
            raise ConfigFault(what, where="environment")
    return settings


def unknown(environment: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Variables of an environment (default: the process's) that look like settings and are none; what each may mean."""
    source = os.environ if environment is None else environment
    known = [variable(name) for name in DEFAULTS]
    for name in sorted(source):
        if name.upper().startswith(variable("")) and name not in (*known, CRASH_AT):
            yield name, next(iter(get_close_matches(name.upper(), known, 1)), "")


def _convert(name: str, text: str, kind: type[str | int | float]) -> str | int | float:
    try:
        value = kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ConfigFault(f"{variable(name)}={text!r} is not {wanted}", where="environment") from None
    if not isinstance(value, str):
        least, most = BOUNDS[name]
        if not least <= value <= most:  # not a number is not between them either
            what = f"{variable(name)}={text} is not between {least:g} and {most}"
            raise ConfigFault(what, where="environment")
    return value


DEFAULTS: Mapping[str, str | int | float] = {name: getattr(Settings(), name) for name in Settings.__dataclass_fields__}
BOUNDS: Mapping[str, tuple[float, int]] = {  # of numbers: a value outside would do something else than it says
    "seal_seconds": (0.1, 86_400),
    "batch": (1, 30_000),  # twice as many are prefetched, which AMQP counts in 16 bits; it takes 0 for all there are
    "batch_bytes": (1, 2**30),
    "backlog_stop": (1, 2**60),
    "backlog_resume": (0, 2**59),
    "disk_stop_mb": (0, 2**39),
    "disk_resume_mb": (1, 2**40),
    "confirm_seconds": (0.1, 3_600),
    "memory_mb": (1, 2**40),
    "metrics_port": (0, 65_000),  # and more processes behind it
}
_APART = (("backlog_resume", "backlog_stop"), ("disk_stop_mb", "disk_resume_mb"))
