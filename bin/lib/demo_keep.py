"""What to try by hand on a demo that is left running: text only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from demo_cases import BROKER, CUSTOMS
from demo_evidence import BUNDLE, LOG_VKEY
from demo_folder import ENV, FOLDER, ROOT, ROUTES
from demo_papers import sample

_SAMPLE = "dec/4.9.7/DecMessage.valid.export"
_VERIFY = f'bin/verify-evidence --log "$(cat {LOG_VKEY.relative_to(ROOT)})" {BUNDLE.relative_to(ROOT)}'


def what_to_try(exports: str, key_id: str, exchange_id: str) -> str:
    """Commands that work as they stand; `exports` are the lines that set the environment.

    `key_id` is the broker's key, `exchange_id` an exchange of this demo.
    """
    edition, _, name = _SAMPLE.rpartition("/")
    number = re.search(rb"<ClientSeqNo>([^<]+)", sample(_SAMPLE))
    assert number
    mine = (FOLDER / "mine.xml").relative_to(ROOT)
    tries = (
        (f"swexchange routes explain {mine}", "where it would go, and why"),
        (f"swexchange send {mine} --as {BROKER}", "a second time: the same receipt, nothing else"),
        (f"swexchange receive --as {BROKER}", "the platform's receipt"),
        (f"swexchange receive --as {CUSTOMS} --inbox", "what reached customs"),
        (f"swexchange audit search --key ClientSeqNo={number[1].decode()}", "where is my declaration?"),
        (f"swexchange audit show {exchange_id}", "all that is known of one exchange"),
        (_VERIFY, "that it happened, proved without swexchange"),
        ("swexchange status", "what is open"),
        (f"${{EDITOR:-vi}} {ROUTES.relative_to(ROOT)}", "the daemon takes a right file by itself"),
        ("swexchange routes check", "is it right?"),
        ("bin/demo --stop", "end it"),
    )
    return f"""
[bold]The exchange is running.[/] For a shell in this folder (the same lines: . {ENV.relative_to(ROOT)})

{exports}
[bold]Try[/]
  swexchange sign schemas/{edition}/samples/{name}.xml --key {key_id} --wrap \\
      --sender {BROKER} --receiver {CUSTOMS} --msg-type DECMSG -o {mine}
{_aligned(tries)}"""


def _aligned(tries: Sequence[tuple[str, str]]) -> str:
    width = max(len(command) for command, _ in tries)
    return "\n".join(f"  {command.ljust(width)}  [dim]{what}[/]" for command, what in tries)
