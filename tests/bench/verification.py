"""How fast the audit log of a database is sealed, and then verified with all that it is about."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from swexchange.cli.auditing import comparing
from swexchange.cli.wiring_store import sealer
from swexchange.evidence.auditor import Findings, audit
from swexchange.settings import Settings, from_environment
from swexchange.store import open_evidence
from tests.bench.lab import Lab
from tests.bench.rate import Rate
from tests.bench.run import Job, setup_of

ANY = 60.0  # seconds between two checkpoints: nobody waits for them here


@dataclass(frozen=True, slots=True)
class Verification:
    """Entries over seconds, of all that was recorded."""

    sealed: Rate
    verified: Rate

    def __str__(self) -> str:
        sealed, verified = self.sealed, self.verified
        return f"{sealed.messages:,} entries sealed in {sealed.seconds:.1f} s, verified in {verified.seconds:.1f} s"


def seal_and_verify(lab: Lab, job: Job) -> Verification:
    """What `audit seal` and `audit verify` do, for the job's database; the daemon is down."""
    settings = _settings(lab, job)
    with open_evidence(settings.database_url) as log:
        sealing, started = sealer(settings, log), time.monotonic()
        entries = sum(sealing.seal_all(everywhere=True))
        sealed = Rate(entries, time.monotonic() - started)
        found, started = Findings(), time.monotonic()
        problems = list(audit(log, [sealing.verifier], {}, found, compare=comparing(settings.database_url)))
        verified = Rate(found.size, time.monotonic() - started)
    if problems:
        raise RuntimeError(f"{len(problems)} things do not fit in the audit log, the first: {problems[0]}")
    return Verification(sealed, verified)


def seal_some(lab: Lab, job: Job, least: int) -> None:
    """Seal so many entries of the job's database, or a few more; the daemon is down."""
    settings, sealed = _settings(lab, job), 0
    with open_evidence(settings.database_url) as log:
        steps = sealer(settings, log).seal_all()
        while sealed < least:
            sealed += next(steps)


def _settings(lab: Lab, job: Job) -> Settings:
    return from_environment(setup_of(lab, replace(job, seal_seconds=ANY)).environment())
