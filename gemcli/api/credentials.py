"""Access to a backend: key or project, endpoint and API version, all from the environment, checked before use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from gemcli.api.backends import SIMULATOR, Backend, check_place
from gemcli.errors import GemcliError

if TYPE_CHECKING:
    from gemcli.simulator.simulated_api import App

SIMULATOR_URL = "http://simulator.invalid"
"""The simulator's base URL in process.

A name that cannot be looked up, should a socket ever be opened.
"""


@dataclass(frozen=True)
class Access:
    """What a client is made from.

    `key` is None with Google Cloud credentials, `base_url` for the API's own.

    `simulator` is the application that answers in this process, for the simulator alone.
    """

    backend: Backend
    key: str | None
    base_url: str | None
    version: str | None
    simulator: App | None = None


def access(backend: Backend, environ: Mapping[str, str], notice: Callable[[str], None]) -> Access:
    """How to reach `backend`.

    Raises `GemcliError`: NO_KEY, BAD_KEY, NO_PROJECT, PROJECT_NAME, LOCATION_NAME, BASE_URL, or for
    a rules file.
    """
    version = environ.get("GOOGLE_GENAI_API_VERSION") or None
    if backend.name == SIMULATOR:
        return Access(backend, "simulator", SIMULATOR_URL, version, _simulator(backend.rules))
    if backend.name == "vertex":
        project = backend.project or environ.get("GOOGLE_CLOUD_PROJECT") or None
        location = backend.location or environ.get("GOOGLE_CLOUD_LOCATION") or "global"
        check_place(project, location)
        key = None if project else _express_key(environ)
        placed = replace(backend, project=project, location=location)
        return Access(
            placed,
            key,
            _base_url("GOOGLE_VERTEX_BASE_URL", environ.get("GOOGLE_VERTEX_BASE_URL")),
            version,
        )
    return Access(
        backend,
        _key(environ, notice),
        _base_url("GOOGLE_GEMINI_BASE_URL", environ.get("GOOGLE_GEMINI_BASE_URL")),
        version,
    )


def without_key(backend: Backend, environ: Mapping[str, str]) -> Access:
    """`access` for a request that is only looked at: no key is needed, and none is used."""
    stand_in = {**environ, "GOOGLE_API_KEY": "no-key", "GEMINI_API_KEY": ""}
    return access(backend, stand_in, lambda _message: None)


def _simulator(rules: str | None) -> App:
    """The application of the simulator, scripted by the file `rules` if there is one.

    Raises what is wrong with it.
    """
    if rules is None:
        from gemcli.simulator.simulated_api import simulate

        return simulate
    from gemcli.simulator.rules_model import rules_app
    from gemcli.terminal import inputs

    return rules_app(inputs.file_text(rules), rules)


def _express_key(environ: Mapping[str, str]) -> str:
    """The key of Vertex AI in express mode, which goes without a project."""
    key = environ.get("GOOGLE_API_KEY")
    if not key:
        raise GemcliError(
            "NO_PROJECT", "Vertex AI needs a project, or an express mode key in GOOGLE_API_KEY"
        )
    return _checked(key, "GOOGLE_API_KEY")


def _key(environ: Mapping[str, str], notice: Callable[[str], None]) -> str:
    """The API key from the environment; GOOGLE_API_KEY wins, as in the SDK."""
    google, gemini = environ.get("GOOGLE_API_KEY"), environ.get("GEMINI_API_KEY")
    if google and gemini and google != gemini:
        notice("GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used")
    key = google or gemini
    if not key:
        raise GemcliError("NO_KEY", "neither GEMINI_API_KEY nor GOOGLE_API_KEY is set")
    return _checked(key, "GOOGLE_API_KEY" if google else "GEMINI_API_KEY")


def _checked(key: str, name: str) -> str:
    """The key, if it can stand in a header: others would be quoted in the error of some library."""
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise GemcliError("BAD_KEY", f"{name} holds characters that no key has")
    return key


def _base_url(name: str, value: str | None) -> str | None:
    """The URL in the variable `name`, if it is set and safe to send a key to.

    `None` means the API's own.
    """
    url = (value or "").strip()
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise GemcliError("BASE_URL", f"{name} is not a URL: {_without_user(url)!r}") from None
    if host and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        return urlunsplit(parts)
    raise GemcliError(
        "BASE_URL",
        f"{name}={_without_user(url)} would send the key and the conversation unprotected",
    )


def _without_user(url: str) -> str:
    """A URL that was refused, as it may be printed.

    Without the user and the password that may be in it.

    Everything up to the last `@` goes: in what is no good URL, a password may reach beyond its
    place.
    """
    return re.sub(
        r"^([a-z]*://|//)?.*@", lambda match: match[1] or "", url, flags=re.DOTALL | re.IGNORECASE
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
