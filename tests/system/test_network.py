"""Networks at their worst, and the environment at its oddest: the command ends in time, and sends what was asked."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gemcli.simulator.simulated_api import Reply
from tests.builders import answer, contents
from tests.support import CANARY, Done, Gemcli, InProcess, Model
from tests.system import Handler, Listener, listening

# Time


def silence(listener: Listener, connection: socket.socket) -> None:
    """Say nothing to whatever comes."""
    listener.stop.wait()


def sends(data: bytes, every: float | None = None) -> Handler:
    """Read a request, send `data` at once or a byte `every` so many seconds, then stall."""

    def handle(listener: Listener, connection: socket.socket) -> None:
        listener.request(connection)
        for piece in [data] if every is None else [bytes([byte]) for byte in data]:
            connection.sendall(piece)
            if every and listener.stop.wait(every):
                return
        listener.stop.wait()

    return handle


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n"
SLOW: dict[str, Handler] = {
    "never-answers": sends(b""),
    "stalls-in-the-head": sends(HEAD),
    "drips-the-head": sends(HEAD + b"x: " + b"y" * 5000, every=1),
    "stalls-in-the-body": sends(HEAD + b'\r\n{"candidates": ['),
    "drips-the-body": sends(HEAD + b"\r\n" + b" " * 5000, every=0.02),
}


@pytest.mark.parametrize("handle", SLOW.values(), ids=SLOW)
def test_time_limits(handle: Handler, warm: InProcess) -> None:
    """Whatever a server is slow at, the command ends in time: 75, outcome unknown, recorded, and asked only once."""
    with listening(handle) as listener:
        warm.env = listener.env
        done = in_time(warm, "--timeout", "1.5")
        assert len(listener.seen) == 1
    assert (done.status, done.out, done.error["reason"]) == (75, "", "TIMEOUT")
    assert (done.error["code"], done.error["outcome"]) == ("DEADLINE_EXCEEDED", "unknown")
    record = warm.records("s")[-1]
    assert (record["kind"], record["outcome"], record["reason"]) == ("failure", "unknown", "TIMEOUT")
    warm.ok("history", "-s", "s", "--check")


@pytest.mark.slow
def test_program_ends(gemcli: Gemcli) -> None:
    """The program itself ends too, although its request is still waiting for a server that drips."""
    with listening(SLOW["drips-the-head"]) as listener:
        start = time.monotonic()
        done = gemcli("send", "-s", "s", "--create", "hi", "--timeout", "8", "--errors", "json", env=listener.env)
        assert time.monotonic() - start < 8 + 15
    assert (done.status, done.out, done.error["code"]) == (75, "", "DEADLINE_EXCEEDED")
    assert done.error["outcome"] == gemcli.records("s")[-1]["outcome"] == "unknown"


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port on which connections hang: its queue is full and nobody takes any out."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port: int = server.getsockname()[1]
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        yield port


@pytest.fixture
def warm(here: InProcess, model: Model) -> InProcess:
    """The program in this process with the SDK loaded, which takes its time, and with a session `s`."""
    here.ok("send", "-s", "warm", "--create", "up")
    here.ok("new", "-s", "s")
    model.requests.clear()
    return here


def in_time(here: InProcess, *options: str) -> Done:
    """Send a message that fails in time."""
    start = time.monotonic()
    done = here.failed("send", "-s", "s", "hello", *options)
    assert time.monotonic() - start < 5
    return done


@pytest.mark.parametrize("option", ["--timeout", "--deadline"])
def test_hanging_connect(option: str, warm: InProcess) -> None:
    """A connection that never comes about ends in time: 75, rejected, because nothing was sent."""
    with full_backlog() as port:
        warm.env["GOOGLE_GEMINI_BASE_URL"] = f"http://127.0.0.1:{port}"
        done = in_time(warm, option, "1.5")
    assert (done.status, done.error["reason"], done.error["outcome"]) == (75, "CONNECT_TIMEOUT", "rejected")
    assert warm.records("s")[-1]["outcome"] == "rejected"


def test_hanging_handshake(warm: InProcess) -> None:
    """A server that accepts and never does TLS ends in time: 75, rejected, and it has not seen the key."""
    with listening(silence) as listener:
        warm.env["GOOGLE_GEMINI_BASE_URL"] = listener.url.replace("http:", "https:")
        done = in_time(warm, "--timeout", "1.5")
    assert (done.status, done.error["reason"], done.error["outcome"]) == (75, "CONNECT_TIMEOUT", "rejected")
    assert all(CANARY.encode() not in seen for seen in listener.seen)


def test_deadline_includes_the_lock(warm: InProcess, model: Model) -> None:
    """The deadline also ends the wait for a session that somebody else holds: 75, nothing written, nothing sent."""
    before = warm.session("s").read_bytes()
    with warm.session("s").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = in_time(warm, "--wait", "60", "--deadline", "1")
    assert (done.status, done.error["reason"]) == (75, "SESSION_BUSY")
    assert (warm.session("s").read_bytes(), model.requests) == (before, [])


def test_deadline_includes_standard_input(gemcli: Gemcli, model: Model) -> None:
    """The deadline bounds the whole command, so it also ends the wait for input that never ends."""
    gemcli("new", "-s", "s", env=model.env)
    reading, writing = os.pipe()
    try:
        done = gemcli("send", "-s", "s", "--deadline", "1", stdin=reading, env=model.env, timeout=8)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.status == 75
    assert model.requests == []


def test_session_is_free_after_a_timeout(warm: InProcess, model: Model) -> None:
    """A command that gave up waiting leaves nothing behind: the next one sends at once."""
    model.script(Reply(200, {}, (30.0,)), answer("fine"))
    assert in_time(warm, "--timeout", "1.5").error["outcome"] == "unknown"
    assert warm.ok("send", "-s", "s", "again", "--wait", "0")[0]["text"] == "fine"
    assert model.requests[-1]["contents"] == contents("again")


# The environment


@pytest.mark.parametrize(
    "extra",
    [
        {"GOOGLE_GENAI_CLIENT_MODE": "record", "GOOGLE_GENAI_REPLAYS_DIRECTORY": "recorded"},
        {"PYTHONWARNINGS": "always"},
    ],
    ids=["record", "warnings"],
)
def test_environment_changes_nothing(extra: dict[str, str], gemcli: Gemcli, model: Model) -> None:
    """Environment that would silently make the SDK another client has no effect, and leaves no file and no word."""
    done = gemcli("send", "-s", "s", "--create", "hello", env=model.env | extra)
    assert (done.status, done.err) == (0, "")
    assert len(model.requests) == 1
    assert list(gemcli.directory.iterdir()) == []


def test_two_keys(here: InProcess, model: Model) -> None:
    """Of two keys GOOGLE_API_KEY goes out, in a header and nowhere else, and a note says so."""
    done = here("send", "-s", "s", "--create", "hello", env={"GOOGLE_API_KEY": "first-key"})
    assert done.status == 0
    assert done.err == "gemcli: note: GOOGLE_API_KEY and GEMINI_API_KEY are both set: GOOGLE_API_KEY is used\n"
    assert model.headers[0]["x-goog-api-key"] == "first-key"
    assert "key" not in model.targets[0]
    assert CANARY not in str(model.headers[0])
    assert here("send", "-s", "s", "x", env={"GOOGLE_API_KEY": CANARY}).err == ""  # the same key twice


@pytest.mark.parametrize("name", ["../x", "a?b", "a:countTokens?", "a\r\nHost: b", ""], ids=ascii)
def test_model_name_in_the_file(name: str, here: InProcess, model: Model) -> None:
    """A session file from somebody else whose model could change the URL is refused; nothing is sent."""
    here.ok("new", "-s", "s")
    (header,) = here.records("s")
    here.session("s").write_text(json.dumps(header | {"model": name}) + "\n")
    before = here.session("s").read_bytes()
    done = here.failed("send", "-s", "s", "hi")
    assert done.status in (2, 65), done.error
    assert (here.session("s").read_bytes(), model.requests) == (before, [])


@pytest.mark.parametrize("name", ["models/gemini-test", "tunedModels/a-b_c.9", "a@001", "gemini-2.5-flash@001"])
def test_model_paths(name: str, here: InProcess, model: Model) -> None:
    """The full names of models work as well as the short ones."""
    model.script(answer("hi"))
    here.ok("send", "-s", "s", "--create", "hi", "--model", name)
    (target,) = model.targets
    assert target == f"/v1/{name if '/' in name else f'models/{name}'}:streamGenerateContent?alt=sse"


# What goes over the wire


CONFIG = """
system_instruction: "Be brief.\\nSehr kurz."
temperature: 0.25
max_output_tokens: 100
stop_sequences: ["END", "{x}"]
seed: 7
"""


def test_body(here: InProcess, model: Model, tmp_path: Path) -> None:
    """The body is the history and the config in REST form; options of one call are merged over it and do not stick."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    (created,) = here.ok("new", "-s", "s", "--config", str(tmp_path / "config.yaml"))
    model.script(answer("one"), answer("two"), answer("three"))
    here.ok("send", "-s", "s", "1")
    here.ok("send", "-s", "s", "2", "--temperature", "1.5", "--top-p", "0.5", "--model", "other")
    here.ok("send", "-s", "s", "3")

    generation = {"temperature": 0.25, "maxOutputTokens": 100, "stopSequences": ["END", "{x}"], "seed": 7}
    config = {"systemInstruction": {"parts": [{"text": "Be brief.\nSehr kurz."}]}, "generationConfig": generation}
    assert created["config"] == config
    other = config | {"generationConfig": generation | {"temperature": 1.5, "topP": 0.5}}
    assert model.requests == [
        {"contents": contents("1"), **config},
        {"contents": contents("1", "one", "2"), **other},
        {"contents": contents("1", "one", "2", "two", "3"), **config},
    ]
    models = ["gemini-test", "other", "gemini-test"]
    assert [target.split("/")[-1].partition(":")[0] for target in model.targets] == models
    assert [line["model"] for line in here.ok("history", "-s", "s")] == models


def test_history_goes_out_as_it_came_in(here: InProcess, model: Model, tmp_path: Path) -> None:
    """Unknown keys, signatures and numbers of an imported history reach the wire value for value."""
    history: list[dict[str, Any]] = [
        {"role": "user", "parts": [{"text": "a\u2028\ud83d\ude00"}]},
        {
            "role": "model",
            "parts": [
                {"text": "ok", "thoughtSignature": "c2ln", "newKey": {"b_c": None}, "n": 2**70},
                {"text": "t", "thought": True},
            ],
            "x": [1.0],
        },
        {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}, {"text": "<b>"}], "role": "user"},
        {"role": "model", "parts": [{"executableCode": {"code": "1"}}, {"text": "done"}]},
    ]
    (tmp_path / "history.json").write_text(json.dumps(history))
    here.ok("new", "-s", "s", "--history", str(tmp_path / "history.json"), "--history-model", "gemini-test")
    model.script(answer("fine"))
    here.ok("send", "-s", "s", "next")
    assert json.dumps(model.requests[0]["contents"]) == json.dumps([*history, *contents("next")])
