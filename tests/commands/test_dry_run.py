"""`gemcli send --dry-run`: the request as it would go out, and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from typing import Any

import pytest

from tests.builders import contents, header, request, response, turn, write_session
from tests.support import InProcess, Model


@pytest.fixture
def here(here: InProcess) -> InProcess:
    """The program in this process, without a key unless the test has a scripted model."""
    here.env.setdefault("GEMCLI_MODEL", "gemini-test")
    return here


def shown(here: InProcess, *options: str) -> dict[str, Any]:
    """What a dry run of `hello` in session `a` prints."""
    (document,) = here.ok("send", "-s", "a", "hello", "--dry-run", *options)
    assert isinstance(document, dict)
    return document


def test_without_key_and_network(here: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run needs no key and opens no socket: it prints method, URL and body, and the session stays as it is."""
    here.ok("new", "-s", "a")
    path = here.session("a")
    before = path.read_bytes()
    opened: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: opened.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_more: opened.append(args))
    document = shown(here)
    assert opened == []
    assert document == {
        "session": "a",
        "model": "gemini-test",
        "backend": "gemini",
        "method": "POST",
        "url": "https://generativelanguage.googleapis.com/v1/models/gemini-test:streamGenerateContent?alt=sse",
        "body": {"contents": contents("hello"), "generationConfig": {}},
        "notes": [],
    }
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.jsonl"]


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--stream"],
        ["--model", "gemini-other"],
        ["--temperature", "0.3", "--system", "Only this", "--stop", "END"],
        ["--thinking-budget", "0", "--safety", "harassment=none"],
    ],
    ids=["plain", "stream", "model", "config", "more-config"],
)
def test_exactly_what_a_send_puts_on_the_wire(here: InProcess, model: Model, options: list[str]) -> None:
    """URL and body of a dry run are those of the same command without --dry-run, to the order of the keys."""
    here.ok("new", "-s", "a", "--system", "Be brief", "--top-p", "0.5")
    here.ok("send", "-s", "a", "Grüße 😀\n\ud7ff")
    document = shown(here, *options)
    assert len(model.requests) == 1
    here.ok("send", "-s", "a", "hello", *options)
    assert json.dumps(document["body"]) == json.dumps(model.requests[1])
    assert document["url"] == model.url + model.targets[1]


NOWHERE = {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere"}
GOOGLE, GEMINI = {"GOOGLE_API_KEY": "secret"}, {"GEMINI_API_KEY": "secret"}
VERTEX = ["--project", "p", "--location", "europe-west4"]
MODEL = "publishers/google/models/gemini-test"
AT_PLACE = f"https://europe-west4-aiplatform.googleapis.com/v1beta1/projects/p/locations/europe-west4/{MODEL}"
OWN = {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9/a/b", "GOOGLE_GENAI_API_VERSION": "v1beta"}
URLS: dict[str, tuple[list[str], dict[str, str], str, str]] = {
    "base-url": ([], OWN, "gemini", "http://127.0.0.1:9/a/b/v1beta/models/gemini-test"),
    "simulator": (["--model", "simulator/echo"], {}, "simulator", "/models/simulator/echo"),
    "vertex": (VERTEX, NOWHERE, "vertex", AT_PLACE),
    "vertex-google-key": (VERTEX, NOWHERE | GOOGLE, "vertex", AT_PLACE),
    "vertex-gemini-key": (VERTEX, NOWHERE | GEMINI, "vertex", AT_PLACE),
    "express": (["--backend", "vertex"], GOOGLE, "vertex", f"https://aiplatform.googleapis.com/v1beta1/{MODEL}"),
}
"""Options of `new`, the environment, and the backend and URL that a dry run shows without its last word."""


@pytest.mark.parametrize(("options", "env", "backend", "url"), URLS.values(), ids=URLS)
def test_the_url(here: InProcess, options: list[str], env: dict[str, str], backend: str, url: str) -> None:
    """It has base URL, API version, project and location; no credentials are needed, no port is tried, no key shown."""
    here.env |= env
    here.ok("new", "-s", "a", *options)
    document = shown(here)
    assert document["backend"] == backend
    assert document["url"].endswith(f"{url}:streamGenerateContent?alt=sse")
    assert document["url"].startswith(url) or backend == "simulator"
    assert "secret" not in json.dumps(document)
    assert "text" not in document


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
@pytest.mark.parametrize(
    "backend", [[], ["--backend", "vertex"], ["--project", "p"]], ids=["gemini", "express", "vertex"]
)
def test_no_key_is_shown(
    here: InProcess, monkeypatch: pytest.MonkeyPatch, backend: list[str], debug: list[str]
) -> None:
    """Keys that are set are nowhere in what a dry run prints, on neither stream."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, f"secret-{name}")
    here.ok("new", "-s", "a", *backend)
    done = here("send", "-s", "a", "hello", "--dry-run", *debug)
    assert (done.status, "secret" in done.out + done.err) == (0, False)


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
@pytest.mark.parametrize(
    ("backend", "path"),
    [([], "v1/models/"), (["--backend", "vertex"], "v1beta1/publishers/google/models/")],
    ids=["gemini", "express"],
)
def test_no_password_is_shown(here: InProcess, backend: list[str], path: str, debug: list[str]) -> None:
    """The URL is shown without the user and the password that the base URL has; the rest of it is whole."""
    for name in ("GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"):
        here.env[name] = "https://user:PASSW@example.com:8443/a@b/"
    here.env["GOOGLE_API_KEY"] = "k"
    here.ok("new", "-s", "a", *backend)
    done = here("send", "-s", "a", "hello", "--dry-run", *debug)
    assert (done.status, "PASSW" in done.out + done.err, "user:" in done.out + done.err) == (0, False, False)
    assert (
        json.loads(done.out)["url"] == f"https://example.com:8443/a@b/{path}gemini-test:streamGenerateContent?alt=sse"
    )


def test_while_another_process_has_the_session(here: InProcess) -> None:
    """A dry run takes no lock: it works at once while the session is in use."""
    here.ok("new", "-s", "a")
    path = here.session("a")
    with path.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert shown(here)["body"]["contents"] == contents("hello")


def test_a_session_that_cannot_be_written(here: InProcess) -> None:
    """A dry run only reads: a torn tail and a request in doubt are left as they are."""
    path = write_session("a", header("gemini-test"), *turn(1), request(2, "lost"))
    path.write_bytes(path.read_bytes() + b'{"kind":"resp')
    before = path.read_bytes()
    done = here("send", "-s", "a", "hello", "--dry-run")
    assert done.json["body"]["contents"] == contents("question 1", "answer 1", "hello")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["-s", "nope", "hello"], 66, "SESSION_MISSING"),
        (["-s", "a", " "], 2, "EMPTY_MESSAGE"),
        (["-s", "a", "hello", "--temperature", "warm"], 2, "SETTINGS"),
        (["-s", "a", "hello", "--model", "../x"], 2, "MODEL_NAME"),
        (["-s", "a", "hello", "--max-turns", "0"], 12, "TOO_MANY_TURNS"),
        (["-s", "open", "hello"], 65, "OPEN_CALL"),
    ],
    ids=["missing", "empty", "setting", "model", "turns", "open-call"],
)
def test_what_a_send_would_refuse(here: InProcess, arguments: list[str], status: int, reason: str) -> None:
    """What a real send refuses before it sends, a dry run refuses with the same status."""
    write_session("a", header("gemini-test"))
    write_session(
        "open", header("gemini-test"), request(1, "q"), response(1, {"functionCall": {"name": "f", "args": {}}})
    )
    here.env["GEMINI_API_KEY"] = "k"
    dry = here.failed("send", *arguments, "--dry-run")
    assert (dry.status, dry.out, dry.error["reason"]) == (status, "", reason)
    assert here.failed("send", *arguments).error["message"] == dry.error["message"]
