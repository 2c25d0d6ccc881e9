"""Who takes part in the benchmark, their keys, and the two rules files: the plain one and the one with 1,000 routes.

The plain file is the project's own routes.yaml with the benchmark's integrators and a platform
key of which the private half is known. All keys are derived from names: the same in every run.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from swexchange import yamlfile
from swexchange.core.keys import SigningKey

ROOT = Path(__file__).parent.parent.parent
AGENCY = "DXPEDCDEC0000001"  # where the project's routes send declarations of Shenzhen's customs
INTEGRATORS = tuple(f"DXPENT00{number:08d}" for number in range(88001, 88011))
MANY = 1000  # participants and routes of the large file

_DISTRICTS = ("0100", "0200", "2200", "2300", "3100", "3700", "4200", "5100", "5200", "5700", "6000", "7900")
_MODES = ("0110", "0214", "0615", "1210", "9610", "9810")


@dataclass(frozen=True, slots=True)
class Parties:
    """Files of one benchmark run; `everyone` of the plain file, in its order."""

    everyone: tuple[str, ...]
    plain: Path
    many: Path
    keys: Path  # folder of the platform's private key


def signing_key(owner: str) -> SigningKey:
    """The private key of an owner, derived from its name."""
    return SigningKey.from_seed(f"{owner}-bench", hashlib.sha256(f"swexchange bench {owner}".encode()).digest())


def write(folder: Path) -> Parties:
    """Write both rules files and the platform's private key into a folder."""
    rules = yamlfile.read(ROOT / "routes.yaml").data
    del rules["tests"]
    platform = signing_key(rules["platform"]["id"])
    rules["platform"] |= {"key": platform.id, "keys": [_public(platform)]}
    rules["participants"] += [_integrator(name) for name in INTEGRATORS]
    parties = Parties(
        everyone=tuple(entry["id"] for entry in rules["participants"]),
        plain=_dump(rules, folder / "plain.yaml"),
        many=_dump(_with_many(rules), folder / "many.yaml"),
        keys=folder / "keys",
    )
    _write_private(platform, parties.keys)
    return parties


def _public(key: SigningKey) -> dict[str, str]:
    return {"id": key.id, "public": base64.b64encode(key.public).decode(), "from": "2026-01-01"}


def _integrator(name: str, kind: str = "integrator") -> dict[str, Any]:
    return {"id": name, "name": f"报关行 {name}", "kind": kind, "keys": [_public(signing_key(name))]}


def _dump(rules: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(rules, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def _write_private(key: SigningKey, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    path = folder / f"{key.id}.key"
    path.touch(mode=0o600)
    path.write_text(base64.b64encode(key.secret[:32]).decode())


def _with_many(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules filled up to 1,000 participants and routes; the plain file's routes come last."""
    others = [f"DXPENT01{number:08d}" for number in range(MANY - len(rules["participants"]))]
    routes = [_route(number, others[number % len(others)]) for number in range(MANY - len(rules["routes"]))]
    return rules | {
        "participants": rules["participants"] + [_integrator(name) for name in others],
        "routes": routes + rules["routes"],
    }


def _route(number: int, sender: str) -> dict[str, Any]:
    """One of the routes before: three kinds in turn, none of which takes the benchmark's messages.

    By sender; by exact values that many routes share; by the customs district's prefix alone,
    which every declaration has to be compared with.
    """
    district, mode = _DISTRICTS[number % len(_DISTRICTS)], _MODES[number % len(_MODES)]
    conditions: dict[str, Any] = (
        {"sender": sender},
        {"CustomMaster": [district], "TradeMode": [mode], "IEFlag": "IE"[number % 2]},
        {"CustomMaster": [f"{district[:2]}{number % 10}*"]},
    )[number % 3]
    return {"name": f"district-{number:03d}", "when": {"type": "DecMessage"} | conditions, "to": [AGENCY]}
