"""`gemcli send --dry-run`: the request as it would go out, and nothing else."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import asked, header, told, turn, write
from tests.support import Gemcli, Model, contents
from tests.system import Inside, clients_collected


@pytest.fixture
def inside(capfd: pytest.CaptureFixture[str]) -> Iterator[Inside]:
    """The program in this process, without a key; no connection is left to the next test."""
    with clients_collected():
        yield Inside(capfd, {"GEMCLI_MODEL": "gemini-test"})


def shown(inside: Inside, *options: str) -> dict[str, Any]:
    """What a dry run of `hello` in session `a` prints."""
    (document,) = inside.ok("send", "-s", "a", "hello", "--dry-run", *options)
    assert isinstance(document, dict)
    return document


def test_without_key_and_network(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run needs no key and opens no socket: it prints method, URL and body, and the session stays as it is."""
    inside.ok("new", "-s", "a")
    path = Path(os.environ["GEMCLI_HOME"]) / "sessions" / "a.jsonl"
    before = path.read_bytes()
    opened: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: opened.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_more: opened.append(args))
    document = shown(inside)
    assert opened == []
    assert document == {
        "session": "a",
        "model": "gemini-test",
        "backend": "gemini",
        "method": "POST",
        "url": "https://generativelanguage.googleapis.com/v1/models/gemini-test:generateContent",
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
def test_exactly_what_a_send_puts_on_the_wire(inside: Inside, model: Model, options: list[str]) -> None:
    """URL and body of a dry run are those of the same command without --dry-run, to the order of the keys."""
    inside.env |= model.env
    inside.ok("new", "-s", "a", "--system", "Be brief", "--top-p", "0.5")
    inside.ok("send", "-s", "a", "Grüße 😀\n\ud7ff")
    document = shown(inside, *options)
    assert len(model.requests) == 1
    inside.ok("send", "-s", "a", "hello", *options)
    assert json.dumps(document["body"]) == json.dumps(model.requests[1])
    assert document["url"] == model.url + model.targets[1]


def test_the_url_of_a_base_url_and_version(inside: Inside) -> None:
    """Base URL and version of the environment are in it, a path included, and a closed port is no matter."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}/a/b"
    inside.env |= {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_GENAI_API_VERSION": "v1beta"}
    inside.ok("new", "-s", "a")
    assert shown(inside)["url"] == f"{url}/v1beta/models/gemini-test:generateContent"


@pytest.mark.parametrize("key", ["GOOGLE_API_KEY", "GEMINI_API_KEY", None])
def test_the_url_of_vertex(inside: Inside, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """For Vertex AI it names project and location, and needs no credentials."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
    if key:
        monkeypatch.setenv(key, "secret")
    inside.ok("new", "-s", "a", "--project", "p", "--location", "europe-west4")
    document = shown(inside)
    place = "projects/p/locations/europe-west4/publishers/google/models/gemini-test:generateContent"
    assert document["url"] == f"https://europe-west4-aiplatform.googleapis.com/v1beta1/{place}"
    assert document["backend"] == "vertex"
    assert "secret" not in json.dumps(document)


def test_the_url_of_express_mode(inside: Inside) -> None:
    """In express mode the URL names no project."""
    inside.env["GOOGLE_API_KEY"] = "secret"
    inside.ok("new", "-s", "a", "--backend", "vertex")
    path = "/v1beta1/publishers/google/models/gemini-test:generateContent"
    assert shown(inside)["url"] == f"https://aiplatform.googleapis.com{path}"


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
@pytest.mark.parametrize(
    "backend", [[], ["--backend", "vertex"], ["--project", "p"]], ids=["gemini", "express", "vertex"]
)
def test_no_key_is_shown(inside: Inside, monkeypatch: pytest.MonkeyPatch, backend: list[str], debug: list[str]) -> None:
    """Keys that are set are nowhere in what a dry run prints, on neither stream."""
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, f"secret-{name}")
    inside.ok("new", "-s", "a", *backend)
    status, out, err = inside("send", "-s", "a", "hello", "--dry-run", *debug)
    assert (status, "secret" in out + err) == (0, False)


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["plain", "debug"])
@pytest.mark.parametrize(
    ("backend", "path"),
    [([], "v1/models/"), (["--backend", "vertex"], "v1beta1/publishers/google/models/")],
    ids=["gemini", "express"],
)
def test_no_password_is_shown(inside: Inside, backend: list[str], path: str, debug: list[str]) -> None:
    """The URL is shown without the user and the password that the base URL has; the rest of it is whole."""
    for name in ("GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"):
        inside.env[name] = "https://user:PASSW@example.com:8443/a@b/"
    inside.env["GOOGLE_API_KEY"] = "k"
    inside.ok("new", "-s", "a", *backend)
    status, out, err = inside("send", "-s", "a", "hello", "--dry-run", *debug)
    assert (status, "PASSW" in out + err, "user:" in out + err) == (0, False, False)
    assert json.loads(out)["url"] == f"https://example.com:8443/a@b/{path}gemini-test:generateContent"


def test_while_another_process_has_the_session(inside: Inside) -> None:
    """A dry run takes no lock: it works at once while the session is in use."""
    inside.ok("new", "-s", "a")
    path = Path(os.environ["GEMCLI_HOME"]) / "sessions" / "a.jsonl"
    with path.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert shown(inside, "--wait", "0")["body"]["contents"] == contents("hello")


def test_a_session_that_cannot_be_written(gemcli: Gemcli) -> None:
    """A dry run only reads: a torn tail and a request in doubt are left as they are."""
    path = write("a", header("gemini-test"), *turn(1), asked(2, "lost"))
    path.write_bytes(path.read_bytes() + b'{"kind":"resp')
    before = path.read_bytes()
    done = gemcli("send", "-s", "a", "hello", "--dry-run")
    assert done.json["body"]["contents"] == contents("question 1", "answer 1", "hello")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.jsonl"]


def test_the_simulator(inside: Inside) -> None:
    """A dry run to the simulator has no answer: nothing is asked."""
    inside.ok("new", "-s", "a", "--model", "simulator/echo")
    document = shown(inside)
    assert document["backend"] == "simulator"
    assert document["url"].endswith("/models/simulator/echo:generateContent")
    assert "text" not in document


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["-s", "nope", "hello"], 66, "SESSION_MISSING"),
        (["-s", "a", " "], 2, "EMPTY_MESSAGE"),
        (["-s", "a", "hello", "--temperature", "warm"], 2, "SETTINGS"),
        (["-s", "a", "hello", "--model", "../x"], 2, "MODEL_NAME"),
        (["-s", "a", "hello", "--max-turns", "0"], 65, "TOO_MANY_TURNS"),
        (["-s", "open", "hello"], 65, "OPEN_CALL"),
    ],
    ids=["missing", "empty", "setting", "model", "turns", "open-call"],
)
def test_what_a_send_would_refuse(inside: Inside, arguments: list[str], status: int, reason: str) -> None:
    """What a real send refuses before it sends, a dry run refuses with the same status."""
    write("a", header("gemini-test"))
    write("open", header("gemini-test"), asked(1, "q"), told(1, {"functionCall": {"name": "f", "args": {}}}))
    inside.env["GEMINI_API_KEY"] = "k"
    dry = inside.error("send", *arguments, "--dry-run")
    assert (dry[0], dry[1], dry[2]["reason"]) == (status, "", reason)
    assert inside.error("send", *arguments)[2]["message"] == dry[2]["message"]
