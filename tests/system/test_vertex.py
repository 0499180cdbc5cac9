"""Vertex AI: real Google Cloud credentials of a service account, against a stand-in on loopback."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gemcli.api import backends
from gemcli.simulator.server import serve
from gemcli.simulator.simulated_api import Reply, json_reply, simulate
from tests.builders import header, records_of, session_file
from tests.support import InProcess
from tests.system import free_port

GENERATE = "/v1beta1/projects/p1/locations/global/publishers/google/models/gemini-test:streamGenerateContent?alt=sse"


class Cloud:
    """Vertex AI and the token endpoint of Google Cloud in one server, which remembers what it was asked."""

    def __init__(self) -> None:
        self.grants: list[str] = []
        self.targets: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[Any] = []
        self.replies: list[Reply] = []
        self.token = json_reply({"access_token": "the-token", "expires_in": 3600, "token_type": "Bearer"})

    def __call__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Grant a token, or answer a request of the model."""
        if target == "/token":
            self.grants += parse_qs(body.decode())["grant_type"]
            return self.token
        self.targets.append(target)
        self.headers.append({name.lower(): value for name, value in headers.items()})
        self.bodies.append(json.loads(body))
        if self.replies:
            return self.replies.pop(0)
        return simulate(method, f"/v1beta/models/simulator/echo:{target.rpartition(':')[2]}", headers, body)


@pytest.fixture(scope="session")
def private_key() -> str:
    """The private key of a service account."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


def account(path: Path, private_key: str, token_uri: str) -> str:
    """A file with a service account whose tokens come from `token_uri`; its path."""
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "of-the-account",
                "private_key_id": "1",
                "private_key": private_key,
                "client_email": "someone@of-the-account.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": token_uri,
            }
        )
    )
    return str(path)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str) -> Iterator[Cloud]:
    """A running stand-in, and an environment with credentials for it. No project is set."""
    running = Cloud()
    with serve(running) as server:
        monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", server.url)
        file = account(tmp_path / "a.json", private_key, f"{server.url}/token")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
        monkeypatch.setenv("GEMCLI_MODEL", "gemini-test")
        monkeypatch.setenv("NO_GCE_CHECK", "true")  # no look at the network for the credentials of a machine
        yield running


# Requests


def test_a_request(here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request goes to the project's path with a token of the credentials, and no API key goes with it."""
    monkeypatch.setenv("GOOGLE_API_KEY", "secret-key")
    monkeypatch.setenv("GEMINI_API_KEY", "private-key")
    here.ok("new", "-s", "a", "--backend", "vertex", "--project", "p1", "--location", "europe-west4")
    told = here.ok("send", "-s", "a", "hello", "--retries", "0")[0]
    assert (told["text"] != "", told["saved"], cloud.grants) == (
        True, True, ["urn:ietf:params:oauth:grant-type:jwt-bearer"],
    )  # fmt: skip
    assert cloud.targets == [GENERATE.replace("global", "europe-west4")]
    assert cloud.headers[0]["authorization"] == "Bearer the-token"
    assert "x-goog-api-key" not in cloud.headers[0]
    assert not any("-key" in value for value in cloud.headers[0].values())
    assert cloud.bodies[0]["contents"] == [{"role": "user", "parts": [{"text": "hello"}]}]
    first, request, _ = records_of("a")
    assert (first["backend"], first["project"], first["location"]) == ("vertex", "p1", "europe-west4")
    assert request["backend"] == "vertex"
    assert b"the-token" not in session_file("a").read_bytes()


def test_a_stream(here: InProcess, cloud: Cloud) -> None:
    """--stream asks streamGenerateContent for events, and records one answer."""
    here.ok("new", "-s", "a", "--project", "p1")
    *chunks, final = here.ok("send", "-s", "a", "--stream", "hello")
    assert cloud.targets == [GENERATE]
    assert cloud.headers[0]["authorization"] == "Bearer the-token"
    assert "".join(chunk["text"] for chunk in chunks) == final["text"] != ""
    assert [record["kind"] for record in records_of("a")] == ["session", "request", "response"]


# The environment


@pytest.mark.parametrize("name", ["GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"])
def test_the_names_of_the_environment(
    here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The variables of the SDK choose backend, project, location and API version."""
    for variable, value in (
        (name, "true"),
        ("GOOGLE_CLOUD_PROJECT", "p2"),
        ("GOOGLE_CLOUD_LOCATION", "us-east1"),
        ("GOOGLE_GENAI_API_VERSION", "v1"),
    ):
        monkeypatch.setenv(variable, value)
    here.ok("new", "-s", "a")
    here.ok("send", "-s", "a", "hello")
    path = "/v1/projects/p2/locations/us-east1/publishers/google/models/gemini-test:streamGenerateContent?alt=sse"
    assert cloud.targets == [path]
    assert records_of("a")[0]["backend"] == "vertex"


@pytest.mark.parametrize("enterprise", [None, "true", "TRUE", "1", "false", "yes"])
@pytest.mark.parametrize("vertexai", [None, "", "true", "1", "0"])
def test_the_choice_of_the_sdk(monkeypatch: pytest.MonkeyPatch, vertexai: str | None, enterprise: str | None) -> None:
    """Whatever the two variables say together, a new session gets the backend that the SDK itself would choose."""
    from google import genai

    for name, value in (("VERTEXAI", vertexai), ("ENTERPRISE", enterprise)):
        if value is not None:
            monkeypatch.setenv(f"GOOGLE_GENAI_USE_{name}", value)
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK warns when the two contradict each other
        client = genai.Client()
    with client:
        chosen = "vertex" if client.vertexai else "gemini"
    assert backends.backend_of_environment(os.environ).name == chosen


def test_the_session_wins_over_the_environment(here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session goes to its own backend, project and location although the environment names others and has a key."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "other")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "elsewhere")
    here.ok("new", "-s", "a", "--project", "p1", "--location", "global")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "false")
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    here.ok("send", "-s", "a", "hello")
    assert cloud.targets == [GENERATE]


def test_a_session_of_gemini_stays_there(here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session made for the Gemini API goes there with its key although the environment says Vertex AI by now."""
    here.ok("new", "-s", "a")
    for variable, value in (("USE_VERTEXAI", "true"), ("USE_ENTERPRISE", "true")):
        monkeypatch.setenv(f"GOOGLE_GENAI_{variable}", value)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p1")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", os.environ["GOOGLE_VERTEX_BASE_URL"])
    monkeypatch.setenv("GEMINI_API_KEY", "the-key")
    here.ok("send", "-s", "a", "hello")
    assert cloud.targets == ["/v1/models/gemini-test:streamGenerateContent?alt=sse"]
    assert cloud.headers[0]["x-goog-api-key"] == "the-key"
    assert "authorization" not in cloud.headers[0]
    assert (records_of("a")[0]["backend"], cloud.grants) == ("gemini", [])


def test_a_fork_keeps_project_and_location(here: InProcess, cloud: Cloud) -> None:
    """A fork is at the place of its source; another location leaves the project, and another backend has neither."""
    here.ok("new", "-s", "a", "--project", "p1", "--location", "l1")
    here.ok("new", "-s", "b", "--from", "a")
    here.ok("new", "-s", "c", "--from", "a", "--location", "l2")
    place = [(records_of(name)[0].get("project"), records_of(name)[0].get("location")) for name in "bc"]
    assert place == [("p1", "l1"), ("p1", "l2")]
    here.ok("new", "-s", "d", "--from", "a", "--backend", "gemini")
    first = records_of("d")[0]
    assert (first["backend"], "project" in first, "location" in first) == ("gemini", False, False)


# Express mode


def test_express_mode(here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """With GOOGLE_API_KEY and no project the key goes with a path that names none; nobody asks for a token."""
    monkeypatch.setenv("GOOGLE_API_KEY", "express-key")
    here.ok("new", "-s", "a", "--backend", "vertex")
    here.ok("send", "-s", "a", "hello")
    assert cloud.targets == ["/v1beta1/publishers/google/models/gemini-test:streamGenerateContent?alt=sse"]
    assert cloud.headers[0]["x-goog-api-key"] == "express-key"
    assert ("authorization" in cloud.headers[0], cloud.grants) == (False, [])
    assert b"express-key" not in session_file("a").read_bytes()


# What is refused


def failed_send(here: InProcess, *more: str) -> tuple[int, Any]:
    """Status and error of a message that brings no answer; nothing is printed."""
    done = here.failed("send", "-s", "a", "hello", "--retries", "0", *more)
    assert done.out == ""
    return done.status, done.error


def test_no_project(here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without project and express key it is 78 with the variable to set; nothing is asked, nothing is written."""
    monkeypatch.setenv("GEMINI_API_KEY", "of-the-other-backend")
    here.ok("new", "-s", "a", "--backend", "vertex")
    before = session_file("a").read_bytes()
    status, error = failed_send(here)
    assert (status, error["reason"]) == (78, "NO_PROJECT")
    assert "GOOGLE_CLOUD_PROJECT" in error["hint"]
    assert (cloud.targets, cloud.grants, session_file("a").read_bytes()) == ([], [], before)


EVIL_LOCATIONS = (
    *("evil.example/#", "evil.example/", "evil.example?", "user@evil.example:443/", "Us-East1", "us east1", "a" * 64),
)
EVIL_PROJECTS = ("../../x", "p/locations/global#", "p1?", "p1\n")
EVIL = [{"location": name} for name in EVIL_LOCATIONS] + [{"project": name} for name in EVIL_PROJECTS]


def somebody_elses(path: Path, place: dict[str, str]) -> str:
    """A session file that somebody else made for Vertex AI at this place; its path."""
    record = header("gemini-test", backend="vertex") | {"project": "p1"} | place
    path.write_text(json.dumps(record) + "\n")
    return str(path)


@pytest.mark.parametrize("place", EVIL, ids=str)
def test_a_session_file_does_not_choose_the_host(
    here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: dict[str, str]
) -> None:
    """A project or location in a foreign file that leads elsewhere is refused: no token is asked for, nothing sent.

    The base URL is the API's own here: with one of the user's own, location and project choose no host.
    """
    monkeypatch.delenv("GOOGLE_VERTEX_BASE_URL")
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    file = somebody_elses(tmp_path / "s.jsonl", place)
    (tmp_path / "script.yaml").write_text("- hello\n")
    for command in (
        ["send", "-s", file, "hello"],
        ["send", "-s", file, "hello", "--dry-run"],
        ["new", "-s", "b", "--from", file],
        ["new", "-s", "b", "--history", file],
        ["replay", str(tmp_path / "script.yaml"), "-s", file],
    ):
        done = here.failed(*command)
        assert (done.status, done.error["reason"]) == (2, f"{next(iter(place)).upper()}_NAME"), command
    assert (cloud.grants, cloud.targets) == ([], [])
    assert not session_file("b").exists()


@pytest.mark.parametrize("place", EVIL, ids=str)
def test_options_and_environment_name_sound_places(
    here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    """What is no project or location is refused where it is given too."""
    name, value = next(iter(place.items()))
    reason = {"project": "PROJECT_NAME", "location": "LOCATION_NAME"}[name]
    done = here.failed("new", "-s", "a", "--backend", "vertex", f"--{name}", value)
    assert (done.status, done.error["reason"], session_file("a").exists()) == (2, reason, False)
    here.ok("new", "-s", "a", "--backend", "vertex")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p1")
    monkeypatch.setenv(f"GOOGLE_CLOUD_{name.upper()}", value)
    status, error = failed_send(here)
    assert (status, error["reason"]) == (2, reason)
    assert (cloud.grants, cloud.targets) == ([], [])


@pytest.mark.parametrize("project", ["my-project-123", "123456789", "example.com:my-project"])
def test_projects_of_all_forms(here: InProcess, cloud: Cloud, project: str) -> None:
    """An id, a number, and an id in a domain are projects."""
    here.ok("new", "-s", "a", "--project", project)
    here.ok("send", "-s", "a", "hello")
    assert cloud.targets == [GENERATE.replace("p1", project)]


def refused(here: InProcess, cloud: Cloud, *options: str, sent: int = 0) -> tuple[int, Any]:
    """Status and error of a message that is rejected, which the record says too; the model was asked so often."""
    here.ok("new", "-s", "a", "--project", "p1")
    status, error = failed_send(here, "--deadline", "20", *options)
    last = records_of("a")[-1]
    assert (error["outcome"], last["kind"], last["outcome"]) == ("rejected", "failure", "rejected")
    assert len(cloud.targets) == sent
    return status, error


BAD_FILES = {"missing": None, "empty": "", "no-json": "{", "no-key": '{"type": "service_account"}'}


@pytest.mark.parametrize("what", ["unset", *BAD_FILES])
def test_no_credentials(
    here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    """Without usable credentials it is 77; nothing was sent, and the record says that it may be sent again."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "bad.json"))
    if what == "unset":
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    elif (text := BAD_FILES[what]) is not None:
        (tmp_path / "bad.json").write_text(text)
    status, error = refused(here, cloud)
    assert (status, error["reason"], cloud.grants) == (77, "NO_CREDENTIALS", [])


def test_a_refused_token(here: InProcess, cloud: Cloud) -> None:
    """A token endpoint that refuses the account is 77: the model was not asked, also not for a stream."""
    cloud.token = json_reply({"error": "invalid_grant", "error_description": "Account not found"}, 400)
    status, error = refused(here, cloud)
    assert (status, error["reason"], len(cloud.grants)) == (77, "NO_CREDENTIALS", 1)
    assert "invalid_grant" in error["message"]
    done = here.failed("send", "-s", "a", "hello", "--stream")
    assert (done.status, done.error["reason"], cloud.targets) == (77, "NO_CREDENTIALS", [])


def test_a_token_endpoint_that_is_down(
    here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, private_key: str
) -> None:
    """A token endpoint that cannot be reached is a failed connection, to be tried again: 75, nothing was sent."""
    file = account(tmp_path / "down.json", private_key, f"http://127.0.0.1:{free_port()}/token")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
    status, error = refused(here, cloud)
    assert (status, error["reason"], error["retryable"]) == (75, "CONNECT", True)


def test_a_busy_token_endpoint(here: InProcess, cloud: Cloud) -> None:
    """A token endpoint that answers 503 is no lack of credentials but something to try again: 75."""
    cloud.token = json_reply({"error": "internal_failure"}, 503)
    status, error = refused(here, cloud)
    assert (status, error["retryable"]) == (75, True)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_for_tokens_that_are_none(
    variable: str, here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that fetches tokens has variables of its own; one that names nothing is named: 78, nothing sent."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, "missing.pem")
    status, error = refused(here, cloud)
    assert (status, error["reason"], error["outcome"]) == (78, "TLS", "rejected")
    assert f"{variable}=missing.pem" in error["message"]
