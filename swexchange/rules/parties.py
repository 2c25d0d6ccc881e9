"""Who takes part: the platform itself, participants, and everybody's keys."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from swexchange import keyfile
from swexchange.core.keys import Key
from swexchange.core.rulebook import ANYTHING, Participant, Platform
from swexchange.errors import ConfigFault
from swexchange.rules.sheet import Sheet, suggest
from swexchange.yamlfile import Place


def read_keys(sheet: Sheet) -> dict[str, Key]:
    """All public keys by id; an id belongs to one participant for good."""
    keys: dict[str, Key] = {}
    for owner, entry, place in _key_entries(sheet):
        if entry["id"] in keys:
            sheet.problem(f"key id {entry['id']} stands twice", place, "Give each key its own id")
        keys[entry["id"]] = Key(
            id=entry["id"],
            participant=owner,
            public=base64.b64decode(entry["public"]),
            valid_from=sheet.start(entry, place),
            valid_to=sheet.moment(entry, "to", place),
            revoked_at=sheet.moment(entry, "revoked", place),
        )
    return keys


def _key_entries(sheet: Sheet) -> Iterator[tuple[str, dict[str, str], Place]]:
    owners: list[tuple[Place, dict[str, Any]]] = [(("platform",), sheet.data["platform"])]
    owners += [(("participants", i), entry) for i, entry in enumerate(sheet.data["participants"])]
    for place, owner in owners:
        for i, entry in enumerate(owner.get("keys") or []):
            yield owner["id"], entry, (*place, "keys", i)


def read_platform(sheet: Sheet, keys: Mapping[str, Key], key_folders: Sequence[Path] | None) -> Platform | None:
    """Ourselves; None with a problem noted.

    Without key folders it has no key: for checks and what-ifs, which send nothing.
    """
    entry, place = sheet.data["platform"], ("platform", "key")
    public = keys.get(entry["key"])
    if public is None or public.participant != entry["id"]:
        sheet.problem(f"platform.key {entry['key']} is not among platform.keys", place)
        return None
    if key_folders is None:
        return Platform(entry["id"], entry["node"], None)
    try:
        private = keyfile.load(entry["key"], key_folders)
    except ConfigFault as fault:
        sheet.problem(f"platform.key: {fault.what}", place, fault.do)
        return None
    if private.public != public.public:
        what = f"the private key {entry['key']} does not belong to the public key in this file"
        sheet.problem(what, place, f"Put here what `swexchange keys public {entry['key']}` prints")
    return Platform(entry["id"], entry["node"], private)


def read_participants(sheet: Sheet) -> dict[str, Participant]:
    """All participants by id."""
    participants: dict[str, Participant] = {}
    for i, entry in enumerate(sheet.data["participants"]):
        if entry["id"] in participants or entry["id"] == sheet.data["platform"]["id"]:
            sheet.problem(f"participant id {entry['id']} stands twice", ("participants", i))
        participants[entry["id"]] = Participant(
            id=entry["id"],
            name=entry["name"],
            kind=entry["kind"],
            sends=frozenset(entry["sends"]) if "sends" in entry else ANYTHING,
            to=frozenset(entry["to"]) if "to" in entry else ANYTHING,
            node=entry.get("node", ""),
            upstream=entry.get("upstream", ""),
        )
    _check_names(sheet, "sends", {entry["id"] for entry in sheet.data["types"]}, "type")
    _check_names(sheet, "to", set(participants), "participant")
    return participants


def _check_names(sheet: Sheet, name: str, known: set[str], what: str) -> None:
    for i, entry in enumerate(sheet.data["participants"]):
        for j, value in enumerate(entry.get(name) or []):
            if value not in known | {"*"}:
                sheet.problem(f"there is no {what} {value}", ("participants", i, name, j), suggest(value, known))
