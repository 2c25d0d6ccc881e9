"""What 1,000 participants and 1,000 routes cost: in messages a second, and in seconds to load."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from swexchange.cli.wiring import load_rules
from swexchange.explain import Explainer
from swexchange.settings import Settings
from tests.bench.lab import Lab
from tests.bench.rate import middle
from tests.bench.run import Job, Run, run
from tests.own_rules import ROOT

DATABASE = "sqlite"


@dataclass(slots=True)
class ManyRoutes:
    """Runs with the plain and with the large rules, in pairs."""

    plain: list[Run] = field(default_factory=list)
    many: list[Run] = field(default_factory=list)
    load_seconds: dict[str, float] = field(default_factory=dict)  # plain, many

    @property
    def ratio(self) -> float:
        """Rate with the large rules to that with the plain ones."""
        return middle([found.rate for found in self.many]) / middle([found.rate for found in self.plain])


def measure(lab: Lab) -> ManyRoutes:
    """Pairs of runs on fresh databases; the order within a pair changes."""
    lab.progress.expect(2 * lab.scale.pairs)
    found = ManyRoutes()
    found.load_seconds = {
        path.stem: _load_seconds(path, lab.parties.keys) for path in (lab.parties.plain, lab.parties.many)
    }
    for number in range(lab.scale.pairs):
        steps = [("plain", None, found.plain), ("many", lab.parties.many, found.many)]
        for name, routes, runs in steps if number % 2 == 0 else steps[::-1]:
            with lab.fresh(DATABASE) as url:
                runs.append(run(lab, Job(DATABASE, url, 0, lab.scale.messages, routes=routes)))
            lab.progress.done(f"{name} routes: {runs[-1]}")
    return found


def _load_seconds(path: Path, keys: Path) -> float:
    with Explainer() as explainer:
        started = time.perf_counter()
        load_rules(Settings(routes=str(path), keys=str(keys), schemas=str(ROOT / "schemas")), explainer)
        return time.perf_counter() - started
