"""What a different way of running costs: runs of it and of the plain way in turn, each on a fresh database.

The order within a pair changes, so that a drift of the machine favours neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.bench.lab import Lab
from tests.bench.rate import middle
from tests.bench.run import Job, Run, run


@dataclass(slots=True)
class Pairs:
    """Runs of the plain way and of the other."""

    plain: list[Run] = field(default_factory=list)
    other: list[Run] = field(default_factory=list)

    @property
    def plain_rate(self) -> float:
        """Messages a second the plain way, the median."""
        return middle([found.rate for found in self.plain])

    @property
    def ratio(self) -> float:
        """Rate of the other way to that of the plain one, medians both."""
        return middle([found.rate for found in self.other]) / self.plain_rate

    @property
    def ratios(self) -> list[float]:
        """The same of each pair, lowest first: how far they lie apart says what the median is worth."""
        pairs = zip(self.plain, self.other, strict=True)
        return sorted(other.rate.per_second / plain.rate.per_second for plain, other in pairs)

    def runs(self) -> Iterator[Run]:
        """All runs."""
        yield from (*self.plain, *self.other)


def measure(lab: Lab, title: str, plain: Job, other: Job, count: int = 0) -> Pairs:
    """So many pairs, or as many as the scale says; `title` names the other way. The jobs' URLs are not used."""
    count = count or lab.scale.pairs
    lab.progress.expect(2 * count)
    found = Pairs()
    for number in range(count):
        steps = [("plain", plain, found.plain), (title, other, found.other)]
        for name, job, runs in steps if number % 2 == 0 else steps[::-1]:
            with lab.fresh(job.database) as url:
                runs.append(run(lab, replace(job, url=url)))
            lab.progress.done(f"{job.database}, {name}: {runs[-1]}")
    return found
