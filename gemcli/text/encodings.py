"""What bytes are that are not text in UTF-8, for the people who took them for text."""

from __future__ import annotations

from typing import NamedTuple

SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip file",
}
"""How common files that are not text begin."""

BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""How text in other encodings begins, the longest marks first."""

_SAMPLE = 4096
_CONTROL = {*range(32)} - {*b"\t\n\f\r\x1b"}


class Guess(NamedTuple):
    """What the bytes are, if that is known, and what can be done about it."""

    what: str | None
    hint: str | None


def guess(data: bytes) -> Guess:
    """What bytes are that are not text in UTF-8."""
    if (name := _encoding(data)) is not None:
        return Guess(
            f"text in {name.upper()}, not in UTF-8", f"convert it: iconv -f {name} -t utf-8"
        )
    for start, what in SIGNATURES.items():
        if data.startswith(start):
            return Guess(f"{what}, not text", None)
    if _CONTROL & {*data[:_SAMPLE]}:
        return Guess("binary data, not text", None)
    # These bytes are control characters in Latin-1, and quotes and dashes on Windows.
    is_windows = any(0x80 <= byte < 0xA0 for byte in data[:_SAMPLE])
    name = "windows-1252" if is_windows else "latin1"
    return Guess(None, f"convert it first, for example with iconv -f {name} -t utf-8")


def _encoding(data: bytes) -> str | None:
    """The encoding of text whose characters have several bytes each, None for other bytes."""
    for mark, name in BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return name
    # Without a mark, every other byte of Western text is NUL.
    first, second = (data[start:_SAMPLE:2].count(0) for start in (0, 1))
    half = min(len(data), _SAMPLE) // 2
    if half < 2:
        return None
    if second * 2 > half and first * 20 < half:
        return "utf-16le"
    return "utf-16be" if first * 2 > half and second * 20 < half else None
