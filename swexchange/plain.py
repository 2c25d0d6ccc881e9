"""Text from outside, made safe to print: no control, bidirectional or line-breaking characters, bounded length."""

from __future__ import annotations

import re

LONGEST = 300

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def plain(text: str, longest: int = LONGEST) -> str:
    """The text with each unsafe character as \\uXXXX, cut to a length in characters."""
    cut = text if len(text) <= longest else text[:longest] + "..."
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)
