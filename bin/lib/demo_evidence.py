"""The end of a demo: one exchange proved to a third party, by the verifier that shares no code with the daemon."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from demo_folder import FOLDER, KEYS, ROOT
from demo_trouble import FAILED, Trouble

from swexchange import keyfile
from swexchange.core.checkpoint import COSIGNATURE, Verifier
from swexchange.evidence.witness import Witness, collect
from swexchange.store import open_evidence

AUDIT_KEY, WITNESS_KEY = "audit-demo", "witness-demo"
ORIGIN, WITNESS = "demo.sw.example/audit", "demo.customs.example/witness"
BUNDLE, LOG_VKEY, WITNESS_VKEY = FOLDER / "evidence.zip", FOLDER / "audit.vkey", FOLDER / "witness.vkey"
SETTINGS: Mapping[str, str] = {
    "SWX_AUDIT_KEY": AUDIT_KEY,
    "SWX_AUDIT_ORIGIN": ORIGIN,
    "SWX_AUDIT_HEAD": str(FOLDER / "audit.head"),
    "SWX_SEAL_SECONDS": "2",
}
_TRIES = 5  # the daemon seals too: one of both is quicker, and the other comes again


def prove(exchange_id: str, database_url: str, command: Callable[..., str]) -> str:
    """Seal, have it witnessed, prove an exchange, check the proof; what was shown. Raises Trouble."""
    for again in range(_TRIES):
        command("audit", "seal")
        _witness(database_url)
        try:
            command("audit", "prove", exchange_id, "-o", str(BUNDLE))
        except Trouble:
            if again == _TRIES - 1:
                raise
            time.sleep(0.5)
        else:
            break
    checked = _verify()
    return f"bin/verify-evidence: {checked} checks prove {BUNDLE.relative_to(ROOT)}, one exchange; a witness has signed"


def _witness(database_url: str) -> None:
    """Customs watches the log: here in this process, else with `swexchange witness run`."""
    log_key, key = (keyfile.load(name, (KEYS,)) for name in (AUDIT_KEY, WITNESS_KEY))
    log, verifier = Verifier(ORIGIN, log_key.public), Verifier(WITNESS, key.public, COSIGNATURE)
    witness = Witness(WITNESS, key, [log], FOLDER / "seen.json", time.time)
    with open_evidence(database_url) as evidence:
        collect(evidence, verifier, witness.answer)
    for path, vkey in ((LOG_VKEY, log), (WITNESS_VKEY, verifier)):
        path.write_text(f"{vkey}\n", "utf-8")


def _verify() -> int:
    """Run the verifier as a third party would; how many things it has checked."""
    keys = "--log", LOG_VKEY.read_text("utf-8").strip(), "--witness", WITNESS_VKEY.read_text("utf-8").strip()
    command = [sys.executable, "-I", str(ROOT / "bin" / "verify-evidence"), *keys, str(BUNDLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode:
        raise Trouble(f"the evidence is not proved: {(done.stdout + done.stderr).strip()}", FAILED)
    return sum(line.startswith("ok ") for line in done.stdout.splitlines())
