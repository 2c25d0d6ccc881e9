"""The tests that stand beside the routes: a sample, who sends it, and the decision it must get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from swexchange.core.canonical import dxp_msg, local_time
from swexchange.core.decide import decide
from swexchange.core.envelope import ENVELOPES, moment
from swexchange.core.keys import Key, SigningKey
from swexchange.core.model import Decision, Delivery, Head, Kind
from swexchange.core.parse import Document, parse
from swexchange.core.rulebook import Rulebook
from swexchange.core.signature import sign
from swexchange.errors import ConfigFault, Rejected, RulesInvalid
from swexchange.yamlfile import YamlFile

_KEY = SigningKey.from_seed("sample", bytes(31) + b"\1")


@dataclass(frozen=True, slots=True)
class Result:
    """One test's outcome: `difference` is empty where the decision is as expected."""

    name: str
    line: int
    difference: str


def run(file: YamlFile, rules: Rulebook, now: datetime) -> Iterator[Result]:
    """Run every test of a rules file whose structure was checked; sample paths start at the file's folder."""
    for i, test in enumerate(file.data.get("tests") or []):
        line = file.line(("tests", i))
        try:
            decision = _decide(test, file.path.parent, rules, now)
            yield Result(test["name"], line, _difference(test["expect"], decision))
        except ConfigFault as fault:
            yield Result(test["name"], line, str(fault))


def require(file: YamlFile, rules: Rulebook, now: datetime) -> None:
    """Raise RulesInvalid unless every test of a rules file gets the decision it expects."""
    failed = (result for result in run(file, rules, now) if result.difference)
    problems = [
        ConfigFault(f"test {result.name!r}: {result.difference}", where=f"{file.path}:{result.line}")
        for result in failed
    ]
    if problems:
        raise RulesInvalid(problems)


def _decide(test: dict[str, Any], folder: Path, rules: Rulebook, now: datetime) -> Decision:
    at = moment(test["at"]) if test.get("at") else now
    try:
        body = (folder / test["file"]).read_bytes()
        receivers = tuple(test.get("receivers") or ())
        delivery, trusting = as_if_signed(body, test["sender"], rules, at, receivers, test.get("msg_type", ""))
    except OSError as error:
        raise ConfigFault(f"cannot read {test['file']}: {error.strerror}") from None
    except Rejected as refusal:
        raise ConfigFault(f"{test['file']} cannot be signed: {refusal}") from None
    return decide(delivery, trusting, at)


def as_if_signed(
    body: bytes,
    sender: str,
    rules: Rulebook,
    at: datetime,
    receivers: tuple[str, ...] = (),
    msg_type: str = "",
) -> tuple[Delivery, Rulebook]:
    """A sample signed for its sender with a throw-away key, and the rules with that key in force.

    A business document without envelope, unless it may come bare, is put into one. Raises
    Rejected when it cannot be parsed, ConfigFault when there is no such sender.
    """
    if sender not in rules.participants:
        raise ConfigFault(f"there is no participant {sender}", do="Name one of routes.yaml")
    document = parse(body, rules.limits.message_bytes)
    if not _travels_alone(document, sender, rules):
        head = Head("sample", sender, receivers or (rules.platform.id,), local_time(at), msg_type)
        document = parse(dxp_msg(head, body), 2 * rules.limits.message_bytes)
    key = Key(_KEY.id, sender, _KEY.public, at - timedelta(days=1))
    return Delivery(1, sender, sign(document, _KEY)), replace(rules, keys={**rules.keys, _KEY.id: key})


def _travels_alone(document: Document, sender: str, rules: Rulebook) -> bool:
    if document.name in ENVELOPES:
        return True
    kind = rules.types.get(document.name)
    return kind is not None and kind.bare is not None and kind.bare.sender.value(document.root) == sender


def _difference(expected: dict[str, Any], decision: Decision) -> str:
    found = {
        "outcome": str(decision.outcome),
        "code": decision.code,
        "route": decision.route,
        "to": [copy.to for copy in decision.copies if copy.kind is Kind.MESSAGE],
    }
    wrong = [f"{name} is {found[name]}, expected {value}" for name, value in expected.items() if found[name] != value]
    why = "; ".join(f"{f.code} {f.path} {f.detail}" for f in decision.findings)
    return "; ".join(wrong) + (f" ({why})" if wrong and why else "")
