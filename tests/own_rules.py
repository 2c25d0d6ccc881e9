"""The project's routes.yaml with keys of our own: the private half of each is known, and the same in every run."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from swexchange import yamlfile
from swexchange.core.keys import SigningKey
from tests import world

ROOT = Path(__file__).parent.parent
Owner = dict[str, Any]  # the platform or a participant, as routes.yaml has it


def rules() -> dict[str, Any]:
    """The project's rules without their tests; each key keeps its id and gets a public half of ours."""
    found: dict[str, Any] = yamlfile.read(ROOT / "routes.yaml").data
    del found["tests"]
    own(found)
    return found


def own(content: dict[str, Any]) -> None:
    """Make every key of some rules one of ours."""
    for owner in (content["platform"], *content["participants"]):
        for entry in owner["keys"]:
            entry["public"] = _text(signing_key(owner["id"], entry["id"]).public)


def signing_key(owner: str, key_id: str = "") -> SigningKey:
    """The private key of the platform or a participant; without an id, that of a participant's key of 2026."""
    return replace(world.signing_key(owner), id=key_id or f"{owner}-2026")


def registered(owner: str) -> dict[str, str]:
    """A participant's key of 2026 as an entry of `keys:`."""
    key = signing_key(owner)
    return {"id": key.id, "public": _text(key.public), "from": "2026-01-01"}


def write(content: dict[str, Any], path: Path) -> Path:
    """Write rules as a file."""
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def write_private(owners: Iterable[Owner], folder: Path) -> None:
    """Write the private halves of all keys of these owners into a new folder."""
    folder.mkdir(mode=0o700)
    for owner in owners:
        for entry in owner["keys"]:
            path = folder / f"{entry['id']}.key"
            path.touch(mode=0o600)
            path.write_text(_text(signing_key(owner["id"], entry["id"]).secret[:32]))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
