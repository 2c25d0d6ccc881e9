"""Which files belong to a backup beside the database, and where each belongs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from swexchange import yamlfile
from swexchange.errors import ConfigFault
from swexchange.settings import Settings

HEAD, LOG_KEY, WITNESS_KEYS = "audit.head", "audit.vkey", "witnesses.vkey"
PRIVATE = "keys"


def sources(settings: Settings, *, private_keys: bool) -> Iterator[tuple[str, Path]]:
    """Names in the backup, and the files of this machine.

    Raises ConfigFault where schemas or keys are missing, OSError where a folder cannot be read.
    """
    routes = Path(settings.routes)
    yield "routes.yaml", routes
    if (filters := Path(settings.filters)).exists():
        yield "filters.yaml", filters
    schemas = Path(settings.schemas)
    yield from _tree("schemas", schemas)
    for sample in _samples(routes):
        path = routes.parent / sample
        if path.is_file() and not path.resolve().is_relative_to(schemas.resolve()):
            yield f"samples/{sample}", path
    if private_keys:
        yield from _tree(PRIVATE, Path(settings.keys))


def _tree(name: str, folder: Path) -> Iterator[tuple[str, Path]]:
    top = folder.resolve()
    if not top.is_dir():
        raise ConfigFault("there is no such folder", where=str(folder), do="Set SWX_SCHEMAS and SWX_KEYS")
    for path in sorted(_files(top)):
        yield f"{name}/{path.relative_to(top).as_posix()}", path


def _files(top: Path) -> Iterator[Path]:
    """All files below a folder, by links too. Not by `rglob`, which takes a folder that it may not read for empty."""

    def fail(error: OSError) -> None:
        raise error

    for folder, _, names in os.walk(top, onerror=fail, followlinks=True):
        yield from (path for name in names if (path := Path(folder, name)).is_file())


def _samples(routes: Path) -> set[str]:
    """Files of the tests in routes.yaml that lie beside it: without them the daemon would not start."""
    with suppress(ConfigFault, AttributeError, TypeError, KeyError):  # a wrong file is backed up as it is
        named = {str(test["file"]) for test in yamlfile.read(routes).data.get("tests") or []}
        return {name for name in named if not Path(name).is_absolute() and ".." not in Path(name).parts}
    return set()


def is_secret(name: str) -> bool:
    """Whether a file of a backup is for its owner alone, wherever it is; the others are for the daemon to read."""
    return name.startswith(f"{PRIVATE}/")


def target(settings: Settings, name: str) -> Path | None:
    """Where a file of a backup belongs on this machine; None: nowhere."""
    alone = {"routes.yaml": settings.routes, "filters.yaml": settings.filters, HEAD: settings.audit_head}
    if name in alone:
        return Path(alone[name])
    folders = {"schemas": settings.schemas, "samples": str(Path(settings.routes).parent), PRIVATE: settings.keys}
    top, _, rest = name.partition("/")
    return Path(folders[top], rest) if top in folders else None
