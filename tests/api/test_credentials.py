"""API keys: which one is used, and which are refused before a request is made."""

from __future__ import annotations

import pytest

from gemcli.api.credentials import express_key, gemini_key
from tests.builders import error_from

BOTH = "GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used"


@pytest.mark.parametrize(
    ("google", "gemini", "key", "notes"),
    [("k", "", "k", []), ("", "k", "k", []), ("k", "k", "k", []), ("one", "other", "one", [BOTH])],
    ids=["google", "gemini", "same", "different"],
)
def test_gemini_key(google: str, gemini: str, key: str, notes: list[str]) -> None:
    """One key is enough, under either name; of two that differ GOOGLE_API_KEY wins, and a note says so."""
    noted: list[str] = []
    assert gemini_key({"GOOGLE_API_KEY": google, "GEMINI_API_KEY": gemini}, noted.append).text == key
    assert noted == notes


@pytest.mark.parametrize("environ", [{}, {"GEMINI_API_KEY": ""}, {"GOOGLE_CLOUD_PROJECT": "p"}], ids=str)
def test_no_key(environ: dict[str, str]) -> None:
    """Without a key nothing can be sent, and the hint says where keys are made."""
    caught = error_from(gemini_key, environ, pytest.fail)
    assert (caught.reason, caught.exit, caught.outcome) == ("NO_KEY", 77, None)
    assert "aistudio.google.com" in str(caught.hint)


@pytest.mark.parametrize("environ", [{}, {"GEMINI_API_KEY": "k"}, {"GOOGLE_CLOUD_LOCATION": "l"}], ids=str)
def test_no_express_key(environ: dict[str, str]) -> None:
    """Vertex AI in express mode takes GOOGLE_API_KEY only, a sound one: a key for the Gemini API is not one."""
    error = error_from(express_key, environ)
    assert (error.reason, error.exit) == ("NO_PROJECT", 78)
    assert error_from(express_key, {"GOOGLE_API_KEY": "a b"}).message.startswith("GOOGLE_API_KEY holds characters")


BAD_KEYS = (
    *("abc\ndef", "abcdef\n", "\n", "abc\r", " ", "   ", "abc def", "abc\t", "“abcdef”", "schlüssel"),
    *("abc\xa0", "abc\x1b[0m", '"k\x7f', "abc\u200b", "abc\udcff"),
)


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
@pytest.mark.parametrize("variable", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_bad_key(variable: str, key: str) -> None:
    """A key that no HTTP header can hold is refused; the message names the variable and not the key."""
    caught = error_from(gemini_key, {variable: key}, pytest.fail)
    error = caught
    assert (error.reason, error.exit) == ("BAD_KEY", 77)
    assert error.message == f"{variable} holds characters that no key has"
