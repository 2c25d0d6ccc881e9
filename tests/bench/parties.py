"""Who takes part in the benchmark, their keys, and three rules files: plain, with 1,000 routes, with an upstream.

The plain file is the project's own routes.yaml with the benchmark's integrators and keys of
`own_rules`. In the one with an upstream the agency is behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import own_rules

AGENCY = "DXPEDCDEC0000001"  # where the project's routes send declarations of Shenzhen's customs
INTEGRATORS = tuple(f"DXPENT00{number:08d}" for number in range(88001, 88011))
MANY = 1000  # participants and routes of the large file
UPSTREAM, UPSTREAM_EXCHANGE = "bench", "bench.upstream"  # the way to the agency in the third file
AUDIT_KEY = "platform-2026"  # signs checkpoints where the audit log is sealed

_DISTRICTS = ("0100", "0200", "2200", "2300", "3100", "3700", "4200", "5100", "5200", "5700", "6000", "7900")
_MODES = ("0110", "0214", "0615", "1210", "9610", "9810")


@dataclass(frozen=True, slots=True)
class Parties:
    """Files of one benchmark run; `everyone` of the plain file, in its order."""

    everyone: tuple[str, ...]
    plain: Path
    many: Path
    upstream: Path
    keys: Path  # folder of the platform's private key


def write(folder: Path) -> Parties:
    """Write the rules files and the platform's private key into a folder."""
    rules = own_rules.rules()
    rules["participants"] += [_integrator(name) for name in INTEGRATORS]
    own_rules.write_private([rules["platform"]], folder / "keys")
    return Parties(
        everyone=tuple(entry["id"] for entry in rules["participants"]),
        plain=own_rules.write(rules, folder / "plain.yaml"),
        many=own_rules.write(_with_many(rules), folder / "many.yaml"),
        upstream=own_rules.write(_with_upstream(rules), folder / "upstream.yaml"),
        keys=folder / "keys",
    )


def _integrator(name: str) -> dict[str, Any]:
    return {"id": name, "name": f"报关行 {name}", "kind": "integrator", "keys": [own_rules.registered(name)]}


def _with_many(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules filled up to 1,000 participants and routes; the plain file's routes come last."""
    others = [f"DXPENT01{number:08d}" for number in range(MANY - len(rules["participants"]))]
    routes = [_route(number, others[number % len(others)]) for number in range(MANY - len(rules["routes"]))]
    return rules | {
        "participants": rules["participants"] + [_integrator(name) for name in others],
        "routes": routes + rules["routes"],
    }


def _with_upstream(rules: dict[str, Any]) -> dict[str, Any]:
    behind = {"upstream": UPSTREAM}
    return rules | {
        "participants": [entry | (behind if entry["id"] == AGENCY else {}) for entry in rules["participants"]],
        "upstreams": [{"name": UPSTREAM, "exchange": UPSTREAM_EXCHANGE}],
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
