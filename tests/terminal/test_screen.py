"""Lines on a terminal: as wide as it is, in its colours, and harmless."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.terminal import screen
from gemcli.terminal.screen import Piece

CJK = "日本語のテキストには空白がない。"


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("", 0), ("日本", 4), ("é", 1), ("e\u0301", 1), ("👍", 2), ("ｱ", 1), ("Ａ", 2), ("a\u200db", 2)],
)
def test_width(text: str, columns: int) -> None:
    """Wide letters and emoji take two columns, marks that stand on a letter none."""
    assert screen.width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("  one two three", 9, ["  one two", "  three"]),
        ("  - one two three", 9, ["  - one", "    two", "    three"]),
        ("12. one two", 8, ["12. one", "    two"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("ab abcdefghij", 4, ["ab", "abcd", "efgh", "ij"]),
        ("a\n\nb\n", 4, ["a", "", "b"]),
        ("日本語", 4, ["日本", "語"]),
        ("それは本。次", 8, ["それは", "本。次"]),
        ("a日", 2, ["a", "日"]),
        ("```\none two three\n```\none two", 6, ["```", "one tw", "o thre", "e", "```", "one", "two"]),
        ("\tx", 20, ["    x"]),
        ("a\x1b[1mb", 20, ["a\\x1b[1mb"]),
        ("", 10, [""]),
    ],
)
def test_wrapped(text: str, columns: int, lines: list[str]) -> None:
    """At spaces, between ideographs, and elsewhere only where there is no room; code is never broken at spaces."""
    assert list(screen.wrapped(text, columns)) == lines


@given(st.text(st.sampled_from([*"ab -`\n\t日。👍", "\u0301", "\x1b"])), st.integers(2, 30))
def test_no_line_is_too_long_and_no_letter_is_lost(text: str, columns: int) -> None:
    """Whatever the text and the width: what is no space is all there, in order."""
    lines = list(screen.wrapped(text, columns))
    assert all(screen.width(line) <= columns for line in lines)
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text.replace("\x1b", "\\x1b"))


def test_a_long_line_takes_no_long_time() -> None:
    """A megabyte without a space is wrapped while nobody notices."""
    assert len(list(screen.wrapped("x" * 1_000_000, 80))) == 12_500
    assert len(list(screen.wrapped("word " * 200_000, 80))) == 12_500


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [("short", 10, "short"), ("long enough", 6, "long…"), (CJK, 6, "日本…"), ("a\nb", 10, "a\\nb")],
)
def test_cut(text: str, columns: int, shown: str) -> None:
    """One line, and an ellipsis where something is missing."""
    assert screen.cut(text, columns) == shown
    assert screen.width(shown) <= columns


def test_rendered() -> None:
    """Colours are around the text, and only there; the text itself cannot have any."""
    line = [Piece("user", "user"), Piece(" \x1b[31mred"), Piece("", "faint")]
    assert screen.rendered(line, colours=False) == "user \\x1b[31mred"
    assert screen.rendered(line, colours=True) == "\x1b[1;36muser\x1b[0m \\x1b[31mred"


@pytest.mark.parametrize(
    ("environ", "colours"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_has_colours(environ: dict[str, str], colours: bool) -> None:
    """A terminal that has none, or whose user wants none, gets none."""
    assert screen.has_colours(environ) is colours


def test_facts() -> None:
    """A small document in words, one key a line."""
    document = {"session": "a", "ok": True, "total_tokens": 1234}
    lines = [screen.rendered(line, colours=False) for line in screen.facts(document)]
    assert lines == ["session       a", "ok            yes", "total tokens  1,234"]
