"""Redaction: keys, access tokens and passwords are hidden here before text leaves gemcli."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit, urlunsplit

from gemcli.errors import GemcliError

if TYPE_CHECKING:
    from gemcli.chat.answers import Answer


MIN_SECRET = 16
"""How many characters a secret has at least. A shorter key protects nothing: it is a stand-in for a
server that wants none, such as `test` or `sk-1234`, or could be guessed, and it is found in texts
that have nothing to do with it. The keys of Google have 39 and more."""


class Secrets:
    """Secrets that a server or a library may quote: keys, and the `token` that one request had."""

    def __init__(self, *keys: str | None) -> None:
        self._keys = [key for key in keys if key and len(key) >= MIN_SECRET]
        self.token = ""

    def hide(self, text: str) -> str:
        """`text` with each secret replaced by its name."""
        for key in self._keys:
            text = text.replace(key, "[the key]")
        if len(self.token) >= MIN_SECRET:
            text = text.replace(self.token, "[the token]")
        return text

    def hide_in_answer(self, answer: Answer) -> Answer:
        """`answer` with each secret hidden, but for what the model says, which stays as it is."""
        return cast("Answer", self._hide_in_value(answer))

    def _hide_in_value(self, value: object) -> object:
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self._hide_in_value(inner) for inner in value]
        if isinstance(value, dict):
            return {
                key: inner if key == "content" else self._hide_in_value(inner)
                for key, inner in value.items()
            }
        return value

    def hide_in_error(self, error: GemcliError) -> GemcliError:
        """`error` with each secret hidden in its message, and lone surrogates replaced."""
        message = error.message.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return error.replace(message=self.hide(message))

    def token_in_traceback(self, error: BaseException) -> bool:
        """Whether the traceback of `error` shows the token; `cli` hides keys there."""
        import traceback

        return len(self.token) >= MIN_SECRET and self.token in "".join(
            traceback.format_exception(error)
        )


def without_user(url: str) -> str:
    """A valid URL without its user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def without_user_if_invalid(url: str) -> str:
    """A URL that was refused, without its user and password."""
    # Everything up to the last `@` goes: in an invalid URL a password may extend beyond its place.
    return re.sub(r"(?si)^([a-z]*://|//)?.*@", lambda match: match[1] or "", url)
