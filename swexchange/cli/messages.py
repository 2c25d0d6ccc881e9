"""`swexchange sign` and `verify`: what an integrator does before sending and after receiving."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from swexchange import keyfile
from swexchange.cli import exits
from swexchange.cli.output import emit, file_bytes, moment_option, table, write_file, write_stdout
from swexchange.cli.root import cli
from swexchange.clock import utc_now
from swexchange.core.canonical import dxp_msg, local_time
from swexchange.core.codes import meaning
from swexchange.core.keys import Key
from swexchange.core.model import BusinessKey, Head
from swexchange.core.parse import parse
from swexchange.core.signature import sign as sign_document
from swexchange.core.signature import verify as verify_document
from swexchange.errors import ConfigFault, Rejected
from swexchange.rules.load import load_parties
from swexchange.settings import Settings

MOST = 64 * 1024 * 1024  # bytes of a file that these commands read


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--key", "key_id", required=True, help="Id of the private key in the keys folder.")
@click.option("--wrap", is_flag=True, help="Put FILE, a business document, into a DxpMsg envelope first.")
@click.option("--sender", help="SenderId of the envelope (with --wrap).")
@click.option("--receiver", "receivers", multiple=True, help="ReceiverId of the envelope, 1-5 times (with --wrap).")
@click.option("--message-id", help="CopMsgId of the envelope (default: a new unique one).")
@click.option("--msg-type", default="", help="MsgType of the envelope (default: empty).")
@click.option("--business-key", "pairs", multiple=True, metavar="NAME=VALUE", help="A BizKey of the envelope.")
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="Write here instead of stdout.")
@click.pass_obj
def sign(settings: Settings, /, file: str, key_id: str, wrap: bool, output: str | None, **envelope: Any) -> None:
    """Sign a message: its canonical form with an enveloped Ed25519 signature.

    A signature that FILE already carries is replaced. The bytes written are the ones to send:
    any change to them breaks the signature.

    \b
    Examples:
      swexchange sign order.xml --key DXPENT0000027416-2026 -o signed.xml
      swexchange sign declaration.xml --key DXPENT0000012345-2026 --wrap \\
          --sender DXPENT0000012345 --receiver DXPEDCDEC0000001 --msg-type DECMSG -o signed.xml
    """
    body = file_bytes(file)
    if wrap:
        body = _wrapped(body, **envelope)
    try:
        signed = sign_document(parse(body, MOST), keyfile.load(key_id, settings.key_folders))
    except Rejected as refusal:
        raise ConfigFault(f"cannot be signed: {_said(refusal)}", where=file) from None
    if output:
        write_file(Path(output), signed)
    else:
        write_stdout(signed)


def _wrapped(
    body: bytes,
    sender: str | None,
    receivers: tuple[str, ...],
    message_id: str | None,
    msg_type: str,
    pairs: tuple[str, ...],
) -> bytes:
    if not sender or not receivers:
        raise click.UsageError("--wrap needs --sender and at least one --receiver")
    keys = [BusinessKey(*pair.split("=", 1)) for pair in pairs if "=" in pair]
    if len(keys) < len(pairs):
        raise click.UsageError("--business-key wants NAME=VALUE")
    now = utc_now()
    head = Head(message_id or f"{sender}-{uuid4().hex}", sender, receivers, local_time(now), msg_type)
    return dxp_msg(head, body, keys)


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False))
@moment_option("--at", "Judge the key's validity at this time (default: now).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_obj
def verify(settings: Settings, file: str, at: datetime | None, as_json: bool) -> None:
    """Verify the signature of a message or receipt by the keys of routes.yaml.

    Exit code 0: the signature holds; 1: it does not, the code says why.

    \b
    Example:
      swexchange verify receipt.xml
    """
    body = file_bytes(file)
    _, keys = load_parties(Path(settings.routes))
    verdict = _verdict(body, keys, at or utc_now())
    emit(verdict, as_json, lambda: table([(name, str(value)) for name, value in verdict.items() if value]))
    raise SystemExit(exits.DONE if verdict["valid"] else exits.PROBLEMS)


def _verdict(body: bytes, keys: Mapping[str, Key], at: datetime) -> dict[str, Any]:
    digest = hashlib.sha256(body).hexdigest()
    try:
        key = verify_document(parse(body, MOST), keys)
    except Rejected as refusal:
        code = refusal.findings[0].code
        return {"valid": False, "code": code, "reason": _said(refusal), "sha256": digest}
    trouble = key.trouble(at)
    return {
        "valid": not trouble,
        "signed_by": key.participant,
        "key": key.id,
        "code": "1002" if trouble else "0000",
        "reason": trouble,
        "sha256": digest,
    }


def _said(refusal: Rejected) -> str:
    finding = refusal.findings[0]
    detail = f": {finding.detail}" if finding.detail else ""
    return f"{finding.code} {meaning(finding.code).en}{detail}"
