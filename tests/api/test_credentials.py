"""Endpoint: which key, which address and which project a request would use, and what is refused before it is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemcli.api.backends import Backend
from gemcli.api.endpoint import SIMULATOR_URL, Endpoint, endpoint_for, endpoint_without_key
from gemcli.errors import GemcliError

GEMINI, VERTEX = Backend("gemini"), Backend("vertex")
KEY = {"GEMINI_API_KEY": "k"}


def reach(backend: Backend, environ: dict[str, str]) -> Endpoint:
    """The way to a backend, about which there is nothing to note."""
    notes: list[str] = []
    found = endpoint_for(backend, environ, notes.append)
    assert notes == []
    return found


def refused(backend: Backend, environ: dict[str, str]) -> GemcliError:
    """The error of an environment that has no way to a backend."""
    with pytest.raises(GemcliError) as caught:
        reach(backend, environ)
    return caught.value


# Keys


@pytest.mark.parametrize("name", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_either_key_will_do(name: str) -> None:
    """One key is enough, under either name, and an empty variable is as good as none."""
    assert reach(GEMINI, {"GOOGLE_API_KEY": "", "GEMINI_API_KEY": "", name: "k"}) == Endpoint(GEMINI, "k", None, None)


def test_two_different_keys_are_noted() -> None:
    """GOOGLE_API_KEY wins as in the SDK; a note says so, without either key."""
    notes: list[str] = []
    found = endpoint_for(GEMINI, {"GOOGLE_API_KEY": "one", "GEMINI_API_KEY": "other"}, notes.append)
    assert found.key == "one"
    assert notes == ["GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used"]


def test_the_same_key_twice_is_no_matter() -> None:
    """The same key under both names is not worth a note."""
    assert reach(GEMINI, {"GOOGLE_API_KEY": "k", "GEMINI_API_KEY": "k"}).key == "k"


@pytest.mark.parametrize("environ", [{}, {"GEMINI_API_KEY": ""}, {"GOOGLE_CLOUD_PROJECT": "p"}], ids=str)
def test_no_key(environ: dict[str, str]) -> None:
    """Without a key there is no way to the Gemini API, and the simulator is not taken in its place."""
    assert refused(GEMINI, environ).reason == "NO_KEY"


@pytest.mark.parametrize("key", ["a b", "a\n", "\n", '"k\x7f', "schlüssel", "k\u200b"], ids=ascii)
@pytest.mark.parametrize("name", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_a_key_that_cannot_be_one(name: str, key: str) -> None:
    """A key that a header cannot hold is refused here; the message names the variable and not the key."""
    error = refused(GEMINI, {name: key})
    assert (error.reason, error.message) == ("BAD_KEY", f"{name} holds characters that no key has")


# Base URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a/b",
        "HTTPS://example.com",
        "http://127.0.0.1:8000",
        "http://127.9.9.9",
        "http://[::1]:8000/x",
        "http://localhost:1",
        "http://LOCALHOST",
    ],
)
@pytest.mark.parametrize(
    ("backend", "name"), [(GEMINI, "GOOGLE_GEMINI_BASE_URL"), (Backend("vertex", "p"), "GOOGLE_VERTEX_BASE_URL")]
)
def test_base_urls(backend: Backend, name: str, url: str) -> None:
    """HTTPS goes anywhere, plain HTTP to this machine only; blanks around the URL are no part of it."""
    found = reach(backend, {**KEY, name: f" {url}\n"}).base_url
    assert found is not None
    assert found.lower() == url.lower()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://10.0.0.1",
        "http://0.0.0.0:80",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com",
        "http://127.0.0.1.example.com",
        "http://[::2]",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "127.0.0.1:8000",
        "//127.0.0.1",
        "https://",
        "https:/example.com",
        "https://example.com:port",
        "https://example.com:99999",
        "http://[::1",
        "x",
    ],
)
@pytest.mark.parametrize(
    ("backend", "name"), [(GEMINI, "GOOGLE_GEMINI_BASE_URL"), (Backend("vertex", "p"), "GOOGLE_VERTEX_BASE_URL")]
)
def test_base_urls_that_are_refused(backend: Backend, name: str, url: str) -> None:
    """What would carry the key unprotected, or is no URL, is refused by the variable's name."""
    error = refused(backend, {**KEY, name: url})
    assert error.reason == "BASE_URL"
    assert name in error.message


@pytest.mark.parametrize(
    ("url", "told"),
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
def test_no_password_in_what_is_refused(url: str, told: str) -> None:
    """The error about a base URL quotes it without user and password, however badly it is written."""
    error = refused(GEMINI, {**KEY, "GOOGLE_GEMINI_BASE_URL": url})
    assert error.reason == "BASE_URL"
    assert told in error.message
    assert not any(word in error.message for word in ("user", "PA", "SSW", "@"))


def test_a_password_in_the_url_is_kept() -> None:
    """User and password of a base URL that is used are left in it: the server may want them."""
    url = "https://user:PASSW@example.com/x"
    assert reach(GEMINI, {**KEY, "GOOGLE_GEMINI_BASE_URL": url}).base_url == url


@pytest.mark.parametrize("url", ["", " "], ids=repr)
def test_no_base_url_is_the_api_itself(url: str) -> None:
    """An empty variable leaves the address to the SDK."""
    assert reach(GEMINI, {**KEY, "GOOGLE_GEMINI_BASE_URL": url}).base_url is None


def test_each_backend_has_its_own_base_url() -> None:
    """The address of one backend is never used for the other, which would get the wrong credentials."""
    both = {**KEY, "GOOGLE_GEMINI_BASE_URL": "https://g.test", "GOOGLE_VERTEX_BASE_URL": "https://v.test"}
    assert reach(GEMINI, both).base_url == "https://g.test"
    assert reach(Backend("vertex", "p"), both).base_url == "https://v.test"


@pytest.mark.parametrize("backend", [GEMINI, Backend("vertex", "p"), Backend("simulator")], ids=lambda one: one.name)
def test_api_version(backend: Backend) -> None:
    """GOOGLE_GENAI_API_VERSION holds for every backend; empty, it is the SDK's choice."""
    assert reach(backend, {**KEY, "GOOGLE_GENAI_API_VERSION": "v1"}).api_version == "v1"
    assert reach(backend, {**KEY, "GOOGLE_GENAI_API_VERSION": ""}).api_version is None


# Vertex AI


@pytest.mark.parametrize(
    ("backend", "environ", "placed"),
    [
        (Backend("vertex", "p", "l"), {}, ("p", "l")),
        (Backend("vertex", "p"), {}, ("p", "global")),
        (VERTEX, {"GOOGLE_CLOUD_PROJECT": "e"}, ("e", "global")),
        (VERTEX, {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "here"}, ("e", "here")),
        (Backend("vertex", "p", "l"), {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "here"}, ("p", "l")),
        (Backend("vertex", None, "l"), {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "here"}, ("e", "l")),
    ],
    ids=["session", "default-location", "project", "environment", "session-wins", "half"],
)
def test_project_and_location(backend: Backend, environ: dict[str, str], placed: tuple[str, str]) -> None:
    """Project and location are the session's, then the environment's; without a location it is `global`."""
    found = reach(backend, environ)
    assert (found.backend.project, found.backend.location) == placed
    assert found.key is None


def test_a_project_needs_no_key() -> None:
    """With a project the Google Cloud credentials count, and a key in the environment is not used."""
    environ = {"GOOGLE_API_KEY": "k", "GEMINI_API_KEY": "g", "GOOGLE_CLOUD_PROJECT": "p"}
    assert reach(VERTEX, environ).key is None


def test_express_mode() -> None:
    """Without a project, GOOGLE_API_KEY is the key of express mode."""
    found = reach(VERTEX, {"GOOGLE_API_KEY": "k"})
    assert (found.key, found.backend.project) == ("k", None)


def test_express_mode_checks_its_key() -> None:
    """A key that cannot be one is refused for express mode as well."""
    assert refused(VERTEX, {"GOOGLE_API_KEY": "a b"}).reason == "BAD_KEY"


@pytest.mark.parametrize("environ", [{}, KEY, {"GOOGLE_CLOUD_LOCATION": "l"}], ids=["none", "gemini-key", "location"])
def test_no_project(environ: dict[str, str]) -> None:
    """Vertex AI without project and express key is refused; a key of the Gemini API is none."""
    error = refused(VERTEX, environ)
    assert (error.reason, error.exit) == ("NO_PROJECT", 78)


# The simulator, and requests that are only looked at


def test_the_simulator_knows_no_key() -> None:
    """The simulator is given neither the key nor the address of the environment."""
    environ = {"GEMINI_API_KEY": "secret", "GOOGLE_GEMINI_BASE_URL": "https://example.com"}
    found = reach(Backend("simulator"), environ)
    assert (found.key, found.base_url) == ("simulator", SIMULATOR_URL)
    assert found.simulator is not None


def test_rules_are_read_when_they_are_needed(tmp_path: Path) -> None:
    """The rules file of the simulator is read here, and what is wrong with it is said with its line."""
    rules = tmp_path / "r.yaml"
    backend = Backend("simulator", rules=str(rules))
    assert refused(backend, {}).reason == "FILE_MISSING"
    rules.write_text("rules:\n  - answer: hello\n    reply: x\n")
    error = refused(backend, {})
    assert (error.reason, [problem.line for problem in error.problems]) == ("SETTINGS", [3])
    rules.write_text("rules:\n  - answer: hello\n")
    assert reach(backend, {}).simulator is not None


@pytest.mark.parametrize("backend", [GEMINI, VERTEX, Backend("vertex", "p")], ids=["gemini", "express", "vertex"])
@pytest.mark.parametrize(
    "environ",
    [{}, {"GOOGLE_API_KEY": "secret", "GEMINI_API_KEY": "private"}, {"GEMINI_API_KEY": "b a d"}],
    ids=["none", "two", "bad"],
)
def test_without_key(backend: Backend, environ: dict[str, str]) -> None:
    """A request that is only looked at needs no key, sees none, and has nothing to say about those that are set."""
    before = dict(environ)
    found = endpoint_without_key(backend, environ)
    assert found.key in ("no-key", None)
    assert environ == before


def test_without_key_keeps_the_rest() -> None:
    """Address, version and project of a request that is only looked at are those of a real one."""
    environ = {
        "GOOGLE_VERTEX_BASE_URL": "https://v.test",
        "GOOGLE_GENAI_API_VERSION": "v1",
        "GOOGLE_CLOUD_PROJECT": "p",
        "GOOGLE_CLOUD_LOCATION": "l",
    }
    assert endpoint_without_key(VERTEX, environ) == reach(VERTEX, environ)
    with pytest.raises(GemcliError, match="unprotected"):
        endpoint_without_key(GEMINI, {"GOOGLE_GEMINI_BASE_URL": "http://example.com"})
