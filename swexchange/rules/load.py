"""From files to a Rulebook: read, check everything, build; or say all that is wrong, with file and line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from swexchange import yamlfile
from swexchange.core.keys import Key
from swexchange.core.rulebook import Limits, Participant, Rulebook, Upstream
from swexchange.core.rules_manifest import manifest
from swexchange.rules import structure
from swexchange.rules.parties import read_keys, read_participants, read_platform
from swexchange.rules.retention import Retention, read_retention
from swexchange.rules.routes import RouteReader
from swexchange.rules.sheet import Sheet
from swexchange.rules.types import Schemas, TypeReader
from swexchange.rules.upstreams import read_upstreams
from swexchange.yamlfile import YamlFile


def load(file: YamlFile, schemas: Schemas, key_folders: Sequence[Path] | None) -> Rulebook:
    """The rules of a file that was read. Raises RulesInvalid with every problem found.

    Without key folders the platform's private key is not needed and not read: for checks.
    """
    sheet = _sheet(file)
    keys, participants = read_keys(sheet), read_participants(sheet)
    reader = TypeReader(sheet, schemas)
    envelopes = reader.editions(sheet.data["envelope"]["editions"], ("envelope", "editions"))
    types = reader.types()
    reader.compile()
    routes = RouteReader(sheet, participants, types).routes()
    upstreams = read_upstreams(sheet, participants)
    platform = read_platform(sheet, keys, key_folders)
    read_retention(sheet)  # who prunes asks for it; whoever checks the file is told what is wrong with it
    sheet.raise_any()
    assert platform is not None  # its absence is among the problems
    return Rulebook(
        manifest=manifest(sheet.file.raw, schemas.documents()),
        platform=platform,
        participants=participants,
        keys=keys,
        envelopes=envelopes,
        types=types,
        routes=routes,
        match_all=sheet.data["match"] == "all",
        limits=_limits(sheet),
        upstreams=upstreams,
    )


def load_parties(path: Path) -> tuple[dict[str, Participant], dict[str, Key]]:
    """Participants and public keys alone, without schemas: quick. Raises RulesInvalid."""
    sheet = _sheet(yamlfile.read(path))
    parties = read_participants(sheet), read_keys(sheet)
    sheet.raise_any()
    return parties


def load_remote(path: Path) -> dict[str, str]:
    """Of each participant behind an upstream, which: quick. Raises RulesInvalid."""
    participants, _ = load_parties(path)
    return {one.id: one.upstream for one in participants.values() if one.upstream}


def load_upstreams(path: Path) -> dict[str, Upstream]:
    """The upstreams alone: quick. Raises RulesInvalid."""
    sheet = _sheet(yamlfile.read(path))
    upstreams = read_upstreams(sheet, read_participants(sheet))
    sheet.raise_any()
    return upstreams


def load_retention(path: Path) -> Retention:
    """How long things are kept, alone: quick. Raises RulesInvalid."""
    sheet = _sheet(yamlfile.read(path))
    found = read_retention(sheet)
    sheet.raise_any()
    return found


def _sheet(file: YamlFile) -> Sheet:
    sheet = Sheet(file, list(structure.problems(file)))
    sheet.raise_any()  # all that follows relies on the structure
    return sheet


def _limits(sheet: Sheet) -> Limits:
    given = {name: int(value) for name, value in (sheet.data.get("limits") or {}).items()}
    return Limits(
        message_bytes=given.get("message_bytes", Limits().message_bytes),
        findings=given.get("findings", Limits().findings),
        oldest=timedelta(days=given["oldest_days"]) if "oldest_days" in given else None,
        ahead=timedelta(hours=given["ahead_hours"]) if "ahead_hours" in given else None,
    )
