"""Endpoints: which address, project and key a request would use, and what is refused before it is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from google import genai

from gemcli.api.backends import Backend
from gemcli.api.endpoint import SIMULATOR_URL, Endpoint, endpoint_for, endpoint_without_key
from gemcli.errors import GemcliError
from tests.builders import error_from

GEMINI, EXPRESS, VERTEX = Backend("gemini"), Backend("vertex"), Backend("vertex", "p")
KEY = {"GEMINI_API_KEY": "k"}

backends = pytest.mark.parametrize(
    ("backend", "variable"), [(GEMINI, "GOOGLE_GEMINI_BASE_URL"), (VERTEX, "GOOGLE_VERTEX_BASE_URL")]
)


def refused(backend: Backend, environ: dict[str, str]) -> GemcliError:
    """The error of an environment that has no endpoint for a backend."""
    return error_from(endpoint_for, backend, environ, pytest.fail)


# Base URLs


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com", "https://example.com:8443/a/b/", "HTTPS://example.com"),
        *("http://127.0.0.1:8000", "http://127.9.9.9", "http://[::1]:8000/x", "http://localhost:1", "http://LOCALHOST"),
    ],
)
@backends
def test_base_urls(backend: Backend, variable: str, url: str) -> None:
    """HTTPS goes anywhere, plain HTTP to this machine only; blanks around the URL are no part of it."""
    found = endpoint_for(backend, {**KEY, variable: f" {url}\n"}, pytest.fail).base_url
    assert str(found).lower() == url.lower()


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com", "http://example.com:80/x", "HTTP://EXAMPLE.COM", "http://10.0.0.1",
            "http://0.0.0.0:80"),
        *("http://localhost.example.com", "http://127.0.0.1.example.com", "http://0x7f.1.example"),
        *("http://127.0.0.1@example.com", "http://localhost:80@example.com", "http://127.0.0.1\\@example.com"),
        *("http://example.com#@127.0.0.1", "http://example.com?@localhost"),
        *("http://[::2]", "http://[::1", "http://127.0.0.256", "http://127.0.0.1:99999", "http://127.0.0.1:port"),
        *("https://", "https:///path", "https:/example.com", "https://example.com:port", "https://example.com:99999"),
        *("http://", "http:127.0.0.1", "ftp://127.0.0.1", "127.0.0.1:8080", "//127.0.0.1", "localhost", "x"),
        "file:///etc/passwd",
    ],
)  # fmt: skip
@backends
def test_base_urls_that_are_refused(backend: Backend, variable: str, url: str) -> None:
    """A URL that would carry the key unprotected, or is not a URL, is refused by the variable's name."""
    error = refused(backend, {**KEY, variable: url})
    assert (error.reason, error.exit) == ("BASE_URL", 78)
    assert variable in error.message


@pytest.mark.parametrize(
    ("url", "better"),
    [
        ("127.0.0.1:1234", "http://127.0.0.1:1234"),
        ("localhost:1234/x", "http://localhost:1234/x"),
        ("//[::1]:1", "'http://[::1]:1'"),
        ("example.com", "https://example.com"),
        ("example.com:8080", "https://example.com:8080"),
        ("user:PASSW@example.com", "https://example.com"),
    ],
)
@backends
def test_a_base_url_without_a_scheme(backend: Backend, variable: str, url: str, better: str) -> None:
    """That is what the error says, and the hint has the scheme that fits."""
    error = refused(backend, {**KEY, variable: url})
    assert error.message == f"{variable}={url.removeprefix('user:PASSW@')} has no scheme"
    assert error.hint == f"set {variable}={better}"


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha", "v1beta1", None])
@pytest.mark.parametrize("end", ["", "/"])
@backends
def test_a_version_in_the_base_url(backend: Backend, variable: str, version: str | None, end: str) -> None:
    """A proxy may have such a path, so it is used; where nothing is found there, the hint is to leave it out."""
    environ = {**KEY, variable: f"http://127.0.0.1:1/{version or 'vertex-v1'}{end}"}
    hint = endpoint_for(backend, environ, pytest.fail).hints.get("MODEL_NOT_FOUND")
    expected = f"leave /{version} out of {variable}: the version is added to it"
    assert (hint == expected) == (version is not None)


def test_which_base_url() -> None:
    """An empty variable leaves the address to the SDK, and no backend uses the other's, with the wrong credentials."""
    for url in ("", " "):
        endpoint = endpoint_for(GEMINI, {**KEY, "GOOGLE_GEMINI_BASE_URL": url}, pytest.fail)
        assert endpoint == Endpoint(GEMINI, "k", None, None, key_source="GEMINI_API_KEY")
    both = {**KEY, "GOOGLE_GEMINI_BASE_URL": "https://g.test", "GOOGLE_VERTEX_BASE_URL": "https://v.test"}
    assert endpoint_for(GEMINI, both, pytest.fail).base_url == "https://g.test"
    assert endpoint_for(VERTEX, both, pytest.fail).base_url == "https://v.test"


def test_a_password_in_the_url() -> None:
    """User and password of a base URL stay in it, since the server may want them; an error quotes it without."""
    url = "https://user:PASSW@example.com/x"
    assert endpoint_for(GEMINI, {**KEY, "GOOGLE_GEMINI_BASE_URL": url}, pytest.fail).base_url == url
    told = "GOOGLE_GEMINI_BASE_URL=http://example.com/x would send the key and the conversation unprotected"
    assert refused(GEMINI, {**KEY, "GOOGLE_GEMINI_BASE_URL": url.replace("https", "http")}).message == told


@pytest.mark.parametrize(("value", "version"), [("v1", "v1"), ("", None)])
@pytest.mark.parametrize("backend", [GEMINI, VERTEX, Backend("simulator")], ids=lambda backend: backend.name)
def test_api_version(backend: Backend, value: str, version: str | None) -> None:
    """GOOGLE_GENAI_API_VERSION holds for every backend; empty, it is the SDK's choice."""
    environ = {**KEY, "GOOGLE_GENAI_API_VERSION": value}
    assert endpoint_for(backend, environ, pytest.fail).api_version == version


@pytest.mark.parametrize("value", ["beta", "v1", "v1beta", "v1alpha", ""])
@pytest.mark.parametrize("backend", [GEMINI, VERTEX], ids=lambda backend: backend.name)
def test_api_version_as_the_sdk_reads_it(backend: Backend, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version names what it names for a client of the SDK: `beta` is the newest one of the backend."""
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", value)
    vertex = backend.name == "vertex"
    client = genai.Client(vertexai=vertex, api_key="x")
    expected = client._api_client._http_options.api_version
    ours = endpoint_for(backend, {**KEY, "GOOGLE_GENAI_API_VERSION": value}, pytest.fail).api_version
    assert ours == (expected if value else None)


@pytest.mark.parametrize("value", ["v1/../evil", "v1?x=", "v1#", "v1 ", "http://x"])
def test_what_is_no_api_version(value: str) -> None:
    """A version that would make another URL is refused."""
    error = refused(GEMINI, {**KEY, "GOOGLE_GENAI_API_VERSION": value})
    assert (error.reason, error.exit) == ("BASE_URL", 78)
    assert repr(value) in error.message


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("", "check the model's name, or set GOOGLE_GENAI_API_VERSION=v1beta for more models"),
        ("v1beta", "check the model's name, and whether GOOGLE_GENAI_API_VERSION=v1beta has it"),
    ],
)
def test_hint_for_an_unknown_model(version: str, hint: str) -> None:
    """What is recommended is not set already."""
    environ = {**KEY, "GOOGLE_GENAI_API_VERSION": version}
    assert endpoint_for(GEMINI, environ, pytest.fail).hints["MODEL_NOT_FOUND"] == hint


# Vertex AI

PLACE = {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "here"}


@pytest.mark.parametrize(
    ("backend", "environ", "place"),
    [
        (Backend("vertex", "p", "l"), {}, ("p", "l")),
        (Backend("vertex", "p"), {}, ("p", "global")),
        (EXPRESS, {"GOOGLE_CLOUD_PROJECT": "e"}, ("e", "global")),
        (EXPRESS, PLACE, ("e", "here")),
        (Backend("vertex", "p", "l"), PLACE, ("p", "l")),
        (Backend("vertex", None, "l"), PLACE, ("e", "l")),
    ],
    ids=["session", "default-location", "project", "environment", "session-wins", "half"],
)
def test_project_and_location(backend: Backend, environ: dict[str, str], place: tuple[str, str]) -> None:
    """Project and location are the session's, then the environment's; with a project no key is used."""
    endpoint = endpoint_for(backend, {**KEY, "GOOGLE_API_KEY": "k", **environ}, pytest.fail)
    assert (endpoint.backend.project, endpoint.backend.location) == place
    assert endpoint.key is None


def test_express_mode() -> None:
    """Without a project, GOOGLE_API_KEY is the key of express mode, and without it there is no endpoint."""
    endpoint = endpoint_for(EXPRESS, {"GOOGLE_API_KEY": "k"}, pytest.fail)
    assert (endpoint.key, endpoint.backend.project) == ("k", None)
    assert refused(EXPRESS, KEY).reason == "NO_PROJECT"


# The simulator, and requests that are only shown


def test_the_simulator_knows_no_key() -> None:
    """The simulator is given neither the key nor the address of the environment."""
    environ = {"GEMINI_API_KEY": "secret", "GOOGLE_GEMINI_BASE_URL": "https://example.com"}
    endpoint = endpoint_for(Backend("simulator"), environ, pytest.fail)
    assert (endpoint.key, endpoint.base_url) == ("simulator", SIMULATOR_URL)
    assert endpoint.simulator is not None


def test_rules_are_read_when_they_are_needed(tmp_path: Path) -> None:
    """The rules file of the simulator is read here, and an error in it has its line."""
    rules = tmp_path / "r.yaml"
    backend = Backend("simulator", rules=str(rules))
    assert refused(backend, {}).reason == "FILE_MISSING"
    rules.write_text("rules:\n  - answer: hello\n    reply: x\n")
    error = refused(backend, {})
    assert (error.reason, [problem.line for problem in error.problems]) == ("SETTINGS", [3])
    rules.write_text("rules:\n  - answer: hello\n")
    assert endpoint_for(backend, {}, pytest.fail).simulator is not None


@pytest.mark.parametrize("backend", [GEMINI, EXPRESS, VERTEX], ids=["gemini", "express", "vertex"])
def test_without_key(backend: Backend) -> None:
    """A request that is only shown needs no key and sees none."""
    for environ in ({}, {"GOOGLE_API_KEY": "secret", "GEMINI_API_KEY": "private"}, {"GEMINI_API_KEY": "b a d"}):
        before = dict(environ)
        assert endpoint_without_key(backend, environ).key in ("no-key", None)
        assert environ == before


def test_without_key_keeps_the_rest() -> None:
    """Address, version and project of a request that is only shown are those of a real one."""
    environ = {**PLACE, "GOOGLE_VERTEX_BASE_URL": "https://v.test", "GOOGLE_GENAI_API_VERSION": "v1"}
    assert endpoint_without_key(EXPRESS, environ) == endpoint_for(EXPRESS, environ, pytest.fail)
    assert refused(EXPRESS, {**environ, "GOOGLE_VERTEX_BASE_URL": "http://example.com"}).reason == "BASE_URL"
