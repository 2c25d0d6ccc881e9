"""Signatures and canonical forms of other software: RFC 8032's vectors, xmllint, two JDKs.

The JDK's files are golden: tests/vectors/jdk holds them with the programs that made them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import nacl.bindings
import pytest

from swexchange.core.keys import Key, SigningKey
from swexchange.core.parse import parse
from swexchange.core.signature import canonical, seal, sign, verify
from swexchange.errors import Rejected
from tests.world import ALWAYS, ENTERPRISE, LIMIT, declaration, dxp_msg, inventory, keys_of, signing_key

VECTORS = Path(__file__).parent.parent / "vectors"
RFC_8032: list[dict[str, str]] = json.loads((VECTORS / "rfc8032/ed25519.json").read_text("ascii"))
JDK_KEY = SigningKey.from_seed("jdk", bytes(range(32)))
JDK_SIGNED = sorted(path.name for path in (VECTORS / "jdk").glob("*.signed.xml"))
JDK_CANONICAL = sorted(path.name.removesuffix(".c14n") for path in (VECTORS / "jdk").glob("*.c14n"))


def keys(key: SigningKey) -> dict[str, Key]:
    return keys_of(Key(key.id, ENTERPRISE, key.public, ALWAYS))


@pytest.mark.parametrize("vector", RFC_8032, ids=lambda vector: vector["name"])
def test_signing_key_gives_the_signatures_of_rfc_8032(vector: dict[str, str]) -> None:
    """Every vector of RFC 8032 section 7.1: the public key and the signature, bit for bit."""
    key = SigningKey.from_seed("k", bytes.fromhex(vector["seed"]))
    assert key.public.hex() == vector["public"]
    assert key.sign(bytes.fromhex(vector["message"])).hex() == vector["signature"]


def test_all_vectors_of_rfc_8032_are_there() -> None:
    """The file holds the five vectors of section 7.1, the long one with its 1023 bytes."""
    assert [len(vector["message"]) // 2 for vector in RFC_8032] == [0, 1, 2, 1023, 64]


@pytest.mark.parametrize("vector", RFC_8032, ids=lambda vector: vector["name"])
def test_signatures_made_with_those_keys_verify(vector: dict[str, str]) -> None:
    """A document signed by a key of RFC 8032 verifies against the published public key, and against no other."""
    key = SigningKey.from_seed("k", bytes.fromhex(vector["seed"]))
    document = parse(seal(b"<a></a>", key), LIMIT)
    public = Key("k", ENTERPRISE, bytes.fromhex(vector["public"]), ALWAYS)
    assert verify(document, {"k": public}) == public
    other = Key("k", ENTERPRISE, signing_key("other").public, ALWAYS)
    with pytest.raises(Rejected, match="1001"):
        verify(document, {"k": other})


@pytest.mark.parametrize("name", JDK_CANONICAL)
def test_canonical_form_is_that_of_a_jdk(name: str) -> None:
    """White space, quotes, CDATA, references, namespaces and empty tags come out as the JDK writes them."""
    document = parse((VECTORS / "jdk" / f"{name}.in.xml").read_bytes(), LIMIT)
    assert canonical(document.root) == (VECTORS / "jdk" / f"{name}.c14n").read_bytes()


@pytest.mark.parametrize("name", JDK_SIGNED)
def test_documents_signed_by_a_jdk_verify(name: str) -> None:
    """A signature made by Java verifies: with a prefix, without one, with white space inside SignedInfo."""
    body = (VECTORS / "jdk" / name).read_bytes()
    assert verify(parse(body, LIMIT), keys(JDK_KEY)).id == "jdk"


@pytest.mark.parametrize("name", JDK_SIGNED)
def test_documents_signed_by_a_jdk_and_changed_do_not(name: str) -> None:
    """One letter of a document signed by Java is changed: data and signature do not match."""
    body = (VECTORS / "jdk" / name).read_bytes()
    changed = body.replace(b"DXPENT", b"DXPFNT").replace(b"plain", b"plein").replace(b"cdata", b"cdate")
    assert changed != body
    with pytest.raises(Rejected, match="1004"):
        verify(parse(changed, LIMIT), keys(JDK_KEY))


def test_the_vectors_cover_what_they_should() -> None:
    """Three documents; every form of signature; both ways of making one in Java."""
    assert JDK_CANONICAL == ["envelope", "namespaces", "text"]
    assert len(JDK_SIGNED) == 3 * 3 + 2


def xmllint(tmp_path: Path, document: bytes) -> bytes:
    """The exclusive canonical form by xmllint (Debian package libxml2-utils)."""
    path = tmp_path / "document.xml"
    path.write_bytes(document)
    return subprocess.run(["xmllint", "--exc-c14n", str(path)], check=True, capture_output=True).stdout


DOCUMENTS: dict[str, bytes] = {
    "envelope": dxp_msg(declaration(), keys={"Bill & <No>": 'q"uote\tand]]>'}),
    "bare": inventory(),
    "indented": b"<?xml version='1.0'?>\n<a  y = '2'\n x='1' >\r\n  <b/><c xmlns='urn:c' d='&#10;'>&#13;</c>\n</a>",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_canonical_form_is_that_of_xmllint(name: str, tmp_path: Path) -> None:
    """A document and its signed form canonicalise as xmllint says."""
    root = parse(DOCUMENTS[name], LIMIT).root
    assert canonical(root) == xmllint(tmp_path, DOCUMENTS[name])
    signed = sign(parse(DOCUMENTS[name], LIMIT), JDK_KEY)
    assert canonical(parse(signed, LIMIT).root) == xmllint(tmp_path, signed)


def enveloped(wire: bytes, signed_info: bytes, signature: bytes) -> bytes:
    """Canonical bytes with a signature in them, put together by hand."""
    inner = signed_info.replace(b' xmlns:ds="http://www.w3.org/2000/09/xmldsig#"', b"")
    element = (
        b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">%s<ds:SignatureValue>%s</ds:SignatureValue>'
        b"<ds:KeyInfo><ds:KeyName>jdk</ds:KeyName></ds:KeyInfo></ds:Signature>"
    ) % (inner, base64.b64encode(signature))
    end = wire.rindex(b"</")
    return wire[:end] + element + wire[end:]


def signed_info_of(digest: bytes) -> bytes:
    """A SignedInfo as a text, far from canonical."""
    return (
        "<ds:SignedInfo xmlns:ds='http://www.w3.org/2000/09/xmldsig#'>\n"
        "<ds:CanonicalizationMethod   Algorithm='http://www.w3.org/2001/10/xml-exc-c14n#'/>"
        "<ds:SignatureMethod Algorithm='http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519'/>"
        "<ds:Reference URI=''><ds:Transforms>\t"
        "<ds:Transform Algorithm='http://www.w3.org/2000/09/xmldsig#enveloped-signature'/>"
        "<ds:Transform Algorithm='http://www.w3.org/2001/10/xml-exc-c14n#'/></ds:Transforms>"
        "<ds:DigestMethod Algorithm='http://www.w3.org/2001/04/xmlenc#sha256'/>"
        f"<ds:DigestValue>{base64.b64encode(digest).decode()}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    ).encode()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_signature_over_the_canonicalisation_of_xmllint_verifies(name: str, tmp_path: Path) -> None:
    """A sender that canonicalises with xmllint and signs with libsodium is understood."""
    without = inventory_without_signature() if name == "bare" else DOCUMENTS[name]
    wire = xmllint(tmp_path, without)
    signed_info = xmllint(tmp_path, signed_info_of(hashlib.sha256(wire).digest()))
    signature = nacl.bindings.crypto_sign(signed_info, JDK_KEY.secret)[:64]
    assert verify(parse(enveloped(wire, signed_info, signature), LIMIT), keys(JDK_KEY)).id == "jdk"


def inventory_without_signature() -> bytes:
    """The list as its sender had it before signing."""
    head, _, rest = inventory().partition(b"<ds:Signature")
    return head + rest.partition(b"</ds:Signature>")[2]


@pytest.mark.parametrize("name", ["envelope", "bare"])
def test_signing_again_replaces_the_signature_in_its_place(name: str) -> None:
    """A signed document signed anew keeps its content and the place of its signature."""
    first = sign(parse(DOCUMENTS[name], LIMIT), signing_key(ENTERPRISE))
    again = sign(parse(first, LIMIT), JDK_KEY)
    assert verify(parse(again, LIMIT), keys(JDK_KEY)).id == "jdk"
    assert len(again) == len(first) - len(signing_key(ENTERPRISE).id) + len("jdk")
    assert sign(parse(again, LIMIT), signing_key(ENTERPRISE)) == first
