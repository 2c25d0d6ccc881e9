"""Remembers across processes which schemas the slow engine compiles: one empty file for each, in a folder.

The same bytes compile the same way by the same engine, so that a check that was passed once need
not be made again. Only success is remembered. A folder that cannot be used costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from swexchange.core.schema import Bundle

_ENGINE = ("xmlschema", "elementpath")


class Proven:
    """The bundles that compiled before, here or in another process; none is known without a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __contains__(self, bundle: Bundle) -> bool:
        """Whether this bundle, as the engine gets it, was compiled by this very engine."""
        if self._folder is None:
            return False
        try:
            return (self._folder / _name(bundle)).is_file()
        except OSError:
            return False

    def add(self, bundle: Bundle) -> None:
        """Remember a bundle that has just been compiled."""
        if self._folder is not None:
            with suppress(OSError):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                (self._folder / _name(bundle)).open("xb").close()  # never through a link: root may be asked to


def _name(bundle: Bundle) -> str:
    """A digest of all that the outcome depends on: what is compiled, and what by."""
    digest = hashlib.sha256()
    parts = [*_engine(), bundle.version.encode()]
    parts += [root.encode() for root in sorted(bundle.roots)]
    for name in sorted(bundle.sources):
        parts += [name.encode(), bundle.sources[name].text]
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


def _engine() -> list[bytes]:
    """Python, the libraries, and how they are asked."""
    asked = Path(__file__).with_name("explainer_child.py").read_bytes()
    return [sys.version.encode(), *(version(name).encode() for name in _ENGINE), asked]
