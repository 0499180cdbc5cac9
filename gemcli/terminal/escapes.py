"""Text of a model, a file or a server is data: nothing in it acts on a terminal."""

from __future__ import annotations

import re

from gemcli.text import strict_json

# Bidirectional marks, line and paragraph separators, and unpaired surrogates.
_REORDERING = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
# Also C0 without tab and newline, DEL, and C1.
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_REORDERING}]")
_CONTROL_IN_JSON = re.compile(f"[\x7f-\x9f{_REORDERING}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with control characters shown as escapes; tabs and newlines stay."""
    return _CONTROL.sub(lambda match: _escape(ord(match[0])), text)


def one_line(text: str) -> str:
    """The text as `visible` shows it, on one line."""
    return visible(text.replace("\n", "\\n").replace("\t", " "))


def as_json(value: object) -> str:
    """Compact JSON on one line, without characters that act on a terminal or break UTF-8."""
    return _CONTROL_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", strict_json.dumps(value))


def encodable(text: str) -> str:
    """The text unchanged, but for what UTF-8 cannot encode."""
    return _SURROGATE.sub("\ufffd", text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
