"""Bytes that are not text in UTF-8, and what people are told that they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemcli.text.encodings import SIGNATURES, guess

TEXT = "Grüße, “hello” and so on. " * 200


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16le", "utf-16be", "latin1", "windows-1252"])
def test_what_iconv_is_told_to_do_works(encoding: str) -> None:
    """The encoding that the hint names reads the bytes as the text that they were."""
    text = TEXT if encoding != "latin1" else TEXT.replace("“", "").replace("”", "")
    data = text.encode(encoding)
    hint = guess(data).hint
    assert hint is not None
    named = hint.partition("iconv -f ")[2].partition(" ")[0]
    assert data.decode(named) == text


@pytest.mark.parametrize("start", SIGNATURES)
def test_files_are_told_by_their_beginning(start: bytes) -> None:
    """A file that is no text is called what it is, and nobody is sent to iconv."""
    assert guess(start + bytes(range(256)) * 20) == (f"{SIGNATURES[start]}, not text", None)


def test_other_files() -> None:
    """Anything else with control characters is binary."""
    assert guess(b"a\xff\x01").what == guess(b"\xff\0").what == "binary data, not text"


@given(st.binary(max_size=40))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    """Whatever the bytes are, there is something to say about them, and it fits in a line."""
    what, hint = guess(data)
    assert "\n" not in f"{what} {hint}"
    assert what or hint
