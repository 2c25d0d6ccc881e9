"""Canonical XML written straight from values: text escaped as exclusive C14N does it, heads, envelopes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from swexchange.core.model import BusinessKey, Head

CHINA = timezone(timedelta(hours=8))
DXP = "http://www.chinaport.gov.cn/dxp"
_UNWRITABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """Text as exclusive C14N writes it; characters that XML cannot hold become U+FFFD."""
    clean = text if text.isprintable() else _UNWRITABLE.sub("\ufffd", text)
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _attribute(text: str) -> str:
    clean = _UNWRITABLE.sub("\ufffd", text).replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return clean.replace("\t", "&#x9;").replace("\n", "&#xA;")


def head(name: str, values: Head) -> str:
    """A head in the form of TransInfo under an element of this name."""
    receivers = "".join(f"<ReceiverId>{escape(r)}</ReceiverId>" for r in values.receivers)
    return (
        f"<{name}><CopMsgId>{escape(values.message_id)}</CopMsgId><SenderId>{escape(values.sender)}</SenderId>"
        f"<ReceiverIds>{receivers}</ReceiverIds><CreatTime>{escape(values.created)}</CreatTime>"
        f"<MsgType>{escape(values.msg_type)}</MsgType></{name}>"
    )


def dxp_msg(values: Head, payload: bytes, keys: Iterable[BusinessKey] = ()) -> bytes:
    """An unsigned DxpMsg around a business document."""
    rows = "".join(f'<Key name="{_attribute(key.name)}">{escape(key.value)}</Key>' for key in keys)
    added = f"<AddInfo><BizKey>{rows}</BizKey></AddInfo>" if rows else ""
    data = base64.b64encode(payload).decode()
    info = head("TransInfo", values)
    return f'<DxpMsg xmlns="{DXP}" ver="1.0">{info}<Data>{data}</Data>{added}</DxpMsg>'.encode()


def local_time(at: datetime) -> str:
    """A time as people on the spot read it: +08:00, seconds."""
    return at.astimezone(CHINA).isoformat(timespec="seconds")
