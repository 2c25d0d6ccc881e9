"""Hostile bodies: each meets its own stable code, at once, and takes no memory with it.

Every body of tests/hostile.py comes twice: as the message itself, and as the document inside
an envelope that a registered participant has signed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from swexchange.core.decide import decide
from swexchange.core.model import Decision, Kind, Outcome
from tests.hostile import ALL, Hostile
from tests.world import ENTERPRISE, LIMIT, NOW, delivery, dxp_msg, receipt, rulebook, signed, texts

RULES = rulebook()
SECONDS = 2.0
MEGABYTES = 200
EACH = pytest.mark.parametrize("hostile", ALL, ids=lambda hostile: hostile.name)


def decided(body: bytes) -> Decision:
    """The decision, which must come in time whatever the body."""
    started = time.process_time()
    decision = decide(delivery(body), RULES, NOW)
    assert time.process_time() - started < SECONDS
    assert decision.outcome is Outcome.REJECTED
    assert {copy.kind for copy in decision.copies} == {Kind.RECEIPT}
    assert sum(len(finding.detail) + len(finding.path) for finding in decision.findings) < 10_000
    return decision


@EACH
def test_hostile_messages_are_refused(hostile: Hostile) -> None:
    """As the message itself: refused with its code, quickly; the receipt of a stranger says no more than the code."""
    decision = decided(hostile.build())
    assert decision.code in hostile.alone
    assert (decision.sender, decision.head, decision.message_id) == ("", None, "")
    assert texts(receipt(decision), "ResponseCode") == [decision.code]


@EACH
def test_hostile_documents_in_good_envelopes_are_refused(hostile: Hostile) -> None:
    """As Data of a good envelope: refused with its code and the path of Data, under the message's own id."""
    body = signed(dxp_msg(hostile.build(), "HOSTILE-1"))
    assert len(body) <= LIMIT
    decision = decided(body)
    assert decision.code in hostile.inside
    assert decision.findings[0].path == "/DxpMsg/Data"
    assert (decision.sender, decision.message_id) == (ENTERPRISE, "HOSTILE-1")
    assert texts(receipt(decision), "CopMsgId") == ["HOSTILE-1"]


GROWTH = """
import resource
from swexchange.core.decide import decide
from tests.hostile import LARGE, SMALL
from tests.world import NOW, declared, delivery, rulebook
def used(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
rules = rulebook()
decide(declared(), rules, NOW)
before = used()
for hostile in SMALL + LARGE:
    decide(delivery(hostile.build()), rules, NOW)
print(used() - before)
"""


def test_hostile_messages_take_bounded_memory() -> None:
    """All of them one after the other in one process: its peak grows by less than 200 MB."""
    root = Path(__file__).parent.parent.parent
    child = subprocess.run([sys.executable, "-c", GROWTH], cwd=root, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    assert int(child.stdout) < MEGABYTES


NAMES = """
import sys
from pathlib import Path
from swexchange.decider import FreshThreads, decide_each
from tests.world import NOW, delivery, rulebook
decide_all = FreshThreads(decide_each)
def elements(n, count):
    return "".join(f"<n{n}_{i:06d}_{'x' * 30}/>" for i in range(count))
def attributes(n, count):
    return "".join("<b " + " ".join(f'n{n}_{k}_{i:03d}=""' for i in range(250)) + "/>" for k in range(count))
def used(): return int(Path("/proc/self/statm").read_text().split()[1]) // 256
write, count, messages = globals()[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
rules = rulebook()
def send(numbers):
    for n in numbers:
        decide_all([delivery(f"<a>{write(n, count)}</a>".encode())], rules, NOW)
send(range(messages // 3))
before = used()
send(range(messages // 3, messages))
print(used() - before)
"""
FLOODS = {
    "few messages of many elements": ("elements", 90_000, 24),
    "few messages of many attributes": ("attributes", 1_500, 18),
    "many messages of some elements": ("elements", 1_900, 1_200),
}


@pytest.mark.parametrize(("write", "count", "messages"), FLOODS.values(), ids=FLOODS)
def test_names_of_hostile_messages_do_not_stay_in_memory(write: str, count: int, messages: int) -> None:
    """libxml2 keeps every name it has seen as long as its dictionary lives: that must not be for ever.

    The daemon decides on threads of limited life: messages with ever new names, however many, leave no
    more behind than one thread may hold. A full dictionary would refuse good documents from then on.
    """
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-c", NAMES, write, str(count), str(messages)]
    child = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    assert int(child.stdout) < 40
