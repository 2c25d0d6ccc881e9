"""Proof of a receipt by lxml and PyNaCl alone: another reading of XMLDSig than the daemon's."""

from __future__ import annotations

import base64
import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

DXP = "{http://www.chinaport.gov.cn/dxp}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"


class NotProvedError(Exception):
    """The bytes are no receipt that the platform signed."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a proved receipt says."""

    receiver: str
    message_id: str
    code: str
    exchange_id: str
    digest: str
    outcome: str


def prove(body: bytes, keys: Mapping[str, bytes]) -> Receipt:
    """The receipt's content once its signature is verified. Raises NotProvedError."""
    try:
        root = etree.fromstring(body)
    except etree.XMLSyntaxError as error:
        raise NotProvedError(f"not XML: {error}") from None
    _verify(root, keys)
    note = dict(pair.partition("=")[::2] for pair in (root.findtext(f"{DXP}Response/{DXP}Note") or "").split(";"))
    return Receipt(
        receiver=root.findtext(f"{DXP}RecevierId") or "",
        message_id=root.findtext(f"{DXP}OriHead/{DXP}CopMsgId") or "",
        code=root.findtext(f"{DXP}Response/{DXP}ResponseCode") or "",
        exchange_id=note.get("exchange", ""),
        digest=note.get("digest", "").removeprefix("sha256:"),
        outcome=note.get("outcome", ""),
    )


def _verify(root: etree._Element, keys: Mapping[str, bytes]) -> None:
    signatures = root.findall(f"{DS}Signature")
    if root.tag != f"{DXP}DxpRep" or len(signatures) != 1:
        raise NotProvedError(f"{root.tag!r} with {len(signatures)} signatures")
    signed_info = signatures[0].find(f"{DS}SignedInfo")
    wanted = signatures[0].findtext(f"{DS}SignedInfo/{DS}Reference/{DS}DigestValue")
    if signed_info is None or wanted is None:
        raise NotProvedError("a signature without its parts")
    bare = copy.deepcopy(root)
    bare.remove(bare.find(f"{DS}Signature"))  # type: ignore[arg-type]
    if hashlib.sha256(_canonical(bare)).digest() != base64.b64decode(wanted):
        raise NotProvedError("the digest is another")
    key = keys.get(signatures[0].findtext(f"{DS}KeyInfo/{DS}KeyName") or "")
    if key is None:
        raise NotProvedError("not a key of the platform")
    try:
        value = base64.b64decode(signatures[0].findtext(f"{DS}SignatureValue") or "")
        VerifyKey(key).verify(_canonical(signed_info), value)
    except (BadSignatureError, ValueError):
        raise NotProvedError("the signature is wrong") from None


def _canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
