"""Lines for a person: pieces of text with a look each, wrapped to the width of a terminal.

Text is measured in columns: letters of Chinese, Japanese and Korean, and most emoji, take two,
combining marks none. Escape sequences are made only here, around text that is `visible`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from gemcli.terminal.escapes import one_line, visible

Look = Literal["plain", "faint", "user", "model", "warning"]
"""How a piece of text looks: whose it is, or how much it matters."""

_SEQUENCES: dict[Look, str] = {
    "faint": "\x1b[2m",
    "user": "\x1b[1;36m",
    "model": "\x1b[1;32m",
    "warning": "\x1b[33m",
}
_PLAIN = "\x1b[0m"


class Piece(NamedTuple):
    """Text with a look."""

    text: str
    look: Look = "plain"


Line = Sequence[Piece]
"""A line as a person sees it, from left to right."""

FENCE = ("```", "~~~")
"""What begins and ends code in Markdown: its lines are cut where they must be, not at a space."""

# Between two of these letters a line may end; what closes a sentence stays with its letter.
_IDEOGRAPH = (
    "[\u2e80-\u2fff\u3001-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\U00020000-\U0003fffd]"
)
_START = re.compile(r" *(?:[-*+] +|\d{1,3}[.)] +|> +)?")  # of an item of a list, or a quotation
_WORD = re.compile(f" *(?:{_IDEOGRAPH}[、。，．！？」』）】]*|(?:(?!{_IDEOGRAPH})[^ ])+)")


def facts(document: Mapping[str, object]) -> Iterator[Line]:
    """A small document as lines: each key in words, and its value."""
    labels = {key: key.replace("_", " ") for key in document}
    columns = max(map(width, labels.values()))
    for key, value in document.items():
        yield [Piece(padded(labels[key], columns + 2), "faint"), Piece(_in_words(value))]


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def has_colours(environ: Mapping[str, str]) -> bool:
    """Whether a terminal is to be coloured: unless NO_COLOR is set, or the terminal is dumb."""
    return not environ.get("NO_COLOR") and not is_dumb(environ)


def is_dumb(environ: Mapping[str, str]) -> bool:
    """Whether a terminal only prints one line after another."""
    return environ.get("TERM", "dumb") == "dumb"


def rendered(line: Line, *, colours: bool) -> str:
    """A line as it is written to a terminal, without its end."""
    return "".join(_rendered(piece, colours=colours) for piece in line)


def _rendered(piece: Piece, *, colours: bool) -> str:
    text = one_line(piece.text)
    sequence = _SEQUENCES.get(piece.look) if colours else None
    return f"{sequence}{text}{_PLAIN}" if sequence and text else text


def width(text: str) -> int:
    """How many columns a text takes."""
    return len(text) if text.isascii() else sum(map(_width_of, text))


@lru_cache(maxsize=4096)
def _width_of(character: str) -> int:
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """The text on one line of at most so many columns; an ellipsis says that there is more."""
    text = one_line(text)
    if width(text) <= columns:
        return text
    return text[: _place(text, columns - 1)].rstrip() + "…"


def padded(text: str, columns: int) -> str:
    """The text with spaces after it, up to so many columns."""
    return text + " " * (columns - width(text))


def wrapped(text: str, columns: int) -> Iterator[str]:
    """The lines of a text, none longer than so many columns: broken at spaces, code anywhere."""
    in_code = False
    for line in visible(text).expandtabs(4).rstrip("\n").split("\n"):
        fence = line.lstrip().startswith(FENCE)
        yield from _pieces(line, columns) if in_code or fence else _words(line, columns)
        in_code ^= fence


def _words(line: str, columns: int) -> Iterator[str]:
    """A line broken at spaces; what follows is indented like the text of its beginning."""
    if width(line) <= columns:
        yield line
        return
    start = _START.match(line)
    indent = " " * start.end() if start else ""
    if len(indent) > columns // 2:
        indent = ""
    now = ""
    for word in _WORD.findall(line.rstrip()):
        if not now or width(now + word) <= columns:
            now += word
        else:
            yield now
            now = indent + word.lstrip(" ")
        if width(now) > columns:
            *full, now = _pieces(now, columns)
            yield from full
    yield now


def _pieces(line: str, columns: int) -> Iterator[str]:
    """A line broken wherever it is full."""
    start = used = 0
    for place, character in enumerate(line):
        size = _width_of(character)
        if used + size > columns and place > start:
            yield line[start:place]
            start, used = place, 0
        used += size
    yield line[start:]


def _place(text: str, columns: int) -> int:
    """How many characters of a text fit into so many columns."""
    used = 0
    for place, character in enumerate(text):
        used += _width_of(character)
        if used > columns:
            return place
    return len(text)
