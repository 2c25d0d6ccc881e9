"""The manifest of rules: which files they are made of, as a text whose SHA-256 is the rules' digest.

Anybody who has the text and the digest can say of a file whether the rules used it:
docs/reference/evidence.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

TITLE = "swexchange-rules/v1"
ROUTES, SCHEMAS = "routes.yaml", "schemas/"  # names of the files: whatever they are called on a disk


def manifest(routes: bytes, schemas: Mapping[str, bytes]) -> str:
    """The manifest of a routes.yaml and of schema documents, by their paths below the schemas folder.

    A title, then for each file SHA-256 and name, as `sha256sum` writes them, sorted by name.
    """
    files = {ROUTES: routes} | {SCHEMAS + name: content for name, content in schemas.items()}
    lines = (f"{sha256(content).hexdigest()}  {name}" for name, content in sorted(files.items()))
    return "\n".join((TITLE, *lines)) + "\n"


def digest_of(manifest: str) -> str:
    """The digest of the rules that a manifest is of, 64 hex digits."""
    return sha256(manifest.encode()).hexdigest()


def schemas_of(manifest: str) -> dict[str, str]:
    """SHA-256 in hex of each schema document by its path below the schemas folder; nothing of what is no manifest."""
    title, *lines = manifest.split("\n")
    found = (line.partition("  ") for line in lines) if title == TITLE else ()
    return {name.removeprefix(SCHEMAS): digest for digest, _, name in found if name.startswith(SCHEMAS)}
