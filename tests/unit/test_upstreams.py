"""What the rules say of upstreams, what a decision says of order, and that receipts are never receipted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from swexchange.core.decide import decide
from swexchange.core.lanes import Weights
from swexchange.core.model import Outcome
from swexchange.core.rulebook import RemoteQueue
from swexchange.errors import RulesInvalid
from swexchange.rules.load import load_upstreams
from swexchange.yamlfile import read
from tests import world

ROOT = Path(__file__).parent.parent.parent
PROVINCE = "DXPGDP4400000001"


def _file(folder: Path, **upstream: object) -> Path:
    rules = read(ROOT / "routes.yaml").data
    next(p for p in rules["participants"] if p["id"] == PROVINCE)["upstream"] = "province"
    rules["upstreams"] = [{"name": "province", "exchange": "to-province", **upstream}]
    path = folder / "routes.yaml"
    path.write_text(yaml.safe_dump(rules, allow_unicode=True), "utf-8")
    return path


def test_an_upstream_is_read(tmp_path: Path) -> None:
    """Exchange, queues with whose messages they bring, weights."""
    path = _file(tmp_path, queues=[{"name": "q", "from": PROVINCE}], weights={"live": 5})
    found = load_upstreams(path)["province"]
    assert (found.exchange, found.queues, found.weights) == (
        "to-province",
        (RemoteQueue("q", PROVINCE),),
        Weights(5, 1),
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("upstream: province", "upstream: provence", "there is no upstream provence"),
        ("  upstream: province\n", "", "nobody is behind upstream province"),
        (f"from: {PROVINCE}", "from: DXPENT0000012345", "DXPENT0000012345 is not behind upstream province"),
        ("name: province", "name: ../province", "does not fit"),
        ("exchange: to-province", "url: amqp://user:secret@host", "url"),
    ],
)
def test_wrong_upstreams_are_refused_with_their_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Names that do not fit, a URL in the rules: an error with file and line."""
    path = _file(tmp_path, queues=[{"name": "q", "from": PROVINCE}])
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(RulesInvalid) as refused:
        load_upstreams(path)
    assert any(said in problem.what for problem in refused.value.problems)
    assert all(problem.where.startswith(f"{path}:") for problem in refused.value.problems)


def test_a_decision_names_its_lane_by_the_documents_own_number() -> None:
    """The sender and the first business key of the type; what the envelope says of that name counts for nothing."""
    document = world.declaration("LANE-1")
    message = world.dxp_msg(document, "M1", sender=world.ENTERPRISE, keys={"ClientSeqNo": "other"})
    kinds = {root: replace(kind, order="ClientSeqNo") for root, kind in world.message_types().items()}
    decision = decide(
        world.delivery(world.signed(message, world.ENTERPRISE), world.ENTERPRISE),
        world.rulebook(types=kinds),
        world.NOW,
    )
    assert decision.outcome is Outcome.ACCEPTED
    assert decision.lane == f"{world.ENTERPRISE} ClientSeqNo=LANE-1"


def test_a_receipt_is_never_receipted() -> None:
    """Whatever is wrong with another platform's DxpRep, no receipt goes back: two platforms would never end."""
    rules = world.rulebook()
    first = decide(world.delivery(b"<x/>", world.CUSTOMS), rules, world.NOW)
    assert first.receipt is not None
    for body in (first.receipt.body, first.receipt.body.replace(b"Response", b"Rosponse")):
        answer = decide(world.delivery(body, world.CUSTOMS), rules, world.NOW)
        assert (answer.outcome, answer.copies) == (Outcome.REJECTED, ())
