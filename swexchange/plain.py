"""Text from outside, made safe to print: no control, bidirectional or line-breaking characters, bounded length."""

from __future__ import annotations

import re

LONGEST = 300

_HIGH = "\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
_UNSAFE = re.compile(f"[\x00-\x1f{_HIGH}]")
_UNSAFE_IN_JSON = re.compile(f"[{_HIGH}]")  # the others are escaped there already, or end its lines


def plain(text: str, longest: int = LONGEST) -> str:
    """The text with each unsafe character as \\uXXXX, cut to a length in characters."""
    cut = text if len(text) <= longest else text[:longest] + "..."
    return _UNSAFE.sub(_escaped, cut)


def plain_json(document: str) -> str:
    """A JSON document that says the same, with each unsafe character as \\uXXXX; nothing is cut."""
    return _UNSAFE_IN_JSON.sub(_escaped, document)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
