"""Redaction: keys, access tokens and passwords are hidden here before text leaves gemcli."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from gemcli.errors import GemcliError


class Secrets:
    """Secrets that a server or a library may quote: keys, and the `token` that one request had."""

    def __init__(self, *keys: str | None) -> None:
        self._keys = [key for key in keys if key]
        self.token = ""

    def hide(self, text: str) -> str:
        """`text` with each secret replaced by its name."""
        for key in self._keys:
            text = text.replace(key, "[the key]")
        if self.token:
            text = text.replace(self.token, "[the token]")
        return text

    def hide_in_bytes(self, data: bytes) -> bytes:
        """`hide` for bytes in any encoding; the secrets in them are ASCII."""
        return self.hide(data.decode("latin-1")).encode("latin-1")

    def hide_in_error(self, error: GemcliError) -> GemcliError:
        """`error` with each secret hidden in its message, and lone surrogates replaced."""
        message = error.message.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return error.replace(message=self.hide(message))

    def token_in_traceback(self, error: BaseException) -> bool:
        """Whether the traceback of `error` shows the token; `cli` hides keys there."""
        import traceback

        return bool(self.token) and self.token in "".join(traceback.format_exception(error))


def without_user(url: str) -> str:
    """A valid URL without its user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def without_user_if_invalid(url: str) -> str:
    """A URL that was refused, without its user and password."""
    # Everything up to the last `@` goes: in an invalid URL a password may extend beyond its place.
    return re.sub(r"(?si)^([a-z]*://|//)?.*@", lambda match: match[1] or "", url)
