"""`swexchange routes diff` over what the real daemon recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from swexchange.broker.topology import receipts
from swexchange.cli import judging
from swexchange.cli.judging import judge_all
from swexchange.replay.whatif import Tally, tally
from swexchange.settings import Settings
from swexchange.store import Filter
from tests import world
from tests.process.house import CENTRE, CUSTOMS, INTEGRATOR, ROOT, House, house


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with a past: three declarations, one refused message, one answer that found its asker."""
    home = house(Path(tmp_path_factory.mktemp("diff")))
    daemon = home.daemon()
    home.send([*(home.declaration(f"DIFF-{n}") for n in range(3)), b"<nobody></nobody>"])
    home.collect(receipts(INTEGRATOR), 4)
    answer = world.dxp_msg(world.import_response("DIFF-0", "I-0"), "A-0", sender=CUSTOMS, receivers=(world.PLATFORM,))
    home.send([home.signed(answer, CUSTOMS)], CUSTOMS)
    home.collect(receipts(CUSTOMS), 1)
    daemon.stop()
    yield home
    home.close()


Edit = Callable[[dict[str, Any]], object]


def _candidate(home: House, edit: Edit) -> str:
    """A copy of the rules with one edit."""
    rules = yaml.safe_load(home.routes.read_text("utf-8"))
    edit(rules)
    candidate = home.folder / "candidate.yaml"
    candidate.write_text(yaml.safe_dump(rules, allow_unicode=True, sort_keys=False), "utf-8")
    return str(candidate)


def _to_centre(rules: dict[str, Any]) -> None:
    (route,) = [route for route in rules["routes"] if route["to"] == [CUSTOMS]]
    route["to"] = [CENTRE]


def _answers_only(rules: dict[str, Any]) -> None:
    (sender,) = [entry for entry in rules["participants"] if entry["id"] == INTEGRATOR]
    sender["sends"] = ["DEC_RESULT"]


def _diff(home: House, edit: Edit, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the answer for a candidate with one edit."""
    done = home.cli("routes", "diff", "--candidate", _candidate(home, edit), "--json", *options)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_same_rules_are_no_difference(lived: House) -> None:
    """Exit code 0; everything was decided again."""
    code, told = _diff(lived, lambda rules: rules["limits"].update(findings=19))
    assert (code, told["decided"], told["changed"]) == (0, 5, 0)


def test_what_would_go_elsewhere_is_listed(lived: House) -> None:
    """Exit code 1; each exchange with its destination then and under the candidate."""
    code, told = _diff(lived, _to_centre, "--since", "1d", "--limit", "2")
    assert (code, told["changed"]) == (1, 3)
    (group,) = told["groups"]
    assert group == {"change": "moved", "type": "DecMessage", "then": CUSTOMS, "now": CENTRE, "exchanges": 3}
    assert [(e["change"], e["then"], e["now"]) for e in told["exchanges"]] == [("moved", CUSTOMS, CENTRE)] * 2


def test_what_would_be_refused_is_told_with_its_code(lived: House) -> None:
    """A right that the candidate takes away, seen for one sender only."""
    code, told = _diff(lived, _answers_only, "--sender", INTEGRATOR)
    assert code == 1
    assert [(g["change"], g["now"], g["exchanges"]) for g in told["groups"]] == [("refused", "refused 4106", 3)]


def test_a_wrong_candidate_is_told_with_its_line(lived: House) -> None:
    """Exit code 2, file and line, nothing decided; the file in force is not touched."""
    wrong = lived.folder / "wrong.yaml"
    wrong.write_text("version: 1\nmatch: first\nmtach: all\n", "utf-8")
    done = lived.cli("routes", "diff", "--candidate", str(wrong))
    assert (done.returncode, done.stdout) == (2, "")
    assert "wrong.yaml:" in done.stderr
    assert lived.cli("routes", "diff", "--candidate", str(lived.folder / "none.yaml")).returncode == 2


def test_people_get_columns(lived: House) -> None:
    """Without --json: a sentence, the groups, the exchanges; and nothing on stderr where no terminal is."""
    done = lived.cli("routes", "diff", "--candidate", _candidate(lived, _to_centre), "--limit", "1")
    assert done.stdout.startswith("5 exchanges decided again, 3 would change\n")
    assert "moved" in done.stdout
    assert done.stderr == "and 2 more; --limit lists them\n"


def test_many_processes_find_what_one_finds(lived: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches in processes of their own add up to the same, in the same order; for lists of exchanges too."""
    settings = Settings(
        database_url=lived.database_url,
        routes=_candidate(lived, _to_centre),
        schemas=str(ROOT / "schemas"),
        keys=str(lived.folder / "keys"),
    )
    count = partial(tally, keep=2)
    (alone,) = judge_all(settings, Filter(), count)
    monkeypatch.setattr(judging, "STRETCH", 2)
    together = Tally(2)
    for part in judge_all(settings, Filter(), count):
        together.merge(part)
    assert together == alone
    parts = list(judge_all(settings, Filter(), list))
    assert [len(part) for part in parts] == [2, 2, 1]
    ids = [one.exchange_id for part in parts for one in part]
    assert ids == sorted(ids)
