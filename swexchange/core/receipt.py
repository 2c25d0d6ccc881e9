"""Receipts: a signed DxpRep for every decision, written straight in its canonical form.

Source of the layout: the DXP standard's platform response; one Response per finding, one
Result per receiver, OriHead a copy of the original TransInfo. Lengths are those of the schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from swexchange.core import codes
from swexchange.core.canonical import CHINA, DXP, escape, head, local_time
from swexchange.core.model import Decision, Finding, Head, Outcome, ReceiverResult
from swexchange.core.rulebook import Platform
from swexchange.core.signature import XML_DECLARATION, seal

_INFO, _NOTE = 300, 500  # characters of ResponseInfo and Note


def build(decision: Decision, to: str, platform: Platform) -> bytes:
    """The receipt's bytes: signed and canonical; the same decision always gives the same bytes."""
    assert platform.key, "a platform without its key answers nobody"
    findings = decision.findings or (Finding(codes.ACCEPTED),)
    if not decision.sender:  # who is not authenticated learns a code, no detail
        findings = tuple(_without_detail(finding) for finding in findings)
    notice = decision.received_at.astimezone(CHINA).date().isoformat()
    responses = [
        _response(finding, decision, notice, platform, decision.results if first else ())
        for first, finding in zip([True] + [False] * len(findings), findings, strict=False)
    ]
    parts = [
        f'<DxpRep xmlns="{DXP}" ver="1.0">',
        f"<RecevierId>{escape(to[:16])}</RecevierId><AdNodeId>{platform.node}</AdNodeId>",
        *responses,
        _original_head(decision, to, platform),
        "</DxpRep>",
    ]
    return XML_DECLARATION + seal("".join(parts).encode(), platform.key)


def _without_detail(finding: Finding) -> Finding:
    return finding if finding.code in codes.UNAUTHENTICATED_MAY_KNOW else Finding(finding.code)


def _response(
    finding: Finding, decision: Decision, notice: str, platform: Platform, results: Iterable[ReceiverResult]
) -> str:
    meaning = codes.meaning(finding.code)
    detail = f": {finding.detail}" if finding.detail else ""
    info = f"{meaning.zh} / {meaning.en}{detail}"
    return (
        f"<Response><NodeId>{platform.node}</NodeId><ResponseCode>{finding.code}</ResponseCode>"
        f"<ResponseInfo>{escape(info[:_INFO])}</ResponseInfo>{_results(results)}"
        f"<NoticeTime>{notice}</NoticeTime><Note>{escape(_note(finding, decision)[:_NOTE])}</Note></Response>"
    )


def _note(finding: Finding, decision: Decision) -> str:
    """What a program reads: `name=value` pairs joined by `;`, the path last since it may be cut."""
    pairs = [
        f"exchange={decision.exchange_id}",
        f"digest=sha256:{decision.digest.hex()}",
        f"outcome={Outcome.REJECTED if decision.outcome is Outcome.REJECTED else Outcome.ACCEPTED}",
    ]
    if finding.code != codes.ACCEPTED:
        pairs.append(f"retry={codes.meaning(finding.code).retry}")
    if decision.edition:
        pairs.append(f"edition={decision.edition}")
    if finding.line:
        pairs.append(f"line={finding.line}")
    if finding.path:
        pairs.append(f"path={finding.path}")
    return ";".join(pairs)


def _results(results: Iterable[ReceiverResult]) -> str:
    rows = "".join(
        f"<Result><RecId>{escape(result.receiver)}</RecId><Code>{result.code}</Code>"
        f"<Info>{escape(_sentence(result.code)[:_INFO])}</Info></Result>"
        for result in results
    )
    return f"<Results>{rows}</Results>" if rows else ""


def _sentence(code: str) -> str:
    meaning = codes.meaning(code)
    return f"{meaning.zh} / {meaning.en}"


def _original_head(decision: Decision, to: str, platform: Platform) -> str:
    """The original's TransInfo; where it could not be read, what is known of it in the same form."""
    known = decision.head or _unread(decision, to, platform)
    if not (known.receivers and known.created):  # a bare document may name neither; OriHead must
        unread = _unread(decision, to, platform)
        known = replace(known, receivers=known.receivers or unread.receivers, created=known.created or unread.created)
    return head("OriHead", known)


def _unread(decision: Decision, to: str, platform: Platform) -> Head:
    created = local_time(decision.received_at)
    return Head(decision.message_id or "UNREADABLE", to, (platform.id,), created, "")
