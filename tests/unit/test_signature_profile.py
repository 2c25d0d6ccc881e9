"""The profile of signatures: each deviation from it is refused, and the reason says which.

Every forgery here is signed with a registered key over exactly what it says, so that no
refusal is owed to a wrong digest or value by accident.
"""

from __future__ import annotations

import base64

import pytest

from swexchange.core.parse import parse
from swexchange.core.signature import verify
from swexchange.errors import Rejected
from tests.forge import (
    DSIG,
    ED25519,
    ENVELOPED,
    EXCLUSIVE,
    Edit,
    digest_of,
    put_in,
    reference,
    signature_element,
    signed_info,
    transform,
)
from tests.world import DXP, ENTERPRISE, LIMIT, RIVAL, declaration, dxp_msg, keys_of, registered, signing_key

DOCUMENT = dxp_msg(declaration())
DIGEST = digest_of(DOCUMENT)
KEY = signing_key(ENTERPRISE)
REGISTRY = keys_of(registered(ENTERPRISE), registered(RIVAL))
INFO = signed_info(reference(DIGEST))
C14N_METHOD = f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"></ds:CanonicalizationMethod>'
METHOD = f'<ds:SignatureMethod Algorithm="{ED25519}"></ds:SignatureMethod>'


def refusal(body: bytes) -> tuple[str, str]:
    """Code and detail of the refusal that a body must meet."""
    with pytest.raises(Rejected) as caught:
        verify(parse(body, LIMIT), REGISTRY)
    (finding,) = caught.value.findings
    return finding.code, finding.detail


def with_info(info: str) -> bytes:
    return put_in(DOCUMENT, signature_element(info, KEY))


def test_what_is_forged_here_would_pass_without_its_deviation() -> None:
    """The forger's tools make valid signatures; so what is refused below is refused for its deviation."""
    assert verify(parse(with_info(INFO), LIMIT), REGISTRY) == registered(ENTERPRISE)


SIGNATURE_METHODS = {
    "rsa-sha1": DSIG + "rsa-sha1",
    "rsa-sha256": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "hmac-sha256": "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
    "hmac-sha1": DSIG + "hmac-sha1",
    "ecdsa": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    "sm2-sm3": "http://www.chinaport.gov.cn/2022/04/xmldsig#sm2-sm3",
    "ed25519ph": "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519ph",
    "ed25519ctx": "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519ctx",
    "ed448": "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed448",
    "upper case": "HTTP://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519",
    "padded": " http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519",
    "empty": "",
}


@pytest.mark.parametrize("method", SIGNATURE_METHODS.values(), ids=SIGNATURE_METHODS)
def test_other_signature_methods_are_refused_by_name(method: str) -> None:
    """Any method but Ed25519 is refused, and the reason names the one that was used."""
    code, detail = refusal(with_info(signed_info(reference(DIGEST), method=method)))
    assert code == "4102"
    assert method in detail


INFOS: dict[str, str] = {
    "inclusive c14n": signed_info(reference(DIGEST), c14n="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
    "exclusive c14n with comments": signed_info(reference(DIGEST), c14n=EXCLUSIVE + "WithComments"),
    "c14n 1.1": signed_info(reference(DIGEST), c14n="http://www.w3.org/2006/12/xml-c14n11"),
    "hmac length": signed_info(reference(DIGEST), more="<ds:HMACOutputLength>8</ds:HMACOutputLength>"),
    "no reference": signed_info(""),
    "two references": signed_info(reference(DIGEST) * 2),
    "second reference to a part": signed_info(reference(DIGEST) + reference(DIGEST, uri='URI="#id"')),
    "reference by id": signed_info(reference(DIGEST, uri='URI="#id"')),
    "reference by xpointer": signed_info(reference(DIGEST, uri='URI="#xpointer(/)"')),
    "reference to a file": signed_info(reference(DIGEST, uri='URI="file:///etc/passwd"')),
    "reference over http": signed_info(reference(DIGEST, uri='URI="http://127.0.0.1:9/x"')),
    "reference without URI": signed_info(reference(DIGEST, uri='Id="r"')),
    "reference with id": signed_info(reference(DIGEST, uri='Id="r" URI=""')),
    "reference with type": signed_info(reference(DIGEST, uri=f'Type="{DSIG}Object" URI=""')),
    "manifest reference": signed_info(reference(DIGEST, uri=f'Type="{DSIG}Manifest" URI=""')),
    "sha1 digest": signed_info(reference(DIGEST, method=DSIG + "sha1")),
    "sm3 digest": signed_info(reference(DIGEST, method="http://www.chinaport.gov.cn/2022/04/xmldsig#sm3")),
    "only enveloped": signed_info(reference(DIGEST, transforms=transform(ENVELOPED))),
    "only c14n": signed_info(reference(DIGEST, transforms=transform(EXCLUSIVE))),
    "transforms swapped": signed_info(reference(DIGEST, transforms=transform(EXCLUSIVE) + transform(ENVELOPED))),
    "enveloped twice": signed_info(reference(DIGEST, transforms=transform(ENVELOPED) * 2)),
    "xpath transform": signed_info(
        reference(
            DIGEST,
            transforms=transform(ENVELOPED)
            + transform("http://www.w3.org/TR/1999/REC-xpath-19991116", "<ds:XPath>not(self::evil)</ds:XPath>")
            + transform(EXCLUSIVE),
        )
    ),
    "xpath instead of c14n": signed_info(
        reference(
            DIGEST,
            transforms=transform(ENVELOPED)
            + transform("http://www.w3.org/2002/06/xmldsig-filter2", "<ds:XPath>/x</ds:XPath>"),
        )
    ),
    "xslt transform": signed_info(
        reference(DIGEST, transforms=transform(ENVELOPED) + transform("http://www.w3.org/TR/1999/REC-xslt-19991116"))
    ),
    "base64 transform": signed_info(reference(DIGEST, transforms=transform(ENVELOPED) + transform(DSIG + "base64"))),
    "inclusive namespaces": signed_info(
        reference(
            DIGEST,
            transforms=transform(ENVELOPED)
            + transform(
                EXCLUSIVE, f'<i:InclusiveNamespaces xmlns:i="{EXCLUSIVE}" PrefixList="ds"></i:InclusiveNamespaces>'
            ),
        )
    ),
    "text in a transform": signed_info(reference(DIGEST, transforms=transform(ENVELOPED) + transform(EXCLUSIVE, " "))),
    "text in signed info": signed_info("surprise" + reference(DIGEST)),
    "id on signed info": INFO.replace("<ds:SignedInfo>", '<ds:SignedInfo Id="i">'),
    "attribute on digest value": INFO.replace("<ds:DigestValue>", '<ds:DigestValue x="1">'),
    "foreign element": signed_info(reference(DIGEST) + "<x></x>"),
    "other order": INFO.replace(C14N_METHOD + METHOD, METHOD + C14N_METHOD),
}


@pytest.mark.parametrize("info", INFOS.values(), ids=INFOS)
def test_signed_info_must_be_that_of_the_profile(info: str) -> None:
    """Other algorithms, references, transforms, attributes and texts inside SignedInfo are refused."""
    assert refusal(with_info(info))[0] == "4102"


@pytest.mark.parametrize("id_", ["Id", "id", "ID", "xml:id"])
def test_ids_on_the_signature_are_refused(id_: str) -> None:
    """Nothing may be referred to, so nothing in a signature has an id."""
    assert refusal(put_in(DOCUMENT, signature_element(INFO, KEY, attributes=f' {id_}="s"')))[0] == "4102"


OBJECTS = {
    "object": "<ds:Object></ds:Object>",
    "object with the document": "<ds:Object>{}</ds:Object>".format(DOCUMENT.decode().replace(f' xmlns="{DXP}"', "")),
    "manifest": f"<ds:Object><ds:Manifest>{reference(DIGEST)}</ds:Manifest></ds:Object>",
    "properties": "<ds:Object><ds:SignatureProperties></ds:SignatureProperties></ds:Object>",
    "foreign": "<x></x>",
    "text": "x",
    "white space": "\n",
}


@pytest.mark.parametrize("after", OBJECTS.values(), ids=OBJECTS)
def test_a_signature_holds_nothing_more(after: str) -> None:
    """No Object, no text, not even white space: what is not signed could be changed unseen."""
    assert refusal(put_in(DOCUMENT, signature_element(INFO, KEY, after=after)))[0] == "4102"


KEY_INFOS = {
    "empty": ("", "4102"),
    "two names": (f"<ds:KeyName>{KEY.id}</ds:KeyName>" * 2, "4102"),
    "key value": ("<ds:KeyValue></ds:KeyValue>", "4102"),
    "name and value": (f"<ds:KeyName>{KEY.id}</ds:KeyName><ds:KeyValue></ds:KeyValue>", "4102"),
    "certificate": ("<ds:X509Data><ds:X509Certificate>AA==</ds:X509Certificate></ds:X509Data>", "4102"),
    "retrieval": ('<ds:RetrievalMethod URI="http://127.0.0.1:9/"></ds:RetrievalMethod>', "4102"),
    "white space beside": (f" <ds:KeyName>{KEY.id}</ds:KeyName>", "4102"),
    "element in the name": (f"<ds:KeyName>{KEY.id}<x></x></ds:KeyName>", "4102"),
    "attribute": (f'<ds:KeyName a="b">{KEY.id}</ds:KeyName>', "4102"),
    "empty name": ("<ds:KeyName></ds:KeyName>", "4103"),
    "leading blank": (f"<ds:KeyName> {KEY.id}</ds:KeyName>", "4103"),
    "trailing blank": (f"<ds:KeyName>{KEY.id} </ds:KeyName>", "4103"),
    "line break": (f"<ds:KeyName>{KEY.id}\n</ds:KeyName>", "4103"),
    "no-break space": (f"<ds:KeyName>{KEY.id}\xa0</ds:KeyName>", "4103"),
    "other case": (f"<ds:KeyName>{KEY.id.lower()}</ds:KeyName>", "4103"),
    "full width": (f"<ds:KeyName>{KEY.id.replace('1', '１')}</ds:KeyName>", "4103"),
    "64 KB": (f"<ds:KeyName>{'k' * 65536}</ds:KeyName>", "4103"),
    "path": ("<ds:KeyName>../../etc/passwd</ds:KeyName>", "4103"),
    "bidi": ("<ds:KeyName>\u202egnp</ds:KeyName>", "4103"),
}


@pytest.mark.parametrize(("key_info", "code"), KEY_INFOS.values(), ids=KEY_INFOS)
def test_the_key_is_named_once_and_exactly(key_info: str, code: str) -> None:
    """KeyInfo is one KeyName; a key that is not registered under exactly this name is unknown."""
    said, detail = refusal(put_in(DOCUMENT, signature_element(INFO, KEY, key_info=key_info)))
    assert said == code
    assert len(detail) < 400


def test_a_key_of_another_participant_does_not_verify() -> None:
    """Naming a registered key that did not sign is a bad signature."""
    key_info = f"<ds:KeyName>{registered(RIVAL).id}</ds:KeyName>"
    assert refusal(put_in(DOCUMENT, signature_element(INFO, KEY, key_info=key_info)))[0] == "1001"


def test_a_key_that_nobody_registered_is_unknown() -> None:
    """The key comes from the registry, never from the message."""
    assert refusal(put_in(DOCUMENT, signature_element(INFO, signing_key("stranger"))))[0] == "4103"


def loose_bits(text: str) -> str:
    """The same bytes in base64 with an unused bit set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    at = len(text.rstrip("=")) - 1
    return text[:at] + alphabet[alphabet.index(text[at]) + 1] + text[at + 1 :]


BASE64_EDITS: dict[str, Edit] = {
    "loose bits": loose_bits,
    "line break": lambda text: text[:40] + "\n" + text[40:],
    "trailing line break": lambda text: text + "\n",
    "leading blank": lambda text: " " + text,
    "no padding": lambda text: text.rstrip("="),
    "more padding": lambda text: text + "=",
    "data after padding": lambda text: text + "AAAA",
    "url alphabet": lambda text: "-_" + text[2:],
    "foreign character": lambda text: text[:4] + "*" + text[4:],
    "no-break space": lambda text: text[:4] + "\xa0" + text[4:],
    "full width": lambda text: "Ａ" + text[1:],
    "short": lambda text: base64.b64encode(base64.b64decode(text)[:-1]).decode(),
    "long": lambda text: base64.b64encode(base64.b64decode(text) + b"\0").decode(),
    "empty": lambda text: "",
    "hex": lambda text: base64.b64decode(text).hex(),
    "element": lambda text: text[:4] + "<x></x>" + text[4:],
}


@pytest.mark.parametrize("edit", BASE64_EDITS.values(), ids=BASE64_EDITS)
def test_signature_value_has_one_way_to_be_written(edit: Edit) -> None:
    """SignatureValue is 64 bytes in canonical base64: no other text stands for the same bytes."""
    assert refusal(put_in(DOCUMENT, signature_element(INFO, KEY, value=edit)))[0] == "4102"


@pytest.mark.parametrize("edit", BASE64_EDITS.values(), ids=BASE64_EDITS)
def test_digest_value_has_one_way_to_be_written(edit: Edit) -> None:
    """DigestValue is 32 bytes in canonical base64."""
    value = edit(base64.b64encode(DIGEST).decode()) or " "
    assert refusal(with_info(signed_info(reference(DIGEST, value=value))))[0] == "4102"


def test_a_wrong_digest_is_told_apart_from_a_wrong_signature() -> None:
    """1004 when the data was changed, 1001 when the key did not sign."""
    assert refusal(with_info(signed_info(reference(b"\0" * 32))))[0] == "1004"
    assert refusal(put_in(DOCUMENT, signature_element(INFO, KEY, value=lambda _: "A" * 86 + "==")))[0] == "1001"


def test_details_of_refusals_are_bounded() -> None:
    """A megabyte in an attribute does not become a megabyte of detail."""
    _, detail = refusal(with_info(signed_info(reference(DIGEST), method="x" * 1_000_000)))
    assert len(detail) <= 1000


def test_a_signature_declares_its_own_namespace() -> None:
    """Below a root that has declared the prefix, a good signature without a declaration is not of the profile."""
    document = f'<ds:r xmlns:ds="{DSIG}"></ds:r>'.encode()
    element = signature_element(signed_info(reference(digest_of(document))), KEY)
    body = put_in(document, element.replace(f' xmlns:ds="{DSIG}"', ""))
    code, detail = refusal(body)
    assert code == "4102"
    assert "namespaces of Signature" in detail


INNER = f'<ds:Signature xmlns:ds="{DSIG}"></ds:Signature>'
CROWDED = {
    "another signature deeper": f"<r><a>{INNER}</a></r>",
    "another signature beside": f"<r>{INNER}</r>",
    "a good signature inside": f"<r>{put_in(DOCUMENT, signature_element(INFO, KEY)).decode()}</r>",
}


@pytest.mark.parametrize("document", CROWDED.values(), ids=CROWDED)
def test_a_second_signature_is_refused_even_where_it_is_signed(document: str) -> None:
    """Right by XMLDSig, a signature over a document that holds another leaves open which one counts."""
    body = document.encode()
    element = signature_element(signed_info(reference(digest_of(body))), KEY)
    assert refusal(put_in(body, element))[0] == "4102"
    start = body.index(b">") + 1
    assert refusal(body[:start] + element.encode() + body[start:])[0] == "4102"


def test_a_signature_deeper_in_the_tree_is_refused_even_where_it_is_right() -> None:
    """The enveloped transform takes it out wherever it stands; the profile wants it as a child of the root."""
    element = signature_element(signed_info(reference(digest_of(b"<r><a></a></r>"))), KEY)
    assert refusal(f"<r><a>{element}</a></r>".encode())[0] == "4102"
    assert verify(parse(f"<r><a></a>{element}</r>".encode(), LIMIT), REGISTRY) == registered(ENTERPRISE)
