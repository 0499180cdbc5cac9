"""Endpoints: where requests go and with which key, taken from the environment and checked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from gemcli.api.backends import SIMULATOR, Backend, check_project_and_location
from gemcli.api.credentials import express_key, gemini_key
from gemcli.api.secrets import without_user_if_invalid
from gemcli.errors import GemcliError, ReasonName

if TYPE_CHECKING:
    from gemcli.simulator.simulated_api import SimulatedApp

SIMULATOR_URL = "http://simulator.invalid"
"""The base URL of the simulator: no lookup finds this name, should a socket ever be opened."""


@dataclass(frozen=True)
class Endpoint:
    """Everything that a client of the SDK is made from.

    Without a `key`, Google Cloud credentials are used; without a `base_url` or an `api_version`,
    those of the SDK. `key_source` is the variable or the file that holds the key, `base_variable`
    the one that holds the base URL, `simulator` the application that answers in this process.
    """

    backend: Backend
    key: str | None
    base_url: str | None = None
    api_version: str | None = None
    simulator: SimulatedApp | None = None
    key_source: str | None = None
    base_variable: str | None = None

    @property
    def hints(self) -> dict[ReasonName, str]:
        """What to do about errors that depend on where requests go."""
        hints: dict[ReasonName, str] = {}
        if self.key_source:
            key = f"put a valid key into {self.key_source}"
            hints |= {"API_KEY_INVALID": key, "UNAUTHENTICATED": key}
        if self.base_variable:
            where = f"check {self.base_variable} and the network; nothing was sent"
            hints |= {"CONNECT": where, "DNS": where, "CONNECT_TIMEOUT": where}
        if version := _version_in(self.base_url):
            # Not refused: there may be a proxy that has its API at such a path.
            hints["MODEL_NOT_FOUND"] = (
                f"leave {version} out of {self.base_variable}: the version is added to it"
            )
        elif self.api_version is None and self.backend.name == "gemini":
            newer = "set GOOGLE_GENAI_API_VERSION=v1beta for more models"
            hints["MODEL_NOT_FOUND"] = f"check the model's name, or {newer}"
        elif self.api_version:
            hints["MODEL_NOT_FOUND"] = (
                "check the model's name, and whether GOOGLE_GENAI_API_VERSION="
                f"{self.api_version} has it"
            )
        return hints


def endpoint_for(
    backend: Backend, environ: Mapping[str, str], notice: Callable[[str], None]
) -> Endpoint:
    """The endpoint of `backend`. Raises `GemcliError` if something is missing or invalid."""
    version = _api_version(backend, environ)
    if backend.name == SIMULATOR:
        return Endpoint(backend, "simulator", SIMULATOR_URL, version, _simulator(backend.rules))
    if backend.name == "vertex":
        project = backend.project or environ.get("GOOGLE_CLOUD_PROJECT") or None
        location = backend.location or environ.get("GOOGLE_CLOUD_LOCATION") or "global"
        check_project_and_location(project, location)
        backend = replace(backend, project=project, location=location)
        key = None if project else express_key(environ)
        variable = "GOOGLE_VERTEX_BASE_URL"
    else:
        key = gemini_key(environ, notice)
        variable = "GOOGLE_GEMINI_BASE_URL"
    base_url = check_base_url(environ.get(variable, ""), variable)
    return Endpoint(
        backend,
        key.text if key else None,
        base_url,
        version,
        key_source=key.source if key else None,
        base_variable=variable if base_url else None,
    )


def endpoint_without_key(backend: Backend, environ: Mapping[str, str]) -> Endpoint:
    """`endpoint_for` for a request that is only shown: no key is needed, and none is used."""
    stand_in = {**environ, "GOOGLE_API_KEY": "no-key", "GEMINI_API_KEY": ""}
    return endpoint_for(backend, stand_in, lambda _message: None)


def _api_version(backend: Backend, environ: Mapping[str, str]) -> str | None:
    version = environ.get("GOOGLE_GENAI_API_VERSION") or None
    if version == "beta":  # as the SDK reads it
        return "v1beta1" if backend.name == "vertex" else "v1beta"
    if version and not re.fullmatch(r"[A-Za-z0-9._-]+", version):
        what = f"GOOGLE_GENAI_API_VERSION is not a version of the API: {version!r}"
        raise GemcliError("BASE_URL", what, hint="set it to v1 or v1beta")
    return version


def check_base_url(value: str, variable: str) -> str | None:
    """The base URL in `value`, None if it is empty (the API's own URL is used).

    Raises `GemcliError` (BASE_URL) unless it is https, or http to this machine.
    """
    url = value.strip()
    if not url:
        return None
    shown = without_user_if_invalid(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError for an invalid port
        without_scheme = None if _SCHEME.match(url) else urlsplit(f"//{url.lstrip('/')}")
    except ValueError:
        raise GemcliError("BASE_URL", f"{variable} is not a URL: {shown!r}") from None
    if host and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        return urlunsplit(parts)
    if without_scheme:
        scheme = "http" if _is_loopback(without_scheme.hostname or "") else "https"
        better = f"{scheme}://{shown.lstrip('/')}"
        hint = f"set {variable}={shlex.quote(better)}"
        raise GemcliError("BASE_URL", f"{variable}={shown} has no scheme", hint=hint)
    what = f"{variable}={shown} would send the key and the conversation unprotected"
    raise GemcliError("BASE_URL", what)


_SCHEME = re.compile(r"https?:|[a-z]+://", re.IGNORECASE)


def _version_in(base_url: str | None) -> str | None:
    """The version of the API that a base URL ends in, if it does."""
    found = re.search(r"/v[0-9]+(alpha|beta)?[0-9]*(?=/*$)", base_url or "")
    return found[0] if found else None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _simulator(rules: str | None) -> SimulatedApp:
    if rules is None:
        from gemcli.simulator.simulated_api import simulate

        return simulate
    from gemcli.simulator.rules_model import rules_app
    from gemcli.terminal import inputs

    text = inputs.file_text(rules)
    if not _LIKE_RULES.search(text):
        # A stranger's session may name any file of its reader: what stands in it is not quoted.
        hint = "it begins with a line `rules:`"
        raise GemcliError("SETTINGS", f"{rules} is not a rules file", hint=hint)
    return rules_app(text, rules)


_LIKE_RULES = re.compile(r"""^\s*\{?\s*["']?rules["']?\s*:""", re.MULTILINE)
