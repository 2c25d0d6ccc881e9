"""What 1,000 participants and 1,000 routes cost: in messages a second, and in seconds to load."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from swexchange.cli.wiring import load_rules
from swexchange.schemas.explainer import Explainer
from swexchange.settings import Settings
from tests.bench import pairs
from tests.bench.lab import Lab
from tests.bench.pairs import Pairs
from tests.bench.run import Job
from tests.own_rules import ROOT

DATABASE = "sqlite"


@dataclass(frozen=True, slots=True)
class ManyRoutes:
    """Runs with the plain and with the large rules, and how long each of these takes to load."""

    pairs: Pairs
    load_seconds: Mapping[str, float]  # plain, many


def measure(lab: Lab) -> ManyRoutes:
    """Load both rules once, then run with them in pairs."""
    files = (lab.parties.plain, lab.parties.many)
    load_seconds = {path.stem: _load_seconds(path, lab.parties.keys) for path in files}
    plain = Job(DATABASE, "", 0, lab.scale.messages)
    return ManyRoutes(pairs.measure(lab, "many routes", plain, replace(plain, routes=lab.parties.many)), load_seconds)


def _load_seconds(path: Path, keys: Path) -> float:
    with Explainer() as explainer:
        started = time.perf_counter()
        load_rules(Settings(routes=str(path), keys=str(keys), schemas=str(ROOT / "schemas")), explainer)
        return time.perf_counter() - started
