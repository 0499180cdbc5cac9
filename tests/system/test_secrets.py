"""The API key is nowhere but in the header of a request: not on a screen, not in a file, not in a process list."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gemcli.simulator.simulated_api import Cut, Reply, json_reply
from tests import builders
from tests.builders import answer, chunk, quota_failure, sse, streaming
from tests.support import Done, Gemcli, InProcess, Model
from tests.system import Listener, listening
from tests.system.conditions import CONDITIONS
from tests.system.test_matrix import Matrix, run
from tests.system.test_vertex import Cloud, cloud, private_key

__all__ = ["cloud", "private_key"]  # fixtures

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


def page(code: int, before: int = 0, secret: str = KEY) -> Reply:
    """An error page that quotes the request, the key after so many characters of other text."""
    return Reply(
        code, {"content-type": "text/html"}, (f"<html><p>{'x' * before} {secret} {secret}</p></html>".encode(),)
    )


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
    "event": streaming(sse({"error": {"code": 403, "message": f"key {KEY} is bad"}})),
    "later-event": streaming(sse(chunk("half"), {"error": {"code": 403, "message": f"key {KEY} is bad"}})),
    "finish-message": json_reply(
        {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": f"x {KEY}"}]}
    ),
    "finish-reason": json_reply({"candidates": [{"finishReason": "SAFETY", "more": {"a": [KEY]}}], "x": KEY}),
    "block-reason": json_reply({"promptFeedback": {"blockReason": KEY, "blockReasonMessage": KEY}}),
    "streamed-finish-message": streaming(sse(chunk("x"), chunk(finish="OTHER", finishMessage=KEY))),
    "partial": streaming(sse(chunk("half"), {"promptFeedback": {"x": KEY}})),
    "escaped": Reply(400, {}, (json.dumps({"error": {"message": KEY}}).replace("A", "\\u0041").encode(),)),
    "502-html-far-cut": Reply(502, {}, (b"<p>" * 1330 + KEY.encode(),)),
    "200-shape": json_reply({"candidates": [{"content": {"role": KEY, "parts": KEY}}]}),
}


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_answers(reply: Reply, debug: bool, gemcli: Gemcli, here: InProcess, model: Model) -> None:
    """Whatever a server answers, and though it quotes the key, no output and no file holds it."""
    model.script(reply)
    options = ["--debug"] if debug else ["--errors", "json"]
    options += ["--stream"] if "event-stream" in reply.headers.get("content-type", "") else []
    run = gemcli if reply is REPLIES["400"] else here  # one of them as it is installed
    done = run("send", "-s", "s", "--create", "hi", *options, env=model.env | {"GEMINI_API_KEY": KEY})
    assert [headers["x-goog-api-key"] for headers in model.headers] == [KEY]
    assert KEY not in str(model.targets) + str(model.requests)
    assert done.status != 70
    assert_nowhere(done, gemcli)


@pytest.mark.parametrize("key", ["test", "a", "sk-1234", "e"])
def test_short_keys(key: str, here: InProcess, model: Model) -> None:
    """A stand-in for a key is found in ordinary words: what the API says is read, and printed, as it is."""
    message = "models/gemini-flash-latest of sk-1234 has a limit"
    model.script(builders.api_error(429, "RESOURCE_EXHAUSTED", message, quota_failure("GenerateRequestsPerDay")))
    model.script(answer("a test", finish="SAFETY", finishMessage="a test"))
    env = model.env | {"GEMINI_API_KEY": key}
    first = here.failed("send", "-s", "s", "--create", "hi", env=env)
    assert (first.status, first.error["reason"]) == (69, "QUOTA_DAILY")
    assert message in first.error["message"]
    assert here("send", "-s", "s", "hi", env=env).json["text"] == "a test"


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


GOOGLES = "AIza" + "Sy0-_aB" * 5
"""What looks like a key of Google."""


@pytest.mark.parametrize("name", [KEY, f"for {KEY}!", GOOGLES, "AQ." + "Ab8R" * 12])
@pytest.mark.parametrize("by", ["option", "variable"])
def test_a_message_is_not_named_after_the_key(here: InProcess, by: str, name: str) -> None:
    """`send --once` refuses the API key, and what looks like one: nothing is written, and nobody is told it."""
    words = ["send", "-s", "s", "--create", "hi", *(["--once", name] if by == "option" else [])]
    for variable in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        env = {variable: KEY, "GEMCLI_MODEL": "simulator/echo"} | ({"GEMCLI_SEND_ONCE": name} if by != "option" else {})
        done = here(*words, "--errors", "json", env=env)
        assert (done.status, done.out, done.error["reason"]) == (2, "", "USAGE")
        assert "was given an API key" in done.error["message"]
        assert name not in done.err
        assert not here.session("s").parent.exists()


@pytest.mark.parametrize("key", ["k", "monday"])
def test_a_short_key_is_refused_as_a_name(here: InProcess, key: str) -> None:
    """A key is refused as a name however short it is."""
    env = {"GEMINI_API_KEY": key, "GEMCLI_MODEL": "simulator/echo"}
    assert here("send", "-s", "s", "--create", "hi", "--once", key, env=env).status == 2


@pytest.mark.parametrize(
    "words",
    [
        ["send", "-s", "s", "hi", "--api-key", KEY],
        ["send", "-s", "s", "hi", f"--api_key={KEY}"],
        ["send", "-s", "s", "hi", "-k", KEY],
        ["send", "-s", "s", "hi", f"-k{KEY}"],
        ["send", "-s", "s", "hi", "--key", KEY],
        ["send", "-s", "s", "hi", "--key=" + KEY],
        ["send", "-s", "s", "hi", f"--key{KEY}"],
        ["--google-api-key", KEY, "send", "-s", "s", "hi"],
        ["new", "-s", "s", "--token", KEY],
        ["replay", "-s", "s", "--key", KEY, "x.yaml"],
    ],
)
def test_an_option_for_a_key(here: InProcess, words: list[str]) -> None:
    """Whoever gives a key by an option learns how keys are given; the key is not repeated."""
    done = here(*words, "--errors", "json")
    assert (done.status, done.out, done.error["reason"]) == (2, "", "USAGE")
    assert "set GEMINI_API_KEY" in done.error["hint"]
    assert "did you mean" not in done.err.lower()
    assert KEY not in done.err
    old_name = "send" in words and words[4].partition("=")[0] == "--key"
    assert ("use --once NAME" in done.error["hint"]) == old_name


@pytest.mark.parametrize("key", [KEY, GOOGLES])
def test_a_key_out_of_place(here: InProcess, key: str) -> None:
    """A wrong command line is quoted without the key that stands in it."""
    for words in (["send", "-s", "s", "hi", key], ["history", key], [f"--{key}"], [key], ["rewind", "-n", key]):
        done = here(*words, env={"GEMINI_API_KEY": KEY})
        assert done.status == 2
        assert key not in done.err


# Every condition of the wire


class Watched(Matrix):
    """The matrix with a key of which no piece may be seen, and with tracebacks."""

    looks = 0

    def look(self, *told: bytes) -> None:
        """No piece of the key in what was printed and in the session's directory."""
        super().look(*told)
        for one in told:
            assert_secret("what was told", one)
        self.looks += len(told)


@pytest.mark.parametrize("form", ["json", "stream-text"])
def test_every_condition(form: str, here: InProcess, model: Model, figures: Callable[..., None]) -> None:
    """No condition of the wire, with `--debug`, makes the key known."""
    watched = Watched(here, model)
    watched.env["GEMINI_API_KEY"] = KEY
    watched.options += ["--debug"]
    cells, wrong = run(watched, {name: row for name, row in CONDITIONS.items() if not row.slow}, form, "fresh")
    figures(f"canary {form}", cells=cells, looks=watched.looks, wrong=len(wrong))
    assert not wrong, "\n\n".join(wrong)
    assert {headers["x-goog-api-key"] for headers in model.headers} == {KEY}
    assert KEY not in str(model.targets) + str(model.requests)


# Vertex AI: the access token, what it was bought with, and the private key of the service account


TOKEN = f"ya29.{KEY}"


def lines_of(pem: str) -> list[str]:
    """The lines of a private key that are secret."""
    return [line for line in pem.splitlines() if "-----" not in line and len(line) > PIECE]


REFUSALS = {
    "401": api_error(401, f"Request had invalid authentication credentials: Bearer {TOKEN}"),
    "403": json_reply({"error": {"code": 403, "message": TOKEN, "status": TOKEN}}, 403),
    "429": api_error(429, f"quota of {TOKEN}. Please retry in 3s."),
    "500": Reply(500, {}, (f"authorization: Bearer {TOKEN}".encode(),)),
    "502": page(502, 180, TOKEN),
    "redirect": Reply(302, {"location": f"https://example.org/?access_token={TOKEN}"}, ()),
    "html": Reply(200, {"content-type": "text/html"}, (f"<p>{TOKEN}</p>".encode(),)),
    "cut": Reply(200, {}, (f'{{"x": "{TOKEN}'.encode(), Cut("close"))),
    "event": streaming(sse({"error": {"code": 500, "message": TOKEN}})),
    "later-event": streaming(sse(answer("half", finish=None), {"error": {"code": 401, "message": f"bad {TOKEN}"}})),
}


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", REFUSALS)
def test_access_token(
    name: str, stream: bool, debug: bool, here: InProcess, cloud: Cloud, private_key: str, tmp_path: Path
) -> None:
    """A server that quotes the access token of Google Cloud does not get it onto a screen or into a file."""
    cloud.token = json_reply({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
    cloud.replies += [REFUSALS[name]]
    options = [*(["--stream"] if stream else []), *(["--debug"] if debug else ["--errors", "json"])]
    env = {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_PROJECT": "p1"}
    done = here("send", "-s", "s", "--create", "hi", *options, env=env)
    assert done.status not in (0, 70)
    assert [headers["authorization"] for headers in cloud.headers] == [f"Bearer {TOKEN}"]
    (tmp_path / "a.json").unlink()  # the account itself
    assert_nowhere(done, here)
    assert not [line for line in lines_of(private_key) if line in done.out + done.err + here.session("s").read_text()]


@pytest.mark.parametrize("header", [f"x{TOKEN} {TOKEN}", f"authorization{TOKEN}"], ids=["odd", "odder"])
def test_access_token_in_a_broken_answer(
    header: str, here: InProcess, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A broken answer that quotes the access token is not quoted in turn, not even in a traceback."""
    cloud.token = json_reply({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
    with listening(broken(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode())) as listener:
        monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", listener.url)
        env = {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_PROJECT": "p1"}
        done = here("send", "-s", "s", "--create", "hi", "--debug", env=env)
    assert (done.status, len(listener.seen)) == (75, 1)
    assert TOKEN.encode() in listener.seen[0]
    (tmp_path / "a.json").unlink()
    assert_nowhere(done, here)


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
@pytest.mark.parametrize("code", [400, 401, 500])
def test_token_endpoint(
    code: int, debug: bool, here: InProcess, cloud: Cloud, private_key: str, tmp_path: Path
) -> None:
    """A token endpoint that refuses tells nothing of the account's private key, which it never sees either."""
    cloud.token = json_reply({"error": "invalid_grant", "error_description": "no"}, code)
    env = {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_PROJECT": "p1"}
    done = here("send", "-s", "s", "--create", "hi", "--deadline", "20", *(["--debug"] if debug else []), env=env)
    assert done.status in (75, 77)
    told = done.out + done.err + here.session("s").read_text()
    assert not [line for line in lines_of(private_key) if line in told]
    assert "eyJ" not in told  # what a signed request for a token begins with
    assert cloud.targets == []
