"""API keys: where one is found, and whether a request can carry it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from gemcli.api import key_file
from gemcli.api.secrets import Secrets
from gemcli.errors import GemcliError

KEY_VARIABLES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
"""The variables that may hold an API key; the first wins, as in the SDK."""

# The two forms of Google's API keys.
_LIKE_A_KEY = re.compile(r"AIza[A-Za-z0-9_-]{30,}|AQ\.[A-Za-z0-9_.-]{30,}")


class Key(NamedTuple):
    """A key, and its `source`: the variable or the file that holds it."""

    text: str
    source: str


def gemini_key(environ: Mapping[str, str], notice: Callable[[str], None]) -> Key:
    """The key for the Gemini API: of a variable, or else of a file.

    Raises `GemcliError`: NO_KEY, BAD_KEY, KEY_FILE.
    """
    google, gemini = (environ.get(name) for name in KEY_VARIABLES)
    if google and gemini and google != gemini:
        notice("GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used")
    for key, variable in zip((google, gemini), KEY_VARIABLES, strict=True):
        if key:
            return check_key(key, variable)
    path = key_file.path_of(environ)
    if key := key_file.read(environ):
        return check_key(key, path, "the file holds only the key, without quotes and NAME=")
    what = f"neither GEMINI_API_KEY nor GOOGLE_API_KEY is set, and there is no file {path}"
    raise GemcliError("NO_KEY", what)


def express_key(environ: Mapping[str, str]) -> Key:
    """The key of Vertex AI in express mode. Raises `GemcliError`: NO_PROJECT, BAD_KEY."""
    if key := environ.get("GOOGLE_API_KEY"):
        return check_key(key, "GOOGLE_API_KEY")
    what = "Vertex AI needs a project, or an express mode key in GOOGLE_API_KEY"
    raise GemcliError("NO_PROJECT", what)


def check_key(key: str, source: str, hint: str | None = None) -> Key:
    """`key` if an HTTP header can hold it: the error of a library would quote any other.

    Raises `GemcliError` (BAD_KEY), for a line of a shell or of an env file too.
    """
    if re.match(r"(export\s+)?\w*KEY=", key):
        raise GemcliError("BAD_KEY", f"{source} holds NAME=KEY instead of a key", hint=hint)
    if not re.fullmatch(r"[\x21-\x7e]+", key) or key[0] in "'\"" or key[-1] in "'\"":
        raise GemcliError("BAD_KEY", f"{source} holds characters that no key has", hint=hint)
    return Key(key, source)


def holds_key(text: str, environ: Mapping[str, str]) -> bool:
    """Whether an API key is in `text`: one of the user's, or what looks like one of Google."""
    return text in filter(None, _keys(environ)) or hide_keys(text, environ) != text


def hide_keys(text: str, environ: Mapping[str, str]) -> str:
    """`text` without the API keys of the user, and without what looks like one of Google."""
    return _LIKE_A_KEY.sub("[a key]", Secrets(*_keys(environ)).hide(text))


def _keys(environ: Mapping[str, str]) -> list[str | None]:
    """Every key that gemcli could use, in variables and in the file."""
    keys = [environ.get(name) for name in KEY_VARIABLES]
    with suppress(GemcliError):  # a file that cannot be used is no place of a key
        keys.append(key_file.read(environ))
    return keys
