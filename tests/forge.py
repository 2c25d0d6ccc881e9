"""Signed documents that deviate in one named point, everything else being right.

An attacker who holds a registered key, or a careless sender: digest and signature are
computed over what is written, so that only the deviation itself can be the reason of a refusal.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

from lxml import etree

from swexchange.core.keys import SigningKey

DSIG = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ED25519 = "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
ENVELOPED = DSIG + "enveloped-signature"

Edit = Callable[[str], str]


def unchanged(text: str) -> str:
    """No deviation."""
    return text


def transform(algorithm: str, content: str = "") -> str:
    """One ds:Transform."""
    return f'<ds:Transform Algorithm="{algorithm}">{content}</ds:Transform>'


def reference(
    digest: bytes, *, uri: str = 'URI=""', transforms: str = "", method: str = SHA256, value: str | None = None
) -> str:
    """One ds:Reference, of the profile unless told otherwise."""
    inside = transforms or transform(ENVELOPED) + transform(EXCLUSIVE)
    return (
        f"<ds:Reference {uri}><ds:Transforms>{inside}</ds:Transforms>"
        f'<ds:DigestMethod Algorithm="{method}"></ds:DigestMethod>'
        f"<ds:DigestValue>{value or base64.b64encode(digest).decode()}</ds:DigestValue></ds:Reference>"
    )


def signed_info(references: str, *, c14n: str = EXCLUSIVE, method: str = ED25519, more: str = "") -> str:
    """A ds:SignedInfo around references."""
    return (
        f'<ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{c14n}"></ds:CanonicalizationMethod>'
        f'<ds:SignatureMethod Algorithm="{method}">{more}</ds:SignatureMethod>{references}</ds:SignedInfo>'
    )


def signature_element(
    info: str,
    key: SigningKey,
    *,
    attributes: str = "",
    value: Edit = unchanged,
    key_info: str | None = None,
    after: str = "",
) -> str:
    """A ds:Signature over this SignedInfo; `value` edits the base64, `key_info` replaces what KeyInfo holds."""
    root = etree.fromstring(f'<ds:Signature xmlns:ds="{DSIG}">{info}</ds:Signature>')
    canonical = etree.tostring(root[0], method="c14n", exclusive=True)
    text = value(base64.b64encode(key.sign(canonical)).decode())
    named = f"<ds:KeyName>{key.id}</ds:KeyName>" if key_info is None else key_info
    return (
        f'<ds:Signature xmlns:ds="{DSIG}"{attributes}>{info}<ds:SignatureValue>{text}</ds:SignatureValue>'
        f"<ds:KeyInfo>{named}</ds:KeyInfo>{after}</ds:Signature>"
    )


def digest_of(document: bytes) -> bytes:
    """SHA-256 of an unsigned document in canonical form."""
    return hashlib.sha256(document).digest()


def put_in(document: bytes, element: str) -> bytes:
    """The document with an element as the last child of its root."""
    end = document.rindex(b"</")
    return document[:end] + element.encode() + document[end:]
