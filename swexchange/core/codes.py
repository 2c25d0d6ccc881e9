"""The codes of receipts: the national classes of the DXP standard, and our own from 4000.

0xxx format, 1xxx security, 2xxx business, 3xxx system. A code never changes its meaning and is
never used again for another. docs/reference/codes.md is checked against this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from swexchange.core.model import Retry

ACCEPTED = "0000"
MALFORMED = "0001"
SCHEMA = "0002"
BAD_SIGNATURE = "1001"
KEY_NOT_IN_FORCE = "1002"
ALTERED = "1004"
NO_RECEIVER = "2001"
EMPTY = "4001"
TOO_LARGE = "4002"
NOT_UTF8 = "4003"
DOCTYPE = "4004"
COMMENT = "4005"
TOO_COMPLEX = "4006"
UNDECIDABLE = "4007"
NOT_CANONICAL = "4008"
UNKNOWN_DOCUMENT = "4009"
NOT_BASE64 = "4010"
BAD_TIME = "4011"
MISSING_FIELD = "4012"
UNSIGNED = "4101"
SIGNATURE_PROFILE = "4102"
UNKNOWN_KEY = "4103"
OTHERS_KEY = "4104"
OTHERS_OUTBOX = "4105"
TYPE_NOT_ALLOWED = "4106"
RECEIVER_NOT_ALLOWED = "4107"
NOT_FRESH = "4108"
CONFLICT = "4201"
UNKNOWN_TYPE = "4202"
EDITION_NOT_IN_FORCE = "4203"
NO_ROUTE = "4204"
TYPE_DIFFERS = "4205"
HELD = "4301"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says, and what the sender should do."""

    retry: Retry
    zh: str
    en: str


_FIX, _LATER, _NEVER = Retry.FIX, Retry.LATER, Retry.NEVER

MEANINGS: dict[str, Meaning] = {
    ACCEPTED: Meaning(_NEVER, "已接收", "Accepted"),
    MALFORMED: Meaning(_FIX, "报文格式错误，不是格式良好的XML", "Not well-formed XML"),
    SCHEMA: Meaning(_FIX, "报文不符合XSD标准", "Does not follow the schema"),
    BAD_SIGNATURE: Meaning(_FIX, "签名无效", "The signature is not valid"),
    KEY_NOT_IN_FORCE: Meaning(
        _FIX, "签名密钥未生效、已过期或已撤销", "The signing key is not in force: not yet, expired or revoked"
    ),
    ALTERED: Meaning(_FIX, "签名与数据不匹配", "Signature and data do not match: the data was changed after signing"),
    NO_RECEIVER: Meaning(_LATER, "接收方不存在", "The receiver does not exist"),
    EMPTY: Meaning(_FIX, "报文为空", "The message is empty"),
    TOO_LARGE: Meaning(_FIX, "报文超过大小限制", "The message is over the size limit"),
    NOT_UTF8: Meaning(_FIX, "报文编码必须是不带BOM的UTF-8", "The encoding must be UTF-8 without a byte order mark"),
    DOCTYPE: Meaning(_FIX, "报文不得含有DOCTYPE", "A DOCTYPE is not allowed"),
    COMMENT: Meaning(_FIX, "报文不得含有注释或处理指令", "Comments and processing instructions are not allowed"),
    TOO_COMPLEX: Meaning(
        _FIX, "报文结构超过限制", "The structure is over a limit: depth, elements, attributes or namespaces"
    ),
    UNDECIDABLE: Meaning(_FIX, "报文校验未能在时限内完成", "Validation could not be completed within its limits"),
    NOT_CANONICAL: Meaning(_FIX, "报文字节不是规范化XML形式", "The bytes are not the canonical form that was signed"),
    UNKNOWN_DOCUMENT: Meaning(_FIX, "未知的报文根元素或命名空间", "Unknown document: root element or namespace"),
    NOT_BASE64: Meaning(_FIX, "Data不是有效的Base64", "Data is not base64"),
    BAD_TIME: Meaning(_FIX, "时间格式错误", "A time has a wrong form"),
    MISSING_FIELD: Meaning(_FIX, "缺少必需的标识字段", "A field that identifies the message is missing"),
    UNSIGNED: Meaning(_FIX, "报文未签名", "The message is not signed"),
    SIGNATURE_PROFILE: Meaning(
        _FIX, "签名结构或算法不符合规范", "The signature does not follow the profile: structure or algorithm"
    ),
    UNKNOWN_KEY: Meaning(_LATER, "未登记的签名密钥", "The signing key is not registered"),
    OTHERS_KEY: Meaning(
        _FIX, "签名密钥不属于报文发送方", "The signing key does not belong to the sender that the message names"
    ),
    OTHERS_OUTBOX: Meaning(_FIX, "报文经由他人的通道提交", "The message came through another participant's exchange"),
    TYPE_NOT_ALLOWED: Meaning(_LATER, "发送方无权发送此类报文", "The sender may not send this type"),
    RECEIVER_NOT_ALLOWED: Meaning(_LATER, "发送方无权向该接收方发送", "The sender may not send to this receiver"),
    NOT_FRESH: Meaning(_FIX, "报文时间超出允许范围", "The creation time is outside the allowed window"),
    CONFLICT: Meaning(
        _NEVER, "报文编号已被内容不同的报文使用", "The message id is taken by an accepted message with other content"
    ),
    UNKNOWN_TYPE: Meaning(_LATER, "未知的报文类型", "Unknown message type"),
    EDITION_NOT_IN_FORCE: Meaning(
        _LATER, "该类报文当前没有生效的标准版本", "No schema edition of this type is in force"
    ),
    NO_ROUTE: Meaning(_LATER, "没有匹配的路由", "No route takes this message"),
    TYPE_DIFFERS: Meaning(
        _FIX, "信封MsgType与业务报文不一致", "MsgType of the envelope differs from the document inside"
    ),
    HELD: Meaning(_LATER, "报文已暂存，等待人工处理", "The message is held for an operator"),
}

UNAUTHENTICATED_MAY_KNOW = frozenset({EMPTY, TOO_LARGE, NOT_UTF8})
"""Codes whose detail tells an unauthenticated sender nothing it did not send."""


def meaning(code: str) -> Meaning:
    """The meaning of a code; KeyError for one that is not ours."""
    return MEANINGS[code]
