"""Documents and envelopes of one run: the samples of schemas/ with ids of their own.

A sample is taken as it is; only the elements that identify it get other texts. Nothing here
knows what a document is for or what must become of it.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from uuid import uuid4

from swexchange.core.canonical import CHINA, dxp_msg, local_time
from swexchange.core.keys import SigningKey
from swexchange.core.model import BusinessKey, Head
from swexchange.core.parse import parse
from swexchange.core.signature import sign

SCHEMAS = Path(__file__).parents[2] / "schemas"
MOST = 64 * 1024 * 1024  # bytes of a document made here
_GUID = re.compile(rb'guid="[^"]*"')


@cache
def sample(path: str) -> bytes:
    """The bytes of a sample: `dec/4.9.7/DecMessage.valid.typical` is in that edition's samples folder."""
    edition, _, name = path.rpartition("/")
    return (SCHEMAS / edition / "samples" / f"{name}.xml").read_bytes()


def filled(document: bytes, **texts: str) -> bytes:
    """The document with these texts in the elements of these local names, wherever they stand."""
    for name, text in texts.items():
        element = re.compile(rb"(<(?:\w+:)?%s>)[^<]*(?=</)" % name.encode())
        document, found = element.subn(rb"\g<1>" + text.encode(), document)
        if not found:
            raise ValueError(f"the document has no {name}")
    return document


def with_guid(document: bytes, guid: str) -> bytes:
    """An e-commerce document under another message id."""
    return _GUID.sub(f'guid="{guid}"'.encode(), document, count=1)


def signed(document: bytes, key: SigningKey) -> bytes:
    """The document as it is sent: canonical, with the signature in place of any it had."""
    return sign(parse(document, MOST), key)


class Numbers:
    """Ids that this run has not used yet."""

    def __init__(self, now: datetime) -> None:
        self._now = now.astimezone(CHINA)
        self._next = count(1)

    def envelope(self, sender: str) -> str:
        """A CopMsgId."""
        return f"{sender}-{self._now:%Y%m%d%H%M%S}-{next(self._next):06d}"

    def declaration(self) -> str:
        """A ClientSeqNo, the declarant's own number."""
        return f"DEMO{self._now:%m%d%H%M%S}-{next(self._next):06d}"

    def manifest(self, kind: str) -> str:
        """A MessageID of manifests and ships: CN_type_version_sender_time."""
        return f"CN_{kind}_1p0_5316MA5F3K7Q8_{self._now:%Y%m%d%H%M%S}{next(self._next):03d}"

    def customs(self) -> str:
        """A SeqNo, the number that customs gives: 18 characters."""
        return f"I{self._now:%Y}0000{next(self._next):09d}"

    def shop(self) -> str:
        """An order number or copNo."""
        return f"QH{self._now:%y%m%d%H%M%S}{next(self._next):04d}"

    def guid(self) -> str:
        """The message id of an e-commerce document."""
        return str(uuid4()).upper()


def enveloped(
    document: bytes,
    message_id: str,
    sender: str,
    receivers: tuple[str, ...],
    now: datetime,
    msg_type: str = "",
    **keys: str,
) -> bytes:
    """The document in a DxpMsg, not signed yet."""
    head = Head(message_id, sender, receivers, local_time(now), msg_type)
    return dxp_msg(head, document, [BusinessKey(name, value) for name, value in keys.items()])
