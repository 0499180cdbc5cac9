"""Redaction: what is hidden, and that nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from gemcli.api.secrets import MIN_SECRET, Secrets, without_user, without_user_if_invalid
from gemcli.errors import GemcliError

KEY, TOKEN = "AIza-a-key-of-the-user", "ya29.a-token-of-the-user"


@pytest.fixture
def secrets() -> Secrets:
    """A key and a token."""
    secrets = Secrets(KEY, None, "")
    secrets.token = TOKEN
    return secrets


def test_text(secrets: Secrets) -> None:
    """Each key and the token is replaced by its name, wherever it stands; without a secret nothing changes."""
    assert secrets.hide(f"{KEY}, x{KEY}, Bearer {TOKEN}") == "[the key], x[the key], Bearer [the token]"
    assert (Secrets().hide("a b"), Secrets(None, "").hide("")) == ("a b", "")


def test_short_keys() -> None:
    """A key that is too short to protect anything is not looked for: it is found in any text."""
    secrets = Secrets("test", "a", "sk-1234", "x" * (MIN_SECRET - 1))
    secrets.token = "Basic eDp5"
    text = f"models/gemini-flash-latest sk-12345 {'x' * MIN_SECRET} Basic eDp5"
    assert secrets.hide(text) == text
    assert Secrets("x" * MIN_SECRET).hide(text) == text.replace("x" * MIN_SECRET, "[the key]")


def test_answer(secrets: Secrets) -> None:
    """What is beside the words of the model has no secrets; those words are kept as they are."""
    said: Any = {"role": "model", "parts": [{"text": KEY}]}
    answer: Any = {
        "candidates": [{"content": said, "finishMessage": f"bad {KEY}", "index": 0}],
        "promptFeedback": {"blockReason": TOKEN},
        "more": [None, 1.5, [KEY]],
    }
    assert secrets.hide_in_answer(answer) == {
        "candidates": [{"content": said, "finishMessage": "bad [the key]", "index": 0}],
        "promptFeedback": {"blockReason": "[the token]"},
        "more": [None, 1.5, ["[the key]"]],
    }


def test_error(secrets: Secrets) -> None:
    """An error with hidden secrets is another one: the first stays as it was, its facts are kept."""
    cause = ValueError("x")
    error = GemcliError("RATE_LIMIT", f"{KEY} \ud800", http=429, retry_after=2.5, outcome="rejected")
    error.__cause__ = cause
    hidden = secrets.hide_in_error(error)
    assert (hidden.message, str(hidden)) == ("[the key] \ufffd\ufffd\ufffd",) * 2
    assert (hidden.reason, hidden.http, hidden.retry_after, hidden.__cause__) == ("RATE_LIMIT", 429, 2.5, cause)
    assert error.message == f"{KEY} \ud800"


def test_token_in_a_traceback(secrets: Secrets) -> None:
    """A token that an error or one of its causes quotes is found."""
    error = ValueError("x")
    assert not secrets.token_in_traceback(error)
    error.__cause__ = KeyError(TOKEN)
    assert secrets.token_in_traceback(error)
    assert not Secrets(KEY).token_in_traceback(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:PASSW@example.com:8/a?b=c#d", "https://example.com:8/a?b=c#d"),
        ("https://PASSW@example.com/m@1:generateContent", "https://example.com/m@1:generateContent"),
        ("https://example.com/m@1", "https://example.com/m@1"),
        ("http://u:P@[::1]:8/", "http://[::1]:8/"),
    ],
)
def test_without_user(url: str, shown: str) -> None:
    """A valid URL is shown without its user and password, and otherwise as it is."""
    assert without_user(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:PASSW@example.com/x", "http://example.com/x"),
        ("http://PASSW@example.com", "http://example.com"),
        ("ftp://user:PASSW@127.0.0.1", "ftp://127.0.0.1"),
        ("https://user:PASSW@example.com:port", "https://example.com:port"),
        ("https://user:PA/SSW@example.com", "https://example.com"),
        ("http://user:1/PASSW@example.com", "http://example.com"),
        ("http://user:PA@SSW@example.com", "http://example.com"),
        ("http://user:PA\nSSW@example.com", "http://example.com"),
        ("https://user:PA[SSW@example.com", "https://example.com"),
        ("https:/user:PASSW@example.com", "example.com"),
        ("user:PASSW@example.com", "example.com"),
        ("//user:PASSW@example.com", "//example.com"),
    ],
)
def test_without_user_if_invalid(url: str, shown: str) -> None:
    """A URL that was refused is shown without user and password, however badly it is written."""
    assert without_user_if_invalid(url) == shown
