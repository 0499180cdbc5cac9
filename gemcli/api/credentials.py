"""API keys: which one the environment holds, and whether a request can carry it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gemcli.api.secrets import Secrets
from gemcli.errors import GemcliError

KEY_VARIABLES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
"""The variables that may hold an API key; the first wins, as in the SDK."""

# The two forms of Google's API keys.
_LIKE_A_KEY = re.compile(r"AIza[A-Za-z0-9_-]{30,}|AQ\.[A-Za-z0-9_.-]{30,}")


def gemini_key(environ: Mapping[str, str], notice: Callable[[str], None]) -> str:
    """The key for the Gemini API. Raises `GemcliError`: NO_KEY, BAD_KEY."""
    google, gemini = (environ.get(name) for name in KEY_VARIABLES)
    if google and gemini and google != gemini:
        notice("GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used")
    for key, variable in zip((google, gemini), KEY_VARIABLES, strict=True):
        if key:
            return check_key(key, variable)
    raise GemcliError("NO_KEY", "neither GEMINI_API_KEY nor GOOGLE_API_KEY is set")


def express_key(environ: Mapping[str, str]) -> str:
    """The key of Vertex AI in express mode. Raises `GemcliError`: NO_PROJECT, BAD_KEY."""
    if key := environ.get("GOOGLE_API_KEY"):
        return check_key(key, "GOOGLE_API_KEY")
    what = "Vertex AI needs a project, or an express mode key in GOOGLE_API_KEY"
    raise GemcliError("NO_PROJECT", what)


def check_key(key: str, variable: str) -> str:
    """`key` if an HTTP header can hold it: the error of a library would quote any other."""
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise GemcliError("BAD_KEY", f"{variable} holds characters that no key has")
    return key


def holds_key(text: str, environ: Mapping[str, str]) -> bool:
    """Whether an API key is in `text`: one of the environment, or what looks like one of Google."""
    keys = [environ.get(name) for name in KEY_VARIABLES]
    return text in filter(None, keys) or hide_keys(text, environ) != text


def hide_keys(text: str, environ: Mapping[str, str]) -> str:
    """`text` without the API keys of the environment, and without what looks like one of Google."""
    keys = [environ.get(name) for name in KEY_VARIABLES]
    return _LIKE_A_KEY.sub("[a key]", Secrets(*keys).hide(text))
