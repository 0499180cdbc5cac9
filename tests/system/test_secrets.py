"""The API key is nowhere but in the header of a request: not on a screen, not in a file, not in a process list."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import Done, Gemcli, InProcess, Model, Reply, answer, json_reply
from tests.system import Listener, listening

KEY = "AIzaCanary-qX7pLm3ZtR9vKw2bNc5dHf8gJs4aYe"
PIECE = 12
"""No run of this many characters of the key may be seen: a cut key is a key half told."""

PIECES = {KEY[place : place + PIECE] for place in range(len(KEY) - PIECE + 1)}


def assert_secret(where: str, data: bytes) -> None:
    """No piece of the key is in `data`."""
    text = data.decode("latin-1")
    assert not {piece for piece in PIECES if piece in text}, f"{where}: {text}"


def assert_nowhere(done: Done, gemcli: Gemcli) -> None:
    """No piece of the key is in the output of a run or in any file of the home or the directory."""
    assert_secret("stdout", done.bytes)
    assert_secret("stderr", done.err.encode())
    files = [file for top in (Path(os.environ["HOME"]), gemcli.directory) for file in top.rglob("*") if file.is_file()]
    assert gemcli.session("s") in files
    for file in files:
        assert_secret(str(file), file.read_bytes())


def api_error(code: int, message: str) -> Reply:
    """An error answer in the API's form."""
    return json_reply({"error": {"code": code, "message": message, "status": "X", "details": [{"key": KEY}]}}, code)


def page(code: int, before: int = 0) -> Reply:
    """An error page that quotes the request, the key after so many characters of other text."""
    return Reply(code, {"content-type": "text/html"}, (f"<html><p>{'x' * before} {KEY} {KEY}</p></html>".encode(),))


REPLIES: dict[str, Reply] = {
    "answer": json_reply(answer("hi")),
    "blocked": json_reply({"promptFeedback": {"blockReason": "SAFETY"}}),
    "400": api_error(400, f"API key {KEY} not valid. Please pass a valid API key."),
    "400-quoted": api_error(400, f'Invalid header value "x-goog-api-key: {KEY}"'),
    "403": api_error(403, f"Your API key ({KEY}) was reported as leaked."),
    "429": api_error(429, f"Quota of {KEY}. Please retry in 3s."),
    "500-text": Reply(500, {}, (KEY.encode(),)),
    "500-error-text": json_reply({"error": KEY}, 500),
    "500-status": json_reply({"error": {"code": 500, "status": KEY, "message": "x"}}, 500),
    "502-html": page(502),
    "502-html-cut": page(502, before=200 - PIECE - 5),
    "204": Reply(204, {"x-key": KEY}, ()),
    "302": Reply(302, {"location": f"https://example.org/?key={KEY}"}, (b"",)),
    "200-html": page(200),
    "200-text": Reply(200, {}, (f'"{KEY}"'.encode(),)),
    "200-doubled-key": Reply(200, {}, (f'{{"{KEY}": 1, "{KEY}": 2}}'.encode(),)),
    "200-number": Reply(200, {}, (b'{"a": 1e999}',)),
    "200-shape": json_reply({"candidates": [{"content": {"role": KEY, "parts": KEY}}]}),
}


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_answers(reply: Reply, debug: bool, gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """Whatever a server answers, and though it quotes the key, no output and no file holds it."""
    model.script(reply)
    options = ["--debug"] if debug else ["--errors", "json"]
    run = gemcli if reply is REPLIES["400"] else here  # one of them as it is installed
    done = run("send", "-s", "s", "--create", "hi", *options, env=model.env | {"GEMINI_API_KEY": KEY})
    assert [headers["x-goog-api-key"] for headers in model.headers] == [KEY]
    assert KEY not in str(model.targets) + str(model.requests)
    assert done.status != 70
    assert_nowhere(done, gemcli)


def broken(data: bytes) -> Callable[[Listener, Any], None]:
    """A server that sends this and goes away."""

    def handle(listener: Listener, connection: Any) -> None:
        listener.request(connection)
        connection.sendall(data)

    return handle


FAULTS = {
    "cut": b"",
    "garbage": f"{KEY} {KEY}\r\n\r\n".encode(),
    "odd-header": f"HTTP/1.1 200 OK\r\nx{KEY} {KEY}\r\n\r\n".encode(),
    "cut-body": f"HTTP/1.1 500 {KEY}\r\ncontent-length: 500\r\n\r\n{KEY}".encode(),
    "odd-encoding": f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(KEY)}\r\n\r\n{KEY}".encode(),
}


@pytest.mark.parametrize("data", FAULTS.values(), ids=FAULTS)
def test_faults(data: bytes, here: InProcess) -> None:
    """Broken connections tell nothing of the key, not even with a traceback."""
    with listening(broken(data)) as listener:
        env = listener.env | {"GEMINI_API_KEY": KEY}
        done = here("send", "-s", "s", "--create", "hi", "--debug", env=env)
    assert len(listener.seen) == 1
    assert done.status in (75, 76)
    assert_nowhere(done, here)


@pytest.mark.parametrize("bad", [f"{KEY}\n", f"{KEY} {KEY}", f"“{KEY}”", f"\x1b{KEY}"], ids=ascii)
@pytest.mark.parametrize("variable", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_bad_keys(bad: str, variable: str, here: InProcess, model: Model) -> None:
    """A key that cannot be one is not quoted either."""
    here("new", "-s", "s", env=model.env)
    done = here("send", "-s", "s", "hi", "--debug", env=model.env | {variable: bad})
    assert done.status == 77
    assert_nowhere(done, here)


def test_refused_connection(gemcli: Gemcli, model: Model) -> None:
    """A traceback of a connection that failed does not hold the key."""
    env = model.env | {"GEMINI_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:1"}
    done = gemcli("send", "-s", "s", "--create", "hi", "--debug", env=env)
    assert done.status == 75
    assert "Traceback" in done.err
    assert_nowhere(done, gemcli)


def test_debug_of_the_libraries(gemcli: Gemcli, model: Model) -> None:
    """Python's own debugging switches do not make the libraries tell the key."""
    env = model.env | {"GEMINI_API_KEY": KEY, "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "always"}
    done = gemcli("send", "-s", "s", "--create", "hi", "--debug", env=env)
    assert done.status == 0
    assert_nowhere(done, gemcli)


def test_process_list(gemcli: Gemcli) -> None:
    """While the model thinks, the command line that others can read does not hold the key."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("there is no /proc here")
    lines: list[bytes] = []

    def handle(listener: Listener, connection: Any) -> None:
        listener.request(connection)
        time.sleep(0.1)
        lines.extend(file.read_bytes() for file in Path("/proc").glob(f"{process.pid}/**/cmdline"))

    with listening(handle) as listener:
        gemcli("new", "-s", "s", env=listener.env)
        process = gemcli.start("send", "-s", "s", "hi", env=listener.env | {"GEMINI_API_KEY": KEY})
        process.communicate(timeout=60)
    assert any(b"send" in line for line in lines)
    for line in lines:
        assert_secret("a command line", line)


@pytest.mark.parametrize("command", [[], ["new"], ["send"], ["history"], ["rewind"], ["export"]], ids=str)
def test_no_option_takes_a_key(command: list[str], gemcli: Gemcli) -> None:
    """No option takes a key: it would stand in the process list."""
    done = gemcli(*command, "--help")
    assert done.status == 0
    assert not re.search(r"--[a-z-]*(api|key|token|secret)\b", re.sub(r"--[a-z-]*tokens", "", done.out))
