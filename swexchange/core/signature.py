"""Enveloped XMLDSig with Ed25519 in a strict profile: what was signed is what is read, byte for byte.

The profile (docs/decisions/signature.md): exactly one ds:Signature, a child of the root; one
Reference with URI="", the enveloped and exclusive C14N transforms, SHA-256, no Object; the bytes
are the canonical form itself. The key comes from the registry, never from the message.
Standards: RFC 9231 2.3.12 (eddsa-ed25519), RFC 8032, W3C Exclusive XML Canonicalization 1.0.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import nacl.bindings
import nacl.exceptions
from lxml import etree

from swexchange.core import codes
from swexchange.core.keys import Key, SigningKey
from swexchange.core.parse import Document, refuse

DSIG = "http://www.w3.org/2000/09/xmldsig#"
ED25519 = "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519"
EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"

XML_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_DECLARATIONS = frozenset(
    f'<?xml version="1.0"{encoding}{standalone}?>{end}'.encode()
    for encoding in ("", ' encoding="UTF-8"', ' encoding="utf-8"')
    for standalone in ("", ' standalone="no"', ' standalone="yes"')
    for end in ("", "\n", "\r\n")
) | {b""}
_EMPTY_TAG = re.compile(rb"<([^\s<>/!?=\"]+)((?: [^\s<>/=\"]+=\"[^\"<]*\")*)/>")
_SIGNATURES = etree.XPath("//ds:Signature", namespaces={"ds": DSIG})


def canonical(element: etree._Element) -> bytes:
    """Exclusive C14N 1.0 without comments, of the element alone. Raises Rejected 4008 where it has none."""
    try:
        return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)
    except etree.C14NError:  # such as a relative namespace name
        raise refuse(codes.NOT_CANONICAL, "the document has no canonical form") from None


def verify(document: Document, keys: Mapping[str, Key]) -> Key:
    """The registered key that signed this document; whether it is in force is the caller's question.

    Raises Rejected: 4101 unsigned, 4102 profile, 4008 not canonical, 4103 unknown key,
    1004 data altered, 1001 bad signature.
    """
    element = _only_signature(document.root)
    wire = _canonical_wire(document)
    profile = _read_usual(wire) or _read_any(element, wire)
    key = keys.get(profile.key_id)
    if key is None:
        raise refuse(codes.UNKNOWN_KEY, f"key {profile.key_id[:80]!r}")
    if hashlib.sha256(profile.signed).digest() != profile.digest:
        raise refuse(codes.ALTERED, "the digest in the signature is not that of the data")
    try:
        nacl.bindings.crypto_sign_open(profile.value + profile.signed_info, key.public)
    except nacl.exceptions.BadSignatureError:
        raise refuse(codes.BAD_SIGNATURE, f"not made by key {key.id} over this SignedInfo") from None
    return key


@dataclass(frozen=True, slots=True)
class _Profile:
    """What a signature that follows the profile holds."""

    digest: bytes
    value: bytes
    key_id: str
    signed_info: bytes  # canonical
    signed: bytes  # the canonical document without the signature


def _only_signature(root: etree._Element) -> etree._Element:
    found = cast("list[etree._Element]", _SIGNATURES(root))
    if not found:
        raise refuse(codes.UNSIGNED)
    if len(found) > 1 or found[0].getparent() is not root:
        raise refuse(codes.SIGNATURE_PROFILE, "exactly one Signature, a child of the root, is allowed")
    return found[0]


def _canonical_wire(document: Document) -> bytes:
    """The canonical document, which must be the bytes that came: only `<a/>` for `<a></a>` is tolerated."""
    start = document.content_start
    newline = 2 if document.body.startswith(b"\r\n", start) else document.body.startswith(b"\n", start)
    if document.body[: start + newline] not in _DECLARATIONS:
        raise refuse(codes.NOT_CANONICAL, "the XML declaration has an unusual form")
    sent = document.body[start + newline :]
    wire = canonical(document.root)
    if sent != wire and sent.removesuffix(b"\n") != wire:
        expanded = _EMPTY_TAG.sub(rb"<\1\2></\1>", sent.removesuffix(b"\n"))
        if expanded != wire:
            raise refuse(codes.NOT_CANONICAL, _first_difference(expanded, wire))
    return wire


def _first_difference(sent: bytes, wire: bytes) -> str:
    at = next((i for i, (a, b) in enumerate(zip(sent, wire, strict=False)) if a != b), min(len(sent), len(wire)))
    came, wanted = (text[max(0, at - 10) : at + 30].decode("utf-8", "replace") for text in (sent, wire))
    return f"after {at} bytes: came {came!r}, canonical is {wanted!r}"


def _cut(wire: bytes, signature: bytes) -> tuple[int, bytes]:
    """Where the signature stands, and the document without it (the enveloped transform)."""
    start = wire.find(signature)
    if start < 0 or wire.find(signature, start + 1) >= 0:
        raise refuse(codes.SIGNATURE_PROFILE, "namespaces of Signature must be declared on Signature")
    return start, wire[:start] + wire[start + len(signature) :]


def _read_usual(wire: bytes) -> _Profile | None:
    """Reads the form that `seal` writes by comparing bytes, which is quick; None for any other form.

    In canonical bytes `<` begins markup and nothing else, so what is found is the one Signature.
    """
    found = _USUAL_SIGNATURE.search(wire)
    if not found:
        return None
    digest, value, key_id = found.groups()
    return _Profile(
        _decoded(digest.decode(), 32, "DigestValue"),
        _decoded(value.decode(), 64, "SignatureValue"),
        key_id.decode(),
        _SIGNED_INFO % (_NAMESPACE, digest),
        wire[: found.start()] + wire[found.end() :],
    )


def _read_any(signature: etree._Element, wire: bytes) -> _Profile:
    """Reads any form that the profile allows: other prefixes, white space inside SignedInfo."""
    info, value, key_info = _children(signature, "SignedInfo", "SignatureValue", "KeyInfo", text="")
    (key_name,) = _children(key_info, "KeyName", text="")
    method, algorithm, reference = _children(info, "CanonicalizationMethod", "SignatureMethod", "Reference")
    transforms, digest_method, digest = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    enveloped, c14n = _children(transforms, "Transform", "Transform")
    _attributes(reference, URI="")
    for element, expected in (
        (method, EXCLUSIVE_C14N),
        (algorithm, ED25519),
        (enveloped, ENVELOPED),
        (c14n, EXCLUSIVE_C14N),
        (digest_method, SHA256),
    ):
        _attributes(element, Algorithm=expected)
        _children(element, text="")
    for plain in (signature, info, transforms, digest, value, key_info, key_name):
        _attributes(plain)
    return _Profile(
        _decoded(_text(digest), 32, "DigestValue"),
        _decoded(_text(value), 64, "SignatureValue"),
        _text(key_name),
        canonical(info),
        _cut(wire, canonical(signature))[1],
    )


def _children(element: etree._Element, *names: str, text: str | None = None) -> list[etree._Element]:
    """The children, which must be these and nothing else; `text` = no character data at all, else white space."""
    children = list(element)
    if [child.tag for child in children] != [f"{{{DSIG}}}{name}" for name in names]:
        local = etree.QName(element).localname
        raise refuse(codes.SIGNATURE_PROFILE, f"{local} must hold exactly {', '.join(names) or 'nothing'}")
    # Only SignedInfo is signed. White space elsewhere could be changed unseen, so there is none.
    between = (element.text or "") + "".join(child.tail or "" for child in children)
    if (between if text == "" else between.strip()) != "":
        raise refuse(codes.SIGNATURE_PROFILE, f"text inside {etree.QName(element).localname} is not allowed")
    return children


def _attributes(element: etree._Element, **expected: str) -> None:
    found = dict(element.attrib)
    if found != expected:
        local = etree.QName(element).localname
        raise refuse(codes.SIGNATURE_PROFILE, f"{local} has {found}, the profile wants {expected}")


def _text(element: etree._Element) -> str:
    if len(element):
        raise refuse(codes.SIGNATURE_PROFILE, f"{etree.QName(element).localname} must hold text only")
    return element.text or ""


def _decoded(text: str, size: int, name: str) -> bytes:
    try:
        value = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        value = b""
    # Encoded again and compared: unused bits of the last character could carry a change unseen.
    if len(value) != size or binascii.b2a_base64(value, newline=False).decode() != text:
        raise refuse(codes.SIGNATURE_PROFILE, f"{name} must be {size} bytes in base64 on one line")
    return value


def sign(document: Document, key: SigningKey) -> bytes:
    """The signed document: canonical, with the signature as the root's last child or in place of the old one."""
    wire = canonical(document.root)
    old = _SIGNATURES(document.root)
    if not old:
        return XML_DECLARATION + seal(wire, key)
    start, signed = _cut(wire, canonical(_only_signature(document.root)))
    return XML_DECLARATION + seal(signed, key, at=start)


def seal(wire: bytes, key: SigningKey, at: int | None = None) -> bytes:
    """Canonical bytes with a signature put in at an offset (default: before the root's end tag)."""
    position = wire.rindex(b"</") if at is None else at
    digest = binascii.b2a_base64(hashlib.sha256(wire).digest(), newline=False)
    value = binascii.b2a_base64(key.sign(_SIGNED_INFO % (_NAMESPACE, digest)), newline=False)
    signature = _SIGNATURE % (_NAMESPACE, _SIGNED_INFO % (b"", digest), value, key.id.encode())
    return wire[:position] + signature + wire[position:]


_NAMESPACE = f' xmlns:ds="{DSIG}"'.encode()
_SIGNED_INFO = (
    "<ds:SignedInfo%s>"
    f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE_C14N}"></ds:CanonicalizationMethod>'
    f'<ds:SignatureMethod Algorithm="{ED25519}"></ds:SignatureMethod>'
    '<ds:Reference URI=""><ds:Transforms>'
    f'<ds:Transform Algorithm="{ENVELOPED}"></ds:Transform>'
    f'<ds:Transform Algorithm="{EXCLUSIVE_C14N}"></ds:Transform></ds:Transforms>'
    f'<ds:DigestMethod Algorithm="{SHA256}"></ds:DigestMethod>'
    "<ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>"
).encode()
_SIGNATURE = (
    b"<ds:Signature%s>%s<ds:SignatureValue>%s</ds:SignatureValue>"
    b"<ds:KeyInfo><ds:KeyName>%s</ds:KeyName></ds:KeyInfo></ds:Signature>"
)
_USUAL_SIGNATURE = re.compile(
    re.escape(_SIGNATURE)
    % (
        re.escape(_NAMESPACE),
        re.escape(_SIGNED_INFO) % (b"", rb"([A-Za-z0-9+/=]+)"),
        rb"([A-Za-z0-9+/=]+)",
        rb"([A-Za-z0-9._-]{1,80})",
    )
)
